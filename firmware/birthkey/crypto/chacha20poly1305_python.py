"""ChaCha20 and Poly1305 in plain Python, for every processor."""

import struct

from birthkey._port import const

_BLOCK = const(64)
_TAG = const(16)

# RFC 8439, section 2.3: the words that the eight quarter rounds of a double round work on.
_QUARTER_ROUNDS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)

# Poly1305, RFC 8439, section 2.5.
_PRIME = (1 << 130) - 5
_TOP_BIT = 1 << 128
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


class ChaCha20:
    """The key stream from a block counter on.

    The small integers of a 32-bit board have 31 bits: 32-bit words would live on the heap, and
    a block would leave some 2,000 dead objects there. Each word is therefore kept as two
    halves of 16 bits, in lists made once, and the rounds allocate nothing. Long integers that
    hold a word of each of many columns are faster on a 64-bit computer, but for 256 bytes
    they leave 150 KB of garbage, more than the whole heap of a small board.
    """

    def __init__(self, key, nonce, counter):
        halves = struct.unpack("<8H", b"expand 32-byte k") + struct.unpack("<16H", key)
        halves += (counter & 0xFFFF, counter >> 16) + struct.unpack("<6H", nonce)
        self._low = [halves[i] for i in range(0, 32, 2)]
        self._high = [halves[i] for i in range(1, 32, 2)]
        self._working = [0] * 16, [0] * 16
        self._block = bytearray(_BLOCK)

    def next_block(self):
        """The next 64 bytes of the stream, in a buffer that the one after it overwrites."""
        low, high = self._working
        for i in range(16):
            low[i] = self._low[i]
            high[i] = self._high[i]
        for _ in range(10):
            _double_round(low, high)
        for i in range(16):
            half = low[i] + self._low[i]
            struct.pack_into("<H", self._block, 4 * i, half & 0xFFFF)
            half = high[i] + self._high[i] + (half >> 16)
            struct.pack_into("<H", self._block, 4 * i + 2, half & 0xFFFF)
        self._low[12] = (self._low[12] + 1) & 0xFFFF
        if self._low[12] == 0:
            self._high[12] = (self._high[12] + 1) & 0xFFFF
        return self._block

    def xor(self, source, target):
        """Write the source to the target, combined with the stream from its next block on."""
        for offset in range(0, len(source), _BLOCK):
            block = self.next_block()
            for i in range(min(_BLOCK, len(source) - offset)):
                target[offset + i] = source[offset + i] ^ block[i]

    def wipe(self):
        """Overwrite the key and the stream, as far as small integers in lists can be."""
        low, high = self._working
        for words in (self._low, self._high, low, high, self._block):
            for i in range(len(words)):
                words[i] = 0


def _double_round(low, high):
    # An addition carries from the low half into the high one. A rotation moves bits between
    # the halves; one by 16 only changes their places.
    for ia, ib, ic, id in _QUARTER_ROUNDS:
        b, bh = low[ib], high[ib]
        c, ch = low[ic], high[ic]
        a = low[ia] + b
        ah = (high[ia] + bh + (a >> 16)) & 0xFFFF
        a &= 0xFFFF
        d = high[id] ^ ah
        dh = low[id] ^ a
        c += d
        ch = (ch + dh + (c >> 16)) & 0xFFFF
        c &= 0xFFFF
        t = b ^ c
        bh ^= ch
        b = (t << 12 | bh >> 4) & 0xFFFF
        bh = (bh << 12 | t >> 4) & 0xFFFF
        a += b
        ah = (ah + bh + (a >> 16)) & 0xFFFF
        a &= 0xFFFF
        t = d ^ a
        dh ^= ah
        d = (t << 8 | dh >> 8) & 0xFFFF
        dh = (dh << 8 | t >> 8) & 0xFFFF
        c += d
        ch = (ch + dh + (c >> 16)) & 0xFFFF
        c &= 0xFFFF
        t = b ^ c
        bh ^= ch
        low[ia], high[ia] = a, ah
        low[ib], high[ib] = (t << 7 | bh >> 9) & 0xFFFF, (bh << 7 | t >> 9) & 0xFFFF
        low[ic], high[ic] = c, ch
        low[id], high[id] = d, dh


def poly1305(one_time_key, *parts):
    """Poly1305 over the parts, each filled up with zeros to whole blocks."""
    r = int.from_bytes(one_time_key[:16], "little") & _CLAMP
    total = 0
    for part in parts:
        part = memoryview(part)
        for offset in range(0, len(part), 16):
            # Little-endian: the zeros that fill up the last block change nothing.
            total += int.from_bytes(part[offset : offset + 16], "little") + _TOP_BIT
            total = total * r % _PRIME
    total += int.from_bytes(one_time_key[16:], "little")
    return (total & (_TOP_BIT - 1)).to_bytes(_TAG, "little")
