// Firmware images: UF2 as it is copied to a board, or the plain bytes of flash from its start.
import fs from 'node:fs';

import { FLASH_START } from './memory.mjs';

const BLOCK = 512;
const MAGIC = [0x0a324655, 0x9e5d5157];
const MAGIC_END = 0x0ab16f30;
const NOT_FOR_FLASH = 1;

// [[offset in flash, bytes], ...]
export function readImage(file) {
  const image = fs.readFileSync(file);
  if (image.length < BLOCK || image.readUInt32LE(0) !== MAGIC[0]) return [[0, image]];
  const parts = [];
  for (let at = 0; at + BLOCK <= image.length; at += BLOCK) {
    const word = (offset) => image.readUInt32LE(at + offset);
    if (word(0) !== MAGIC[0] || word(4) !== MAGIC[1] || word(508) !== MAGIC_END) {
      throw new Error(`${file}: no UF2 block at ${at}`);
    }
    if (word(8) & NOT_FOR_FLASH) continue;
    parts.push([word(12) - FLASH_START, image.subarray(at + 32, at + 32 + word(16))]);
  }
  return parts;
}
