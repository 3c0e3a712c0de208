// Where the board's randomness comes from: the ring oscillator's random bit, and noise on the ADC.
import { createHash, randomBytes } from 'node:crypto';

import { BasePeripheral } from './rp2040js.mjs';

// A function that gives one bit at a time: 'host' has true ones, 'seed:HEX' the same ones at each
// start, and 'ones' nothing else, like an oscillator that is stuck.
export function bitSource(kind) {
  if (kind === 'ones') return () => 1;
  const seed = /^seed:((?:[0-9a-f]{2})+)$/i.exec(kind)?.[1];
  if (kind !== 'host' && seed === undefined) {
    throw new Error(`randomness is 'host', 'seed:HEX' or 'ones', not '${kind}'`);
  }
  let pool = Buffer.alloc(0);
  let at = 0;
  let round = 0;
  return () => {
    if (at === pool.length * 8) {
      const block = () => createHash('sha256').update(`${seed.toLowerCase()} ${round++}`).digest();
      pool = seed === undefined ? randomBytes(4096) : block();
      at = 0;
    }
    const bit = (pool[at >> 3] >> (at & 7)) & 1;
    at++;
    return bit;
  };
}

const STATUS = 0x18;
const RANDOMBIT = 0x1c;
const STABLE = 1 << 31;
const ENABLED = 1 << 12;

// The ring oscillator; rp2040js has none.
export class Rosc extends BasePeripheral {
  constructor(rp2040, nextBit) {
    super(rp2040, 'ROSC');
    this.nextBit = nextBit;
    this.registers = new Uint32Array(16);
  }

  readUint32(offset) {
    if (offset === RANDOMBIT) return this.nextBit();
    if (offset === STATUS) return (STABLE | ENABLED) >>> 0;
    return this.registers[offset >> 2] ?? 0;
  }

  writeUint32(offset, value) {
    this.registers[offset >> 2] = value;
  }
}

const SENSOR = 4; // the ADC's channel with the temperature sensor on it
const CELSIUS = 21.4;
const VOLTS = 0.706 - 0.001721 * (CELSIUS - 27); // as the data sheet has it
const READING = Math.round((VOLTS / 3.3) * 4095);

// Let the temperature sensor say 21.4 degrees, give or take what noise does to the last bits.
export function addNoise(adc, nextBit) {
  const convert = adc.onADCRead;
  adc.onADCRead = (channel) => {
    const noise = nextBit() + nextBit() + nextBit() + nextBit() - 2;
    adc.channelValues[SENSOR] = READING + noise;
    convert(channel);
  };
}
