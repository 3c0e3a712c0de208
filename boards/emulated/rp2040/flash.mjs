// The flash chip, a W25Q16JV, and what stands between it and the core.
//
// rp2040js's SSI knows no erasing, programming or identity. Here the boot ROM's own flash routines
// run: they force the chip select through IO_QSPI and exchange bytes through the SSI's FIFOs.
import fs from 'node:fs';

import { BasePeripheral } from './rp2040js.mjs';

const WRITE_STATUS = 0x01;
const PROGRAM_PAGE = 0x02;
const READ = 0x03;
const WRITE_DISABLE = 0x04;
const READ_STATUS_1 = 0x05;
const WRITE_ENABLE = 0x06;
const ERASE_SECTOR = 0x20;
const READ_STATUS_2 = 0x35;
const READ_UNIQUE_ID = 0x4b;
const READ_JEDEC_ID = 0x9f;
const ERASE_BLOCK = 0xd8;

const BUSY = 1;
const WRITE_ENABLED = 2;
const QUAD_ENABLED = 2;
const JEDEC_ID = [0xef, 0x40, 0x15];
const PAGE = 256;

// Typical times from the data sheet, in nanoseconds.
const DURATION = { [PROGRAM_PAGE]: 4e5, [ERASE_SECTOR]: 45e6, [ERASE_BLOCK]: 150e6 };
const ERASED_SIZE = { [ERASE_SECTOR]: 4096, [ERASE_BLOCK]: 65536 };

// The chip as seen from its pins: `select`, `exchange` byte by byte, `deselect`.
export class FlashChip {
  // `bytes` is its content, `file` what keeps it, and `journal` gets a line
  // for each operation before it is done.
  constructor(bytes, { file, journal, uniqueId }) {
    this.bytes = bytes;
    this.uniqueId = uniqueId;
    this.erasures = 0;
    this.programmings = 0;
    this.journal = journal && fs.openSync(journal, 'a');
    this.file = file && fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT);
    this.clock = null;
    this.powerUp();
    bytes.fill(0xff);
    const found = file ? fs.readSync(this.file, bytes) : bytes.length;
    if (found < bytes.length) this.#keep(0, bytes.length);
  }

  // What it keeps in flip-flops is gone after a reset of the board; its content is not.
  powerUp() {
    this.received = [];
    this.writable = false;
    this.busyUntil = 0;
  }

  // Put the firmware where it belongs, like a programmer: not part of the journal.
  load(offset, data) {
    if (data.equals(this.bytes.subarray(offset, offset + data.length))) return;
    this.bytes.set(data, offset);
    this.#keep(offset, data.length);
  }

  select() {
    this.received.length = 0;
  }

  exchange(byte) {
    const { received } = this;
    received.push(byte);
    const at = received.length - 1;
    if (at === 0) return 0xff;
    switch (received[0]) {
      case READ_STATUS_1:
        return this.#status();
      case READ_STATUS_2:
        return QUAD_ENABLED;
      case READ_JEDEC_ID:
        return JEDEC_ID[at - 1] ?? 0;
      case READ_UNIQUE_ID:
        return at < 5 ? 0xff : this.uniqueId[(at - 5) % this.uniqueId.length];
      case READ:
        return at < 4 ? 0xff : this.bytes[(this.#address() + at - 4) % this.bytes.length];
    }
    return 0xff;
  }

  deselect() {
    const { received } = this;
    if (!received.length) return;
    const command = received[0];
    if (command === WRITE_ENABLE) this.writable = true;
    else if (command === WRITE_DISABLE) this.writable = false;
    else if (this.writable && received.length > 3 && command in DURATION) {
      if (command === PROGRAM_PAGE) this.#program();
      else this.#erase(ERASED_SIZE[command]);
      this.busyUntil = this.clock.nanos + DURATION[command];
    }
    if (command === WRITE_STATUS || command in DURATION) this.writable = false;
    received.length = 0;
  }

  #address() {
    const [, high, middle, low] = this.received;
    return ((high << 16) | (middle << 8) | low) % this.bytes.length;
  }

  // Whoever asks while the chip is busy does nothing else until it is not: that time is skipped,
  // and all that goes on beside it, such as bytes that arrive on a UART, happens in it.
  #status() {
    const remaining = this.busyUntil - this.clock.nanos;
    if (remaining <= 0) return this.writable ? WRITE_ENABLED : 0;
    this.clock.skip(remaining);
    return BUSY;
  }

  #erase(size) {
    const offset = this.#address() & -size;
    this.#note({ operation: 'erase', offset, length: size });
    this.bytes.fill(0xff, offset, offset + size);
    this.erasures++;
    this.#keep(offset, size);
  }

  #program() {
    const address = this.#address();
    const page = address & -PAGE;
    const data = Buffer.from(this.received.slice(4));
    const { length } = data;
    this.#note({ operation: 'program', offset: address, length, data: data.toString('hex') });
    // Bits are only ever cleared; what runs over the end of the page goes on at its beginning.
    data.forEach((byte, i) => (this.bytes[page | ((address + i) % PAGE)] &= byte));
    this.programmings++;
    this.#keep(page, PAGE);
  }

  // A write that has returned outlives the death of this process.
  #keep(offset, length) {
    if (this.file) fs.writeSync(this.file, this.bytes, offset, length, offset);
  }

  #note(operation) {
    if (this.journal) fs.writeSync(this.journal, `${JSON.stringify(operation)}\n`);
  }
}

const SSIENR = 0x08;
const TXFLR = 0x20;
const RXFLR = 0x24;
const SR = 0x28;
const IDR = 0x58;
const VERSION = 0x5c;
const DR0 = 0x60;
const DR_END = 0xf0;
const TX_READY = 0b110; // the transmit FIFO is empty and not full: bytes leave at once
const RX_READY = 0b1000;

// The SSI with its chip select, which it drives by itself unless IO_QSPI forces it.
export class Ssi extends BasePeripheral {
  constructor(rp2040, chip) {
    super(rp2040, 'SSI');
    this.chip = chip;
    this.registers = new Uint32Array(64);
    this.replies = [];
    this.forced = null; // the level that IO_QSPI forces on the chip select
  }

  // `level` is 0, 1 or null for "not forced".
  force(level) {
    if (level === this.forced) return;
    if (level === 0) {
      this.chip.select();
      this.replies.length = 0;
    } else this.chip.deselect();
    this.forced = level;
  }

  readUint32(offset) {
    switch (offset) {
      case SR:
        if (this.forced === null) this.chip.deselect(); // all has been sent
        return TX_READY | (this.replies.length ? RX_READY : 0);
      case TXFLR:
        return 0;
      case RXFLR:
        return this.replies.length;
      case IDR:
        return 0x51535049;
      case VERSION:
        return 0x3430312a;
    }
    if (offset >= DR0 && offset < DR_END) return this.replies.shift() ?? 0;
    return this.registers[offset >> 2];
  }

  writeUint32(offset, value) {
    if (offset >= DR0 && offset < DR_END) {
      this.replies.push(this.forced === 1 ? 0xff : this.chip.exchange(value & 0xff));
      return;
    }
    if (offset === SSIENR) {
      this.chip.deselect();
      this.replies.length = 0;
    }
    this.registers[offset >> 2] = value;
  }
}

const SS_CTRL = 0x0c;
const CTRL_END = 0x30;
const PADS_HIGH = 0xff << 8; // STATUS of each pin

// IO_QSPI, of which only the chip select's override matters.
export class IoQspi extends BasePeripheral {
  constructor(rp2040, ssi) {
    super(rp2040, 'IO_QSPI');
    this.ssi = ssi;
    this.registers = new Uint32Array(64);
  }

  readUint32(offset) {
    const status = offset < CTRL_END && offset % 8 === 0;
    return status ? PADS_HIGH : this.registers[offset >> 2];
  }

  writeUint32(offset, value) {
    this.registers[offset >> 2] = value;
    if (offset === SS_CTRL) this.ssi.force([null, null, 0, 1][(value >> 8) & 3]);
  }
}
