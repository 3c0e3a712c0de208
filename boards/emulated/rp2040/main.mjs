// A Raspberry Pi Pico as a process: `node main.mjs --help` tells how.
import fs from 'node:fs';
import { parseArgs } from 'node:util';

import { Board } from './board.mjs';
import { FlashChip } from './flash.mjs';
import { readImage } from './image.mjs';
import { Memory } from './memory.mjs';
import { Pacer } from './pacer.mjs';
import { bitSource } from './rosc.mjs';
import { Tty } from './tty.mjs';
import { Usb } from './usb.mjs';

const HELP = `Runs RP2040 firmware. Ends with SIGTERM or SIGINT; SIGKILL is like cutting its power.

  --bootrom FILE        the RP2040's boot ROM
  --image FILE          firmware, .uf2 or .bin, written to flash at each start
  --flash FILE          keeps the flash; made when it is missing
  --flash-journal FILE  gets a line of JSON for each erasure and programming
  --unique-id HEX       8 bytes that the flash chip says when asked who it is
  --repl FD             a pty, already open and non-blocking, for the console on USB
  --console FILE        gets all that the board prints there
  --uart0 TTY, --uart1 TTY
                        what the UARTs are wired to; in raw mode
  --rosc KIND           the ring oscillator's bits: host (true randomness), seed:HEX or ones
  --adc KIND            the same for the noise on the temperature sensor
  --free                let time pass as fast as it can: for runs that nothing outside answers.
                        With --rosc seed:HEX and --adc seed:HEX such runs repeat to the cycle.
  --stop-at TEXT        end as soon as the board has printed this
  --statistics FILE     gets JSON at the end, and at each SIGUSR2
  --attached            end when standard input does: it never outlives who started it

Prints "ready" when all of these are open.
`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    bootrom: { type: 'string' },
    image: { type: 'string' },
    flash: { type: 'string' },
    'flash-journal': { type: 'string' },
    'unique-id': { type: 'string', default: 'e6605838833e4d2b' },
    repl: { type: 'string' },
    console: { type: 'string' },
    uart0: { type: 'string' },
    uart1: { type: 'string' },
    rosc: { type: 'string', default: 'host' },
    adc: { type: 'string', default: 'host' },
    free: { type: 'boolean' },
    'stop-at': { type: 'string' },
    statistics: { type: 'string' },
    attached: { type: 'boolean' },
  },
});

const SLICE = 2e6; // nanoseconds of the board's time between two looks at the outside
const MOST_SLEEP = 1000; // milliseconds: it is woken by what comes in

function main() {
  const memory = new Memory();
  const bootrom = fs.readFileSync(options.bootrom);
  memory.bytes.set(bootrom);
  const chip = new FlashChip(memory.flash, {
    file: options.flash,
    journal: options['flash-journal'],
    uniqueId: Buffer.from(options['unique-id'], 'hex'),
  });
  if (options.image) for (const part of readImage(options.image)) chip.load(...part);

  const printed = options.console && fs.openSync(options.console, 'w');
  const ending = options['stop-at'];
  let tail = '';
  const usb = new Usb((bytes) => {
    if (printed) fs.writeSync(printed, bytes);
    repl?.write(bytes);
    if (ending) {
      tail = (tail + Buffer.from(bytes).toString('latin1')).slice(-ending.length - 64);
      if (tail.includes(ending)) board.stop();
    }
  });
  const sent = [[], []];
  const board = new Board({
    memory,
    chip,
    usb,
    rosc: bitSource(options.rosc),
    adc: bitSource(options.adc),
    onUart: (index, byte) => sent[index].push(byte),
  });

  const type = (bytes) => arrive(() => usb.send(bytes));
  const repl = options.repl && new Tty(Number(options.repl), type);
  const wires = [options.uart0, options.uart1].map((where, index) => {
    const receive = (bytes) => arrive(() => board.rp2040.uart[index].receive(bytes));
    return where && new Tty(where, receive);
  });

  const pacer = options.free ? null : new Pacer();
  let sleep = null;

  // Something comes in from outside: the board's time is now, even if it would sleep for longer.
  function arrive(deliver) {
    const asleep = sleep !== null;
    if (asleep && pacer) board.runUntil(pacer.limit(board.next));
    deliver();
    if (!asleep) return;
    clearTimeout(sleep);
    turn();
  }

  function turn() {
    sleep = null;
    const limit = pacer ? pacer.limit(board.next) : Infinity;
    board.runUntil(Math.min(limit, board.nanos + SLICE));
    sent.forEach((bytes, index) => {
      if (bytes.length) wires[index]?.write(bytes.splice(0));
    });
    if (board.stopped) finish();
    const now = pacer ? pacer.limit(board.next) : Number.MAX_VALUE;
    if (board.next < now) setImmediate(turn);
    else sleep = setTimeout(turn, Math.min((board.next - now) / 1e6, MOST_SLEEP));
  }

  function report() {
    const file = options.statistics;
    if (!file) return;
    const statistics = { ...board.statistics, host_seconds: process.uptime() };
    fs.writeFileSync(`${file}.new`, `${JSON.stringify(statistics)}\n`);
    fs.renameSync(`${file}.new`, file);
  }

  function finish() {
    report();
    process.exit(0);
  }

  process.on('SIGUSR2', report);
  process.on('SIGTERM', finish);
  process.on('SIGINT', finish);
  if (options.attached) process.stdin.on('end', finish).resume();
  process.stdout.write('ready\n');
  turn();
}

if (options.help) process.stdout.write(HELP);
else main();
