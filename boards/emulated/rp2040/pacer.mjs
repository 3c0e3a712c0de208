// Keeps the board's time from running ahead of the world's, where something outside answers it:
// a second of waiting takes a second, and no timeout of the board's comes early.

const LAG = 5e6; // nanoseconds that are caught up with; the time that is lost beyond that is lost

export class Pacer {
  constructor() {
    this.start = process.hrtime.bigint();
    this.lost = 0;
  }

  // How far the board may be, in its nanoseconds. It has something to do at `next`: what passes
  // after that without its doing it is lost, and what passes before is not.
  limit(next) {
    const limit = Number(process.hrtime.bigint() - this.start) - this.lost;
    const excess = Math.max(0, limit - next - LAG);
    this.lost += excess;
    return limit - excess;
  }
}
