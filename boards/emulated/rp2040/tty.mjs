// A tty that never blocks: bytes that come in are handed on at once, those that go out are queued.
import fs from 'node:fs';
import { ReadStream } from 'node:tty';

const { O_RDWR, O_NOCTTY, O_NONBLOCK } = fs.constants;
const RETRY_MS = 2;
const PATIENCE_MS = 1000;

export class Tty {
  // `where` is a path, or the number of a file descriptor that is non-blocking already. The tty
  // has to be in raw mode.
  constructor(where, onData) {
    const opened = typeof where === 'number';
    this.out = opened ? where : fs.openSync(where, O_RDWR | O_NOCTTY | O_NONBLOCK);
    this.queue = [];
    this.stuckSince = null;
    this.timer = null;
    this.in = new ReadStream(this.out);
    this.in.on('data', onData);
    this.in.on('error', () => this.close());
  }

  write(bytes) {
    this.queue.push(Buffer.from(bytes));
    if (!this.timer) this.flush();
  }

  // Write what fits. Who does not read for a second is not there: what is queued is dropped, as a
  // serial port does that nobody listens to.
  flush() {
    this.timer = null;
    while (this.queue.length) {
      const bytes = this.queue[0];
      let written = 0;
      try {
        written = fs.writeSync(this.out, bytes);
      } catch (error) {
        if (error.code !== 'EAGAIN') return this.close();
      }
      if (written) this.stuckSince = null;
      if (written === bytes.length) {
        this.queue.shift();
        continue;
      }
      this.queue[0] = bytes.subarray(written);
      this.stuckSince ??= Date.now();
      if (Date.now() - this.stuckSince > PATIENCE_MS) {
        this.queue.length = 0;
        return;
      }
      this.timer = setTimeout(() => this.flush(), RETRY_MS);
      return;
    }
  }

  close() {
    this.queue.length = 0;
    this.write = () => {};
    this.in.destroy();
  }
}
