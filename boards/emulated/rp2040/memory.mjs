// ROM, RAM and flash in one buffer, so that one set of arrays reaches all that the core runs on.

export const ROM_SIZE = 16 * 1024;
export const SRAM_SIZE = 264 * 1024;
export const FLASH_SIZE = 2 * 1024 * 1024; // the Pico's W25Q16JV

export const SRAM_START = 0x20000000;
export const FLASH_START = 0x10000000;

export const SRAM_AT = ROM_SIZE; // offsets in the buffer
export const FLASH_AT = SRAM_AT + SRAM_SIZE;

export class Memory {
  constructor() {
    const buffer = new ArrayBuffer(FLASH_AT + FLASH_SIZE);
    this.bytes = new Uint8Array(buffer);
    this.halves = new Uint16Array(buffer);
    this.words = new Int32Array(buffer);
    this.rom = new Uint32Array(buffer, 0, ROM_SIZE / 4);
    this.sram = new Uint8Array(buffer, SRAM_AT, SRAM_SIZE);
    this.flash = new Uint8Array(buffer, FLASH_AT, FLASH_SIZE);
  }

  // Make it the memory of a chip, whose own is dropped.
  attach(rp2040) {
    const { bytes, rom, sram, flash } = this;
    rp2040.bootrom = rom;
    rp2040.sram = sram;
    rp2040.sramView = new DataView(bytes.buffer, SRAM_AT, SRAM_SIZE);
    rp2040.flash = flash;
    rp2040.flash16 = new Uint16Array(bytes.buffer, FLASH_AT, FLASH_SIZE / 2);
    rp2040.flashView = new DataView(bytes.buffer, FLASH_AT, FLASH_SIZE);
  }
}
