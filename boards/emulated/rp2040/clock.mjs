// The board's time: it passes with the cycles that the core uses, and jumps when nothing runs.
//
// rp2040js's own clock is told about each instruction, in floating point. This one gives the core
// a budget of whole cycles up to the next alarm, and works out the time from what is left of it.

class Alarm {
  constructor(clock, callback) {
    this.clock = clock;
    this.callback = callback;
    this.nanos = 0;
    this.scheduled = false;
  }

  schedule(delay) {
    this.cancel();
    this.nanos = this.clock.nanos + delay;
    this.scheduled = true;
    this.clock.add(this);
  }

  cancel() {
    if (this.scheduled) {
      this.scheduled = false;
      this.clock.remove(this);
    }
  }
}

// The interface is that of rp2040js's SimulationClock.
export class Clock {
  constructor() {
    this.core = { left: 0 };
    this.base = 0; // nanoseconds at which the budget began
    this.budget = 0; // cycles; the core counts `left` down from it
    this.cycles = 0; // used before the budget began
    this.nanosPerCycle = 8;
    this.alarms = []; // the next one is the last
    this.frozen = false;
  }

  get nanos() {
    return this.base + (this.budget - this.core.left) * this.nanosPerCycle;
  }

  get micros() {
    return this.nanos / 1000;
  }

  createAlarm(callback) {
    return new Alarm(this, callback);
  }

  get nanosToNextAlarm() {
    const next = this.alarms.at(-1);
    return next ? Math.max(0, next.nanos - this.nanos) : 0;
  }

  add(alarm) {
    // Of two for the same moment, the one that was added later goes first, as in rp2040js.
    const { alarms } = this;
    let at = alarms.length;
    while (at > 0 && alarms[at - 1].nanos < alarm.nanos) at--;
    alarms.splice(at, 0, alarm);
    if (at === alarms.length - 1) this.shorten(alarm.nanos);
  }

  remove(alarm) {
    this.alarms.splice(this.alarms.indexOf(alarm), 1);
  }

  set frequency(hertz) {
    const left = this.core.left;
    this.settle();
    this.nanosPerCycle = 1e9 / hertz;
    if (left > 0) this.grant(this.until);
  }

  // Run the core until a moment, or until it waits with nothing left to wake it before then.
  runUntil(moment) {
    this.until = moment;
    while (!this.frozen && this.base < moment) {
      this.fire();
      if (this.core.waiting) {
        const next = this.alarms.at(-1)?.nanos ?? Infinity;
        this.base = Math.min(moment, Math.max(this.base, next));
      } else {
        this.grant(moment);
        this.core.run();
        this.settle();
      }
    }
    this.fire();
  }

  // Let time pass while the core stands still in the middle of an instruction.
  skip(delay) {
    this.settle();
    this.base += delay;
    this.fire();
    this.grant(this.until);
  }

  // Stop the core after this instruction, and all alarms, for good.
  freeze() {
    this.frozen = true;
    this.settle();
  }

  // Budget up to a moment or the next alarm; none if that is now.
  grant(moment) {
    const next = this.alarms.at(-1)?.nanos ?? Infinity;
    const delay = Math.max(0, Math.min(moment, next) - this.base);
    this.budget = this.core.left = Math.min(Math.ceil(delay / this.nanosPerCycle), MOST_CYCLES);
  }

  // Turn what was used of the budget into time.
  settle() {
    this.base = this.nanos;
    this.cycles += this.budget - this.core.left;
    this.budget = this.core.left = 0;
  }

  shorten(moment) {
    const { core } = this;
    const left = Math.max(0, Math.ceil((moment - this.nanos) / this.nanosPerCycle));
    if (left < core.left) {
      this.budget -= core.left - left;
      core.left = left;
    }
  }

  // Call what is due. Each alarm sees the moment that it was set for, so that what repeats
  // does not drift.
  fire() {
    const now = this.base;
    for (let next; !this.frozen && (next = this.alarms.at(-1)) && next.nanos <= now; ) {
      this.alarms.pop();
      next.scheduled = false;
      this.base = next.nanos;
      next.callback();
    }
    this.base = now;
  }
}

const MOST_CYCLES = 1 << 28; // fits a small integer
