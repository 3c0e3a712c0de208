// A PL011 that takes the time that a UART takes.
//
// rp2040js's sends in no time, asserts its transmit interrupt for ever, which starves MicroPython,
// and drops received bytes without a word when its FIFO is full. Here every byte takes its bits on
// the wire in both directions, the interrupts follow the FIFOs' levels, and overruns are counted.
import { BasePeripheral, FIFO } from './rp2040js.mjs';

const DR = 0x00;
const RSR = 0x04;
const FR = 0x18;
const IBRD = 0x24;
const FBRD = 0x28;
const LCR_H = 0x2c;
const CR = 0x30;
const IFLS = 0x34;
const IMSC = 0x38;
const RIS = 0x3c;
const MIS = 0x40;
const ICR = 0x44;
const DMACR = 0x48;
const PERIPHERAL_ID = 0xfe0;
const ID = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

const FR_BUSY = 1 << 3;
const FR_RX_EMPTY = 1 << 4;
const FR_TX_FULL = 1 << 5;
const FR_RX_FULL = 1 << 6;
const FR_TX_EMPTY = 1 << 7;

const LCR_PARITY = 1 << 1;
const LCR_TWO_STOP_BITS = 1 << 3;
const LCR_FIFOS = 1 << 4;

const CR_ENABLE = 1 << 0;
const CR_TX = 1 << 8;
const CR_RX = 1 << 9;

const RX_INTERRUPT = 1 << 4;
const TX_INTERRUPT = 1 << 5;
const TIMEOUT_INTERRUPT = 1 << 6;
const OVERRUN_INTERRUPT = 1 << 10;
const OVERRUN_ERROR = 1 << 3;

const DEPTH = 32;
const LEVELS = [4, 8, 16, 24, 28]; // as IFLS selects them
const TIMEOUT_BITS = 32;
const DEFAULT_BAUD = 115200; // of what passes by before the firmware sets a rate

export class Pl011 extends BasePeripheral {
  // `statistics` outlives this object, which ends with a reset of the board.
  constructor(rp2040, index, irq, statistics) {
    super(rp2040, `UART${index}`);
    this.irq = irq;
    this.statistics = statistics;
    this.onSent = () => {}; // called with each byte when it has left
    this.line = []; // bytes that wait to come in
    this.arriving = false;
    const { clock } = rp2040;
    this.sent = clock.createAlarm(() => this.#finishSending());
    this.arrived = clock.createAlarm(() => this.#finishReceiving());
    this.timeout = clock.createAlarm(() => this.#raise(TIMEOUT_INTERRUPT));
    this.reset();
  }

  // What RESETS does to it; what is on the line is not its.
  reset() {
    this.rx = new FIFO(DEPTH);
    this.tx = new FIFO(DEPTH);
    this.shifting = null; // the byte on its way out
    this.overrun = false;
    this.integer = this.fraction = 0;
    this.lineControl = 0;
    this.control = CR_TX | CR_RX;
    this.levels = 0b010010;
    this.mask = this.status = 0;
    this.sent.cancel();
    this.timeout.cancel();
    this.#updateInterrupt();
  }

  // Put bytes on the line to the board.
  receive(bytes) {
    for (const byte of bytes) this.line.push(byte);
    this.#startReceiving();
  }

  // Called by rp2040js; what is on its way keeps the time that it was given.
  clkPeriChanged() {}

  get #bitNanos() {
    const divider = this.integer + this.fraction / 64;
    return divider ? (16e9 * divider) / this.rp2040.clkPeri : 1e9 / DEFAULT_BAUD;
  }

  get #byteNanos() {
    const bits = 5 + ((this.lineControl >> 5) & 3);
    const parity = this.lineControl & LCR_PARITY ? 1 : 0;
    const stop = this.lineControl & LCR_TWO_STOP_BITS ? 2 : 1;
    return (1 + bits + parity + stop) * this.#bitNanos;
  }

  get #depth() {
    return this.lineControl & LCR_FIFOS ? DEPTH : 1;
  }

  #on(direction) {
    return this.control & CR_ENABLE && this.control & direction;
  }

  #level(shift) {
    return this.#depth === 1 ? 1 : (LEVELS[(this.levels >> shift) & 7] ?? LEVELS[2]);
  }

  #startSending() {
    if (this.shifting !== null || this.tx.empty || !this.#on(CR_TX)) return;
    this.shifting = this.tx.pull();
    this.sent.schedule(this.#byteNanos);
    const level = this.#depth === 1 ? 0 : this.#level(0);
    if (this.tx.itemCount === level || this.tx.empty) this.#raise(TX_INTERRUPT);
  }

  #finishSending() {
    this.statistics.sent++;
    this.onSent(this.shifting);
    this.shifting = null;
    this.#startSending();
  }

  #startReceiving() {
    if (this.arriving || !this.line.length) return;
    this.arriving = true;
    this.arrived.schedule(this.#byteNanos);
  }

  #finishReceiving() {
    const byte = this.line.shift();
    this.arriving = false;
    if (this.#on(CR_RX)) {
      this.statistics.received++;
      if (this.rx.itemCount < this.#depth) {
        this.rx.push(byte);
        if (this.rx.itemCount >= this.#level(3)) this.#raise(RX_INTERRUPT);
      } else {
        this.statistics.overruns++;
        this.overrun = true;
        this.#raise(OVERRUN_INTERRUPT);
      }
      this.timeout.schedule(TIMEOUT_BITS * this.#bitNanos);
    } else this.statistics.missed++;
    this.#startReceiving();
  }

  #raise(interrupts) {
    this.status |= interrupts;
    this.#updateInterrupt();
  }

  #updateInterrupt() {
    this.rp2040.setInterrupt(this.irq, !!(this.status & this.mask));
  }

  readUint32(offset) {
    switch (offset) {
      case DR:
        return this.#readData();
      case RSR:
        return this.overrun ? OVERRUN_ERROR : 0;
      case FR:
        return this.#flags();
      case IBRD:
        return this.integer;
      case FBRD:
        return this.fraction;
      case LCR_H:
        return this.lineControl;
      case CR:
        return this.control;
      case IFLS:
        return this.levels;
      case IMSC:
        return this.mask;
      case RIS:
        return this.status;
      case MIS:
        return this.status & this.mask;
      case DMACR:
        return 0;
    }
    if (offset >= PERIPHERAL_ID) return ID[(offset - PERIPHERAL_ID) >> 2];
    return super.readUint32(offset);
  }

  #readData() {
    const { rx } = this;
    const value = rx.pull() | (this.overrun ? OVERRUN_ERROR << 8 : 0);
    this.overrun = false;
    if (rx.itemCount < this.#level(3)) this.status &= ~RX_INTERRUPT;
    if (rx.empty) {
      this.status &= ~TIMEOUT_INTERRUPT;
      this.timeout.cancel();
    } else this.timeout.schedule(TIMEOUT_BITS * this.#bitNanos);
    this.#updateInterrupt();
    return value;
  }

  #flags() {
    const { rx, tx } = this;
    return (
      (this.shifting === null ? 0 : FR_BUSY) |
      (rx.empty ? FR_RX_EMPTY : 0) |
      (tx.itemCount >= this.#depth ? FR_TX_FULL : 0) |
      (rx.itemCount >= this.#depth ? FR_RX_FULL : 0) |
      (tx.empty ? FR_TX_EMPTY : 0)
    );
  }

  writeUint32(offset, value) {
    switch (offset) {
      case DR:
        if (this.tx.itemCount < this.#depth) this.tx.push(value & 0xff);
        if (this.tx.itemCount > this.#level(0)) this.status &= ~TX_INTERRUPT;
        this.#startSending();
        this.#updateInterrupt();
        break;
      case RSR:
        this.overrun = false;
        break;
      case IBRD:
        this.integer = value & 0xffff;
        break;
      case FBRD:
        this.fraction = value & 0x3f;
        break;
      case LCR_H:
        this.lineControl = value & 0xff;
        break;
      case CR:
        this.control = value & 0xffff;
        this.#startSending();
        break;
      case IFLS:
        this.levels = value & 0x3f;
        break;
      case IMSC:
        this.mask = value & 0x7ff;
        this.#updateInterrupt();
        break;
      case ICR:
        this.status &= ~this.rawWriteValue;
        this.#updateInterrupt();
        break;
      case DMACR:
        break; // no DMA
      default:
        super.writeUint32(offset, value);
    }
  }
}
