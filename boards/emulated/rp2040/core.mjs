// A faster Cortex-M0+ for rp2040js: the same registers, results and cycle counts.
//
// rp2040js finds an instruction by comparing it with some seventy patterns one after the other,
// and ticks the clock after each. This core jumps to it, keeps the program counter and the flags
// in local variables, reads memory without detours, and counts down a budget of cycles that the
// clock gives it. What is rare, like exceptions and access to peripherals, is left to rp2040js.
//
// It differs where rp2040js is wrong: the carry of a shift by a register that holds 0 or more than
// 31, the overflow of ADCS and SBCS, BLX LR, SEV, and an interrupt that comes while PRIMASK is set.
import { CortexM0Core } from './rp2040js.mjs';
import { burst } from './thumb.mjs';

export class Core extends CortexM0Core {
  constructor(rp2040, memory) {
    super(rp2040);
    this.memory = memory;
    this.signed = new Int32Array(this.registers.buffer);
    this.left = 0; // cycles that may still be used
    this.instructions = 0;
  }

  // Run until the budget is used or the core waits for an event.
  run() {
    while (this.left > 0 && !this.waiting) {
      if (this.interruptsUpdated || burst(this)) {
        const cycles = this.executeInstruction(); // the clock may change `left` meanwhile
        this.left -= cycles;
        this.instructions++;
      }
    }
  }

  setInterrupt(number, level) {
    const before = this.pendingInterrupts;
    super.setInterrupt(number, level);
    if (this.pendingInterrupts & ~before) {
      // SEVONPEND, which MicroPython sets: what becomes pending ends WFE, enabled or not.
      this.eventRegistered = true;
      this.waiting = false;
    }
  }

  checkForInterrupts() {
    // An interrupt that PRIMASK masks ends WFI, but is not taken.
    return this.waiting && this.PM ? true : super.checkForInterrupts();
  }
}
