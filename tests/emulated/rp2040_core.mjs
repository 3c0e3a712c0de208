// Compares boards/emulated/rp2040/core.mjs with rp2040js's own core: random instructions on random
// registers, flags and memory. `node rp2040_core.mjs COUNT SEED` prints how many were the same.
import { Core } from '../../boards/emulated/rp2040/core.mjs';
import { Memory, SRAM_AT, SRAM_START } from '../../boards/emulated/rp2040/memory.mjs';
import { ConsoleLogger, LogLevel, RP2040 } from '../../boards/emulated/rp2040/rp2040js.mjs';
import { burst } from '../../boards/emulated/rp2040/thumb.mjs';

const COUNT = Number(process.argv[2]);
let state = Number(process.argv[3]);

function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // enough to reach every case
  return (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) ^ (state >>> 12)) >>> 0;
}

const EDGES = [0, 1, 31, 32, 33, 255, 256, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const CODE = SRAM_START + 0x10000;
const DATA = SRAM_START + 0x20000; // what loads and stores reach is around it
const TOUCHED = 0x400; // bytes around that, half of them before
const INSTRUCTION = (CODE - SRAM_START + SRAM_AT) >> 1; // in halves of the memory
const WATCHED = (DATA - SRAM_START + SRAM_AT - TOUCHED / 2) >> 2; // in its words

function value() {
  switch (random() % 4) {
    case 0:
      return EDGES[random() % EDGES.length];
    case 1:
      return random() & 0xff;
    case 2:
      return DATA + (random() & 0xfc);
  }
  return random();
}

// The flag that rp2040js gets wrong, and that is not compared: the carry of a shift by a register
// that holds 0 or more than 31, and the overflow of what adds a carry to 0x7fffffff first.
function wrong(op, registers, carry) {
  const operand = registers[(op >> 3) & 7] >>> 0;
  switch (op >> 6) {
    case 0b0100000010: // LSLS, LSRS, ASRS, RORS
    case 0b0100000011:
    case 0b0100000100:
    case 0b0100000111:
      return (operand & 0xff) === 0 || (operand & 0xff) > 31 ? 'C' : '';
    case 0b0100000101: // ADCS
      return carry && registers[op & 7] >>> 0 === 0x7fffffff ? 'V' : '';
    case 0b0100000110: // SBCS
      return !carry && operand === 0x7fffffff ? 'V' : '';
  }
  return '';
}

function supported(op) {
  if (op >> 8 === 0xdf || op >> 8 === 0xde || op >> 8 === 0xbe) return false; // SVC, UDF, BKPT
  if (op >> 11 === 0b11101 || op >> 11 === 0b11111 || op >> 8 === 0xb1) return false;
  if ([0xb3, 0xb6, 0xb7, 0xb8, 0xb9, 0xbb, 0xbf].includes(op >> 8)) return false;
  return op >> 6 !== 0b1011101010 && op !== 0x47f0; // BLX LR: rp2040js jumps to where it is
}

function chip(make) {
  const rp2040 = new RP2040();
  const memory = new Memory();
  memory.attach(rp2040);
  rp2040.logger = new ConsoleLogger(LogLevel.Error, false);
  return { rp2040, memory, core: make(rp2040, memory) };
}

const ours = chip((rp2040, memory) => (rp2040.core = new Core(rp2040, memory)));
const theirs = chip((rp2040) => rp2040.core);
const both = [ours, theirs];

function set(op, low, registers, flags) {
  const content = Int32Array.from({ length: TOUCHED / 4 }, random);
  for (const { core, memory } of both) {
    memory.halves[INSTRUCTION] = op;
    memory.halves[INSTRUCTION + 1] = low;
    memory.words.set(content, WATCHED);
    core.registers.set(registers);
    [core.N, core.Z, core.C, core.V] = flags;
    core.waiting = core.eventRegistered = core.interruptsUpdated = false;
    core.pendingSVCall = core.PM = false;
  }
}

// What may have changed, without the flag `wrong`, as numbers.
function* result({ core, memory }, wrong) {
  yield* core.registers;
  for (const flag of ['N', 'Z', 'C', 'V', 'waiting']) yield flag !== wrong && core[flag];
  yield* memory.words.subarray(WATCHED, WATCHED + TOUCHED / 4);
}

let same = 0;
let native = 0;
while (same < COUNT) {
  const op = random() & 0xffff;
  if (!supported(op)) continue;
  const low = op >> 11 === 0b11110 ? 0xd000 | (random() & 0x2fff) : random() & 0xffff;
  const registers = Array.from({ length: 16 }, value);
  registers[13] = DATA + (random() & 0x7c);
  registers[15] = CODE;
  if (op >> 12 >= 5 && op >> 12 <= 12) {
    // Loads and stores: what is added is small, and the sum is aligned.
    for (let i = 0; i < 8; i++) registers[i] = DATA + (random() & 0x7c);
    if (op >> 12 === 5) registers[(op >> 6) & 7] = random() & 0x7c;
  }
  const flags = Array.from({ length: 4 }, () => !!(random() & 1));
  if (flags[0]) flags[1] = false; // no result is both negative and zero
  set(op, low, registers, flags);
  const cycles = theirs.core.executeInstruction();
  ours.core.left = 1;
  if (burst(ours.core)) ours.core.left -= ours.core.executeInstruction();
  else native++;
  const flag = wrong(op, registers, flags[2]);
  const [a, b] = both.map((each) => [...result(each, flag)]);
  if (1 - ours.core.left !== cycles || a.some((word, i) => word !== b[i])) {
    const shown = (words) => words.map((word) => Number(word >>> 0).toString(16)).join(' ');
    console.log(`${op.toString(16)} ${low.toString(16)} on ${shown(registers)}, NZCV ${flags}`);
    console.log(`ours, ${1 - ours.core.left} cycles: ${shown(a)}`);
    console.log(`theirs, ${cycles} cycles: ${shown(b)}`);
    process.exit(1);
  }
  same++;
}
console.log(`${same} instructions gave the same, ${native} of them without rp2040js`);
