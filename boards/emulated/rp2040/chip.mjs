// Small parts of the RP2040 that rp2040js lacks.
import { BasePeripheral, RPPSM, RPReset, RPSIO } from './rp2040js.mjs';

const FLUSH_READY = 0b01;
const FIFO_EMPTY = 0b10;
const STAT = 0x08;

// The control of the flash cache, which is not modelled: flushing takes no time.
export class XipControl extends BasePeripheral {
  constructor(rp2040) {
    super(rp2040, 'XIP_CTRL');
  }

  readUint32(offset) {
    return offset === STAT ? FLUSH_READY | FIFO_EMPTY : 0;
  }

  writeUint32() {}
}

const VREG = 0x00;
const BOD = 0x04;
const CHIP_RESET = 0x08;
const REGULATED = 1 << 12;
const HAD_POWER_ON = 1 << 8;

// The voltage regulator: always regulated.
export class VoltageRegulator extends BasePeripheral {
  constructor(rp2040) {
    super(rp2040, 'VREG_AND_CHIP_RESET');
    this.registers = { [VREG]: 0xb1, [BOD]: 0x91, [CHIP_RESET]: HAD_POWER_ON };
  }

  readUint32(offset) {
    return (this.registers[offset] ?? 0) | (offset === VREG ? REGULATED : 0);
  }

  writeUint32(offset, value) {
    if (offset in this.registers && offset !== CHIP_RESET) this.registers[offset] = value;
  }
}

const RESET = 0x00;

// RESETS, with effect: `resettable` has what is reset by a bit, {bit: () => ...}.
export class Resets extends RPReset {
  constructor(rp2040, resettable) {
    super(rp2040, 'RESETS');
    this.resettable = resettable;
  }

  writeUint32(offset, value) {
    const before = this.reset;
    super.writeUint32(offset, value);
    if (offset !== RESET) return;
    for (const [bit, reset] of Object.entries(this.resettable)) {
      if (this.reset & ~before & (1 << bit)) reset();
    }
  }
}

const FIFO_ST = 0x50;
const FIFO_WR = 0x54;
const FIFO_RD = 0x58;
const FIFO_VALID = 0b01;
const FIFO_READY = 0b10;

// SIO with the mailbox to the second core, of which only the boot ROM is there: it says 0 when it
// comes out of reset, and what it is told gets no answer.
export class Sio extends RPSIO {
  constructor(rp2040) {
    super(rp2040);
    this.mailbox = [];
  }

  resetCore1() {
    this.mailbox = [0];
  }

  readUint32(offset) {
    if (offset === FIFO_ST) return FIFO_READY | (this.mailbox.length ? FIFO_VALID : 0);
    return offset === FIFO_RD ? (this.mailbox.shift() ?? 0) : super.readUint32(offset);
  }

  writeUint32(offset, value) {
    if (offset !== FIFO_ST && offset !== FIFO_WR) super.writeUint32(offset, value);
  }
}

const FRCE_OFF = 0x04;
const CORE1 = 1 << 16;

// The power-on state machine, which can reset the second core.
export class Psm extends RPPSM {
  constructor(rp2040) {
    super(rp2040, 'PSM');
  }

  writeUint32(offset, value) {
    if (offset === FRCE_OFF && this.frceOff & ~value & CORE1) this.rp2040.sio.resetCore1();
    super.writeUint32(offset, value);
  }
}
