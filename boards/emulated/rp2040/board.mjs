// A Raspberry Pi Pico: the chip, its flash, and what is plugged into it.
import { Psm, Resets, Sio, VoltageRegulator, XipControl } from './chip.mjs';
import { Clock } from './clock.mjs';
import { Core } from './core.mjs';
import { IoQspi, Ssi } from './flash.mjs';
import { FLASH_START } from './memory.mjs';
import { Rosc, addNoise } from './rosc.mjs';
import { ConsoleLogger, LogLevel, RP2040 } from './rp2040js.mjs';
import { Pl011 } from './uart.mjs';

const UART_IRQS = [20, 21];
const UART_RESETS = [22, 23];

export class Board {
  // `rosc` and `adc` give random bits; `onUart(index, byte)` is called with what the UARTs send.
  constructor({ memory, chip, usb, rosc, adc, onUart }) {
    Object.assign(this, { memory, chip, usb, rosc, adc, onUart });
    this.boots = 0;
    this.earlier = { nanos: 0, cycles: 0, instructions: 0 }; // before the last reset
    this.uarts = UART_IRQS.map(() => ({ sent: 0, received: 0, overruns: 0, missed: 0 }));
    this.#boot();
  }

  // Nanoseconds since it was switched on.
  get nanos() {
    return this.earlier.nanos + this.clock.nanos;
  }

  // When it next does something by itself, in `nanos`.
  get next() {
    if (!this.core.waiting) return this.nanos;
    return this.earlier.nanos + (this.clock.alarms.at(-1)?.nanos ?? Infinity);
  }

  // Run until a moment in `nanos`.
  runUntil(moment) {
    while (this.nanos < moment && !this.stopped) {
      this.clock.runUntil(moment - this.earlier.nanos);
      if (this.resetting) this.#boot();
    }
  }

  // Stop at once; `runUntil` does nothing any more.
  stop() {
    this.stopped = true;
    this.clock.freeze();
  }

  get statistics() {
    const { erasures, programmings } = this.chip;
    return {
      boots: this.boots,
      seconds: this.nanos / 1e9,
      cycles: this.earlier.cycles + this.clock.cycles,
      instructions: this.earlier.instructions + this.core.instructions,
      flash: { erasures, programmings },
      uarts: this.uarts,
    };
  }

  // Switch it on, or reset it: every register is as new, and only memory is what it was.
  #boot() {
    const last = this.rp2040;
    if (last) {
      this.earlier.nanos += this.clock.nanos;
      this.earlier.cycles += this.clock.cycles;
      this.earlier.instructions += this.core.instructions;
    }
    this.boots++;
    this.resetting = false;
    this.clock = this.chip.clock = new Clock();
    const rp2040 = (this.rp2040 = new RP2040(this.clock));
    rp2040.logger = new ConsoleLogger(LogLevel.Error, false);
    this.memory.attach(rp2040);
    this.core = rp2040.core = this.clock.core = new Core(rp2040, this.memory);
    rp2040.addClockListener((hertz) => (this.clock.frequency = hertz));
    this.chip.powerUp();
    this.#replaceParts(rp2040);
    this.#watch(rp2040.peripherals[0x40058], last?.peripherals[0x40058]);
    addNoise(rp2040.adc, this.adc);
    this.usb.attach(rp2040);
    // The boot ROM's own start is left out: it would find the second stage and jump to it.
    this.core.reset();
    this.core.PC = FLASH_START;
  }

  #replaceParts(rp2040) {
    const ssi = new Ssi(rp2040, this.chip);
    rp2040.sio = new Sio(rp2040);
    rp2040.uart = UART_IRQS.map((irq, i) => new Pl011(rp2040, i, irq, this.uarts[i]));
    rp2040.uart.forEach((uart, i) => (uart.onSent = (byte) => this.onUart(i, byte)));
    Object.assign(rp2040.peripherals, {
      0x14000: new XipControl(rp2040),
      0x18000: ssi,
      0x4000c: new Resets(
        rp2040,
        Object.fromEntries(UART_RESETS.map((bit, i) => [bit, () => rp2040.uart[i].reset()])),
      ),
      0x40010: new Psm(rp2040),
      0x40018: new IoQspi(rp2040, ssi),
      0x40034: rp2040.uart[0],
      0x40038: rp2040.uart[1],
      0x40060: new Rosc(rp2040, this.rosc),
      0x40064: new VoltageRegulator(rp2040),
    });
  }

  // The watchdog resets the board, as machine.reset() does through it, and remembers why.
  #watch(watchdog, last) {
    if (last) {
      watchdog.reason = last.reason;
      watchdog.scratchData.set(last.scratchData);
    }
    watchdog.onWatchdogTrigger = () => {
      this.resetting = true;
      this.clock.freeze();
    };
  }
}
