// The instructions of the Cortex-M0+ that programs are made of.
import { FLASH_AT, FLASH_SIZE, FLASH_START } from './memory.mjs';
import { ROM_SIZE, SRAM_AT, SRAM_SIZE, SRAM_START } from './memory.mjs';

const FLASH_AREA = FLASH_START >>> 24;
const SRAM_AREA = SRAM_START >>> 24;
const SIO_AREA = 0xd;
const CPSID = 0xb672;
const SEV = 0xbf40;
const BARRIER = 0xf3bf; // the first half of DMB, DSB and ISB

// Loads and stores, numbered as in the encoding of those that add two registers.
const STORE_WORD = 0;
const STORE_HALF = 1;
const STORE_BYTE = 2;
const LOAD_SIGNED_BYTE = 3;
const LOAD_WORD = 4;
const LOAD_HALF = 5;
const LOAD_BYTE = 6;
const LOAD_SIGNED_HALF = 7;

// Run instructions until the budget is used; true if the next one has to be left to rp2040js.
export function burst(core) {
  const r = core.signed;
  const { bytes, halves, words } = core.memory;
  const { sio } = core.rp2040;
  let { left, instructions } = core;
  let pc = r[15] & ~1;
  let area = -1; // topmost eight bits of pc
  let start = 0; // pc - start is an offset in memory
  // N is the sign of `negative` and Z is `zero === 0`: to most instructions both are the result.
  let negative = core.N ? -1 : 0;
  let zero = core.Z ? 0 : 1;
  let carry = core.C ? 1 : 0;
  let overflow = core.V ? 1 : 0;
  let foreign = true;

  run: {
    while (left > 0) {
      if (pc >>> 24 !== area) {
        area = pc >>> 24;
        if (area === FLASH_AREA) start = FLASH_START - FLASH_AT;
        else if (area === SRAM_AREA) start = SRAM_START - SRAM_AT;
        else start = 0;
      }
      const op = halves[(pc - start) >> 1];
      pc += 2;
      left--;
      instructions++;

      let address; // of a load or store, the register, and what is done with them
      let t = op & 7;
      let access;
      switch (op >> 11) {
        case 0b00000: { // LSLS (immediate)
          const value = r[(op >> 3) & 7];
          const shift = (op >> 6) & 31;
          if (shift) carry = (value >>> (32 - shift)) & 1;
          negative = zero = r[t] = value << shift;
          continue;
        }
        case 0b00001: { // LSRS (immediate)
          const value = r[(op >> 3) & 7];
          const shift = ((op >> 6) & 31 || 32) - 1;
          carry = (value >>> shift) & 1;
          negative = zero = r[t] = (value >>> shift) >>> 1;
          continue;
        }
        case 0b00010: { // ASRS (immediate)
          const value = r[(op >> 3) & 7];
          const shift = ((op >> 6) & 31 || 32) - 1;
          carry = (value >> shift) & 1;
          negative = zero = r[t] = (value >> shift) >> 1;
          continue;
        }
        case 0b00011: { // ADDS, SUBS (register, 3-bit immediate)
          const a = r[(op >> 3) & 7];
          const b = op & 0x400 ? (op >> 6) & 7 : r[(op >> 6) & 7];
          let result;
          if (op & 0x200) {
            result = (a - b) | 0;
            carry = a >>> 0 >= b >>> 0 ? 1 : 0;
            overflow = ((a ^ b) & (a ^ result)) >>> 31;
          } else {
            result = (a + b) | 0;
            carry = result >>> 0 < a >>> 0 ? 1 : 0;
            overflow = ((a ^ result) & (b ^ result)) >>> 31;
          }
          negative = zero = r[t] = result;
          continue;
        }
        case 0b00100: negative = zero = r[(op >> 8) & 7] = op & 0xff; continue; // MOVS (immediate)
        case 0b00101: { // CMP (immediate)
          const a = r[(op >> 8) & 7];
          const result = (a - (op & 0xff)) | 0;
          carry = a >>> 0 >= (op & 0xff) ? 1 : 0;
          overflow = (a & ~result) >>> 31;
          negative = zero = result;
          continue;
        }
        case 0b00110: { // ADDS (8-bit immediate)
          const a = r[(op >> 8) & 7];
          const result = (a + (op & 0xff)) | 0;
          carry = result >>> 0 < a >>> 0 ? 1 : 0;
          overflow = (~a & result) >>> 31;
          negative = zero = r[(op >> 8) & 7] = result;
          continue;
        }
        case 0b00111: { // SUBS (8-bit immediate)
          const a = r[(op >> 8) & 7];
          const result = (a - (op & 0xff)) | 0;
          carry = a >>> 0 >= (op & 0xff) ? 1 : 0;
          overflow = (a & ~result) >>> 31;
          negative = zero = r[(op >> 8) & 7] = result;
          continue;
        }
        case 0b01000: { // data processing, high registers, BX, BLX
          const m = (op >> 3) & 15;
          const d = t | ((op >> 4) & 8);
          const a = r[t];
          const b = r[m & 7];
          switch ((op >> 6) & 31) {
            case 0: negative = zero = r[t] = a & b; continue; // ANDS
            case 1: negative = zero = r[t] = a ^ b; continue; // EORS
            case 2: { // LSLS
              const shift = b & 0xff;
              if (shift) carry = shift < 33 ? ((a << (shift - 1)) >>> 31) & 1 : 0;
              negative = zero = r[t] = shift < 32 ? a << shift : 0;
              continue;
            }
            case 3: { // LSRS
              const shift = b & 0xff;
              if (shift) carry = shift < 33 ? (a >>> (shift - 1)) & 1 : 0;
              negative = zero = r[t] = shift < 32 ? (a >>> shift) | 0 : 0;
              continue;
            }
            case 4: { // ASRS
              const shift = Math.min(b & 0xff, 32);
              if (shift) carry = (a >> (shift - 1)) & 1;
              negative = zero = r[t] = a >> Math.min(shift, 31);
              continue;
            }
            case 5: { // ADCS
              const sum = (a >>> 0) + (b >>> 0) + carry;
              carry = sum > 0xffffffff ? 1 : 0;
              negative = zero = r[t] = sum | 0;
              overflow = ((a ^ zero) & (b ^ zero)) >>> 31;
              continue;
            }
            case 6: { // SBCS
              const difference = (a >>> 0) - (b >>> 0) - 1 + carry;
              carry = difference >= 0 ? 1 : 0;
              negative = zero = r[t] = difference | 0;
              overflow = ((a ^ b) & (a ^ zero)) >>> 31;
              continue;
            }
            case 7: // RORS
              negative = zero = r[t] = (a >>> (b & 31)) | (a << (32 - (b & 31)));
              if (b & 0xff) carry = zero >>> 31;
              continue;
            case 8: negative = zero = a & b; continue; // TST
            case 9: // RSBS
              carry = b === 0 ? 1 : 0;
              overflow = (b & -b) >>> 31;
              negative = zero = r[t] = -b | 0;
              continue;
            case 10: // CMP
              negative = zero = (a - b) | 0;
              carry = a >>> 0 >= b >>> 0 ? 1 : 0;
              overflow = ((a ^ b) & (a ^ zero)) >>> 31;
              continue;
            case 11: // CMN
              negative = zero = (a + b) | 0;
              carry = zero >>> 0 < a >>> 0 ? 1 : 0;
              overflow = ((a ^ zero) & (b ^ zero)) >>> 31;
              continue;
            case 12: negative = zero = r[t] = a | b; continue; // ORRS
            case 13: negative = zero = r[t] = Math.imul(a, b); continue; // MULS
            case 14: negative = zero = r[t] = a & ~b; continue; // BICS
            case 15: negative = zero = r[t] = ~b; continue; // MVNS
            case 16: case 17: case 18: case 19: // ADD
              if (d === 15 || d === 13) break run;
              r[d] += m === 15 ? pc + 2 : r[m];
              continue;
            case 20: case 21: case 22: case 23: { // CMP
              if (m === 15 || d === 15) break run;
              const x = r[d];
              const y = r[m];
              negative = zero = (x - y) | 0;
              carry = x >>> 0 >= y >>> 0 ? 1 : 0;
              overflow = ((x ^ y) & (x ^ zero)) >>> 31;
              continue;
            }
            case 24: case 25: case 26: case 27: // MOV
              if (d === 13) break run;
              if (d === 15) {
                pc = (m === 15 ? pc + 2 : r[m]) & ~1;
                left--;
              } else r[d] = m === 15 ? pc + 2 : r[m];
              continue;
            default: { // BX, BLX
              const target = r[m];
              if (t || m === 15 || target >>> 28 === 15) break run; // a return from an exception
              if (op & 0x80) r[14] = pc | 1;
              pc = target & ~1;
              left--;
              continue;
            }
          }
        }
        case 0b01001: // LDR (literal)
          t = (op >> 8) & 7;
          address = ((pc + 2) & ~3) + ((op & 0xff) << 2);
          access = LOAD_WORD;
          break;
        case 0b01010:
        case 0b01011: // all loads and stores (register)
          address = (r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0;
          access = (op >> 9) & 7;
          break;
        case 0b01100:
        case 0b01101: // STR, LDR (immediate)
          address = (r[(op >> 3) & 7] + ((op >> 4) & 0x7c)) | 0;
          access = op & 0x800 ? LOAD_WORD : STORE_WORD;
          break;
        case 0b01110:
        case 0b01111: // STRB, LDRB (immediate)
          address = (r[(op >> 3) & 7] + ((op >> 6) & 0x1f)) | 0;
          access = op & 0x800 ? LOAD_BYTE : STORE_BYTE;
          break;
        case 0b10000:
        case 0b10001: // STRH, LDRH (immediate)
          address = (r[(op >> 3) & 7] + ((op >> 5) & 0x3e)) | 0;
          access = op & 0x800 ? LOAD_HALF : STORE_HALF;
          break;
        case 0b10010:
        case 0b10011: // STR, LDR (from the stack pointer)
          t = (op >> 8) & 7;
          address = (r[13] + ((op & 0xff) << 2)) | 0;
          access = op & 0x800 ? LOAD_WORD : STORE_WORD;
          break;
        case 0b10100: r[(op >> 8) & 7] = ((pc + 2) & ~3) + ((op & 0xff) << 2); continue; // ADR
        case 0b10101: r[(op >> 8) & 7] = r[13] + ((op & 0xff) << 2); continue; // ADD (from SP)
        case 0b10110: { // the stack pointer, extensions, PUSH, CPSID
          if (op >> 9 === 0b1011010) {
            let at = r[13] - SRAM_START - 36; // nine registers at most
            if (at < 0 || at >= SRAM_SIZE - 36) break run;
            at = (at + 36 + SRAM_AT) >> 2;
            if (op & 0x100) words[--at] = r[14];
            for (let list = op & 0xff; list; ) {
              const i = 31 - Math.clz32(list);
              list ^= 1 << i;
              words[--at] = r[i];
              left--;
            }
            r[13] = (at << 2) - SRAM_AT + SRAM_START;
            continue;
          }
          const value = r[(op >> 3) & 7];
          switch (op >> 6) {
            case 0b1011001000: r[t] = (value << 16) >> 16; continue; // SXTH
            case 0b1011001001: r[t] = (value << 24) >> 24; continue; // SXTB
            case 0b1011001010: r[t] = value & 0xffff; continue; // UXTH
            case 0b1011001011: r[t] = value & 0xff; continue; // UXTB
          }
          if (op >> 8 === 0b10110000) {
            r[13] += op & 0x80 ? -((op & 0x7f) << 2) : (op & 0x7f) << 2; // ADD, SUB
          } else if (op === CPSID) core.PM = true;
          else break run;
          continue;
        }
        case 0b10111: { // POP, byte order, SEV
          if (op >> 9 === 0b1011110) {
            let at = r[13] - SRAM_START;
            if (at < 0 || at >= SRAM_SIZE - 36) break run;
            at = (at + SRAM_AT) >> 2;
            if (op & 0x100) {
              let last = at;
              for (let list = op & 0xff; list; list &= list - 1) last++;
              if (words[last] >>> 28 === 15) break run; // a return from an exception
              pc = words[last] & ~1;
              left -= 2;
            }
            for (let list = op & 0xff; list; list &= list - 1) {
              r[31 - Math.clz32(list & -list)] = words[at++];
              left--;
            }
            if (op & 0x100) at++;
            r[13] = (at << 2) - SRAM_AT + SRAM_START;
            continue;
          }
          const value = r[(op >> 3) & 7];
          const swapped = ((value & 0xff00ff) << 8) | ((value >>> 8) & 0xff00ff); // in halves
          switch (op >> 6) {
            case 0b1011101000: r[t] = (swapped << 16) | (swapped >>> 16); continue; // REV
            case 0b1011101001: r[t] = swapped; continue; // REV16
            case 0b1011101011: r[t] = (swapped << 16) >> 16; continue; // REVSH
          }
          if (op !== SEV) break run;
          core.eventRegistered = true;
          continue;
        }
        case 0b11000:
        case 0b11001: { // STMIA, LDMIA
          const n = (op >> 8) & 7;
          let at = r[n] - SRAM_START;
          if (at < 0 || at >= SRAM_SIZE - 32 || at & 3) break run;
          at = (at + SRAM_AT) >> 2;
          const load = op & 0x800;
          if (!load && op & (1 << n)) break run;
          for (let list = op & 0xff; list; list &= list - 1) {
            const i = 31 - Math.clz32(list & -list);
            if (load) r[i] = words[at++];
            else words[at++] = r[i];
            left--;
          }
          if (!(op & (1 << n))) r[n] = (at << 2) - SRAM_AT + SRAM_START;
          continue;
        }
        case 0b11010:
        case 0b11011: { // B (conditional)
          let taken;
          switch ((op >> 9) & 7) {
            case 0: taken = zero === 0; break;
            case 1: taken = carry !== 0; break;
            case 2: taken = negative < 0; break;
            case 3: taken = overflow !== 0; break;
            case 4: taken = carry !== 0 && zero !== 0; break;
            case 5: taken = negative >>> 31 === overflow; break;
            case 6: taken = negative >>> 31 === overflow && zero !== 0; break;
            default: break run; // UDF, SVC
          }
          if (taken === !(op & 0x100)) {
            pc += ((op << 24) >> 23) + 2;
            left--;
          }
          continue;
        }
        case 0b11100: pc += ((op << 21) >> 20) + 2; left--; continue; // B
        case 0b11110: { // BL, barriers
          const low = halves[(pc - start) >> 1];
          if ((low & 0xd000) === 0xd000) {
            const sign = (op << 21) >> 31;
            const i1 = ~((low >> 13) ^ sign) & 1;
            const i2 = ~((low >> 11) ^ sign) & 1;
            r[14] = (pc + 2) | 1;
            pc += (sign << 24) | (i1 << 23) | (i2 << 22) | ((op & 0x3ff) << 12);
            pc += (low & 0x7ff) << 1;
          } else if (op !== BARRIER) break run;
          pc += 2;
          left -= 2;
          continue;
        }
        default: break run;
      }

      // An address that is not aligned, which the chip refuses, is rounded down.
      let at = address - SRAM_START;
      if (at >= 0 && at < SRAM_SIZE) at += SRAM_AT;
      else if (address >>> 28 === SIO_AREA && access % 4 === 0) {
        // Spin locks and divisions; whatever SIO does, it needs neither the clock nor the core.
        if (access === LOAD_WORD) r[t] = sio.readUint32(address & 0xfffffff);
        else sio.writeUint32(address & 0xfffffff, r[t]);
        continue;
      } else if (access <= STORE_BYTE) break run;
      else if (address >= FLASH_START && address < FLASH_START + FLASH_SIZE) {
        at = address - (FLASH_START - FLASH_AT);
      } else if (address >= 0 && address < ROM_SIZE) at = address;
      else break run;
      left--;
      switch (access) {
        case STORE_WORD: words[at >> 2] = r[t]; continue;
        case STORE_HALF: halves[at >> 1] = r[t]; continue;
        case STORE_BYTE: bytes[at] = r[t]; continue;
        case LOAD_SIGNED_BYTE: r[t] = (bytes[at] << 24) >> 24; continue;
        case LOAD_WORD: r[t] = words[at >> 2]; continue;
        case LOAD_HALF: r[t] = halves[at >> 1]; continue;
        case LOAD_BYTE: r[t] = bytes[at]; continue;
        case LOAD_SIGNED_HALF: r[t] = (halves[at >> 1] << 16) >> 16;
      }
    }
    foreign = false;
  }

  if (foreign) {
    pc -= 2;
    left++;
    instructions--;
  }
  r[15] = pc;
  core.left = left;
  core.instructions = instructions;
  core.N = negative < 0;
  core.Z = zero === 0;
  core.C = carry !== 0;
  core.V = overflow !== 0;
  return foreign;
}
