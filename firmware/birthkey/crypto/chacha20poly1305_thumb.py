"""ChaCha20 and Poly1305 with their inner loops in machine code, for processors of 32 bits.

Viper's `uint` is a machine word: it wraps as RFC 8439 wants, and rotations need no masks. Viper
keeps the first three names of a function in registers, arguments among them, which is why some
arguments are used for something else later.
"""

import struct
import sys

import micropython

from birthkey._port import const

if sys.maxsize != 0x7FFFFFFF or sys.byteorder != "little":
    raise ImportError("for 32 bits, little-endian")

_BLOCK = const(64)
_PRIME = (1 << 130) - 5
_MASK = (1 << 128) - 1


class ChaCha20:
    """The key stream from a block counter on."""

    def __init__(self, key, nonce, counter):
        # The state, then 16 words to work in, and the last block of the stream.
        self._words = bytearray(2 * _BLOCK)
        struct.pack_into("<16s32sI12s", self._words, 0, b"expand 32-byte k", key, counter, nonce)
        self._block = memoryview(self._words)[_BLOCK:]

    def next_block(self):
        """The next 64 bytes of the stream, in a buffer that the one after it overwrites."""
        _next_block(self._words, self._block)
        return self._block

    def xor(self, source, target):
        """Write the source to the target, combined with the stream from its next block on."""
        words, block, length = self._words, self._block, len(source)
        for offset in range(0, length, _BLOCK):
            _next_block(words, block)
            _xor(source, target, block, offset << 8 | min(_BLOCK, length - offset))

    def wipe(self):
        """Overwrite the key and the stream."""
        self._words[:] = bytes(2 * _BLOCK)


def poly1305(one_time_key, *parts):
    """Poly1305 over the parts, each filled up with zeros to whole blocks."""
    multiples = bytearray(80)
    _multiples(multiples, one_time_key)
    hash = bytearray(80)
    for part in parts:
        part = memoryview(part)
        whole = len(part) >> 4
        _blocks(hash, multiples, whole, part)
        rest = part[16 * whole :]
        if len(rest):
            last = bytearray(16)
            last[: len(rest)] = rest
            _blocks(hash, multiples, 1, last)
    multiples[:] = bytes(80)
    total = 0
    for limb in reversed(struct.unpack("<10I", hash)):
        total = (total << 13) + limb
    total = total % _PRIME + int.from_bytes(one_time_key[16:], "little")
    return (total & _MASK).to_bytes(16, "little")


@micropython.viper
def _multiples(m: ptr32, key: ptr8):
    """20 words from r, clamped (RFC 8439, section 2.5): 5 times each limb of 13 bits, the limbs."""
    t0 = key[0] | key[1] << 8
    t1 = key[2] | key[3] << 8
    t2 = key[4] | key[5] << 8
    t3 = key[6] | key[7] << 8
    t4 = key[8] | key[9] << 8
    t5 = key[10] | key[11] << 8
    t6 = key[12] | key[13] << 8
    t7 = key[14] | key[15] << 8
    m[10] = t0 & 0x1FFF
    m[11] = (t0 >> 13 | t1 << 3) & 0x1FFF
    m[12] = (t1 >> 10 | t2 << 6) & 0x1F03
    m[13] = (t2 >> 7 | t3 << 9) & 0x1FFF
    m[14] = (t3 >> 4 | t4 << 12) & 0x00FF
    m[15] = t4 >> 1 & 0x1FFE
    m[16] = (t4 >> 14 | t5 << 2) & 0x1FFF
    m[17] = (t5 >> 11 | t6 << 5) & 0x1F81
    m[18] = (t6 >> 8 | t7 << 8) & 0x1FFF
    m[19] = t7 >> 5 & 0x007F
    i = 0
    while i < 10:
        m[i] = 5 * m[i + 10]
        i += 1


@micropython.viper
def _next_block(state: ptr32, x: ptr32):
    i = 0
    while i < 16:
        x[i] = state[i]
        i += 1
    _rounds(x)
    i = 0
    while i < 16:
        x[i] = x[i] + state[i]
        i += 1
    state[12] = state[12] + 1


@micropython.asm_thumb
def _rounds(r0):
    # The 20 rounds of RFC 8439, section 2.3, on the 16 words at r0. r1 to r4: the words a, b, c,
    # d of a quarter round; r5: by how much they are rotated, to the right; r6: columns left.
    mov(r7, 20)
    label(ROUND)
    mov(r6, 4)
    label(COLUMN)
    ldr(r1, [r0, 0])
    ldr(r2, [r0, 16])
    ldr(r3, [r0, 32])
    ldr(r4, [r0, 48])
    add(r1, r1, r2)
    eor(r4, r1)
    mov(r5, 16)
    ror(r4, r5)
    add(r3, r3, r4)
    eor(r2, r3)
    mov(r5, 20)
    ror(r2, r5)
    add(r1, r1, r2)
    eor(r4, r1)
    mov(r5, 24)
    ror(r4, r5)
    add(r3, r3, r4)
    eor(r2, r3)
    mov(r5, 25)
    ror(r2, r5)
    str(r1, [r0, 0])
    str(r2, [r0, 16])
    str(r3, [r0, 32])
    str(r4, [r0, 48])
    add(r0, 4)
    sub(r6, 1)
    bne(COLUMN)
    sub(r0, 16)
    # Diagonals become columns: rows are turned to the left by 0, 1, 2 and 3 words. After the
    # diagonals' round they are turned back, by 0, 3, 2 and 1.
    ldr(r1, [r0, 32])
    ldr(r2, [r0, 40])
    str(r2, [r0, 32])
    str(r1, [r0, 40])
    ldr(r1, [r0, 36])
    ldr(r2, [r0, 44])
    str(r2, [r0, 36])
    str(r1, [r0, 44])
    add(r0, 16)  # to the row that is turned by 1 now
    mov(r6, 32)  # how far it is from there to the one that is turned by 3
    mov(r5, 1)
    tst(r7, r5)
    beq(TURN)
    add(r0, 32)
    neg(r6, r6)
    label(TURN)
    ldr(r1, [r0, 0])
    ldr(r2, [r0, 4])
    ldr(r3, [r0, 8])
    ldr(r4, [r0, 12])
    str(r2, [r0, 0])
    str(r3, [r0, 4])
    str(r4, [r0, 8])
    str(r1, [r0, 12])
    add(r0, r0, r6)
    ldr(r1, [r0, 0])
    ldr(r2, [r0, 4])
    ldr(r3, [r0, 8])
    ldr(r4, [r0, 12])
    str(r4, [r0, 0])
    str(r1, [r0, 4])
    str(r2, [r0, 8])
    str(r3, [r0, 12])
    sub(r0, 16)  # where the words begin, unless it was the row of b that was turned by 3
    tst(r7, r5)
    bne(NEXT)
    sub(r0, 32)
    label(NEXT)
    sub(r7, 1)
    bne(ROUND)


@micropython.viper
def _xor(source: ptr8, target: ptr8, stream: ptr8, size: int):
    """`size` is how many bytes, at most 64, and above 8 bits where they begin."""
    source = ptr8(int(source) + (size >> 8))
    target = ptr8(int(target) + (size >> 8))
    size &= 255
    if not (int(source) | int(target)) & 3:  # a Cortex-M0 has aligned words only
        while size >= 4:
            words = ptr32(target)
            words[0] = ptr32(source)[0] ^ ptr32(stream)[0]
            source = ptr8(int(source) + 4)
            target = ptr8(int(target) + 4)
            stream = ptr8(int(stream) + 4)
            size -= 4
    i = 0
    while i < size:
        target[i] = source[i] ^ stream[i]
        i += 1


@micropython.viper
def _blocks(h: ptr32, q: ptr32, d: uint, data: ptr8):
    """Take `d` blocks of 16 bytes into `h`, 10 limbs of 13 bits; RFC 8439, section 2.5.

    `q` is 20 words: 5 times each limb of r, for what wraps around 2^130, then the limbs. A
    limb of h is below 2^14, of r below 2^13, and five products of theirs below 2^32, with
    what is carried: so carries are taken out halfway. `h` has 20 words, the last to work in.
    """
    r = q
    blocks = int(d)
    carry = uint(0)
    i = 0
    while blocks:
        blocks -= 1
        t0 = data[0] | data[1] << 8
        t1 = data[2] | data[3] << 8
        t2 = data[4] | data[5] << 8
        t3 = data[6] | data[7] << 8
        t4 = data[8] | data[9] << 8
        t5 = data[10] | data[11] << 8
        t6 = data[12] | data[13] << 8
        t7 = data[14] | data[15] << 8
        data = ptr8(int(data) + 16)
        h[0] = h[0] + (t0 & 0x1FFF)
        h[1] = h[1] + ((t0 >> 13 | t1 << 3) & 0x1FFF)
        h[2] = h[2] + ((t1 >> 10 | t2 << 6) & 0x1FFF)
        h[3] = h[3] + ((t2 >> 7 | t3 << 9) & 0x1FFF)
        h[4] = h[4] + ((t3 >> 4 | t4 << 12) & 0x1FFF)
        h[5] = h[5] + (t4 >> 1 & 0x1FFF)
        h[6] = h[6] + ((t4 >> 14 | t5 << 2) & 0x1FFF)
        h[7] = h[7] + ((t5 >> 11 | t6 << 5) & 0x1FFF)
        h[8] = h[8] + ((t6 >> 8 | t7 << 8) & 0x1FFF)
        h[9] = h[9] + (t7 >> 5 | 0x800)  # the bit above the block
        carry = uint(0)
        q = r
        i = 10
        while i < 20:
            d = carry
            d += h[0] * q[10]
            d += h[1] * q[9]
            d += h[2] * q[8]
            d += h[3] * q[7]
            d += h[4] * q[6]
            carry = d >> 13
            d &= 0x1FFF
            d += h[5] * q[5]
            d += h[6] * q[4]
            d += h[7] * q[3]
            d += h[8] * q[2]
            d += h[9] * q[1]
            carry += d >> 13
            h[i] = d & 0x1FFF
            q = ptr32(int(q) + 4)
            i += 1
        carry = carry * 5 + uint(h[10])
        h[0] = carry & 0x1FFF
        h[1] = h[11] + int(carry >> 13)
        i = 2
        while i < 10:
            h[i] = h[i + 10]
            i += 1
