"""What may come over a serial line, and the frames that a reader must find in it.

The reference is the package `cobs`.
"""

from __future__ import annotations

import random

import pytest
from cobs import cobs
from hypothesis import strategies as st

A = b"abcdefghij"
B = bytes(range(256)) * 2
C = b"\x00\x00c\x00"


def encoded(frame: bytes) -> bytes:
    return bytes(cobs.encode(frame))


def wire(*frames: bytes) -> bytes:
    """Frames as they are sent: each between two delimiters."""
    return b"".join(b"\x00" + encoded(frame) + b"\x00" for frame in frames)


def frames_of(length: int) -> list[bytes]:
    """Frames of one length: no zeros, nothing else, some here and there, one at each end."""
    some = bytes(random.Random(length).choices(b"\x00\x01\xfe\xff", (1, 10, 10, 10), k=length))
    ends = (b"\x00" + b"\xff" * length)[: length - 1] + b"\x00" if length else b""
    return [b"\x01" * length, bytes(length), some, ends]


LONGEST = [b"\xff" * 4096, bytes(4096), random.Random(0).randbytes(4096)]

# (stream, the frames in it, how many bad ones are counted)
STREAMS = [
    pytest.param(b"", [], 0, id="nothing"),
    pytest.param(wire(A), [A], 0, id="one frame"),
    pytest.param(wire(A, B, C), [A, B, C], 0, id="three frames"),
    pytest.param(encoded(A) + b"\x00", [A], 0, id="no first delimiter"),
    pytest.param(wire(A)[:-1] + wire(B), [A, B], 0, id="one delimiter between two frames"),
    pytest.param(wire(A)[:-1], [], 0, id="a frame that is not over yet"),
    pytest.param(bytes(5000) + wire(A) + bytes(300) + wire(B), [A, B], 0, id="runs of zeros"),
    pytest.param(b"\xff\x13\x7f" + wire(A), [A], 1, id="noise before"),
    pytest.param(
        wire(A) + b"\x00\xff\x13\x00\x00\x80\x00" + wire(B), [A, B], 2, id="noise between"
    ),
    pytest.param(b"\x03ab" + wire(A), [b"ab", A], 0, id="noise that happens to be COBS"),
    pytest.param(wire(A)[:5] + wire(B), [B], 1, id="a frame that was abandoned"),
    pytest.param(wire(A)[:-2] + wire(A)[-1:] + wire(B), [B], 1, id="a lost byte"),
    pytest.param(wire(A)[:-1] + b"\x09" + wire(A)[-1:] + wire(B), [B], 1, id="one byte more"),
    pytest.param(wire(A).replace(b"e", b"\x00") + wire(B), [B], 2, id="a byte that became zero"),
    pytest.param(
        wire(A)[:-1] + wire(C)[1:] + wire(B), [A + b"\x00" + C, B], 0, id="two lost delimiters"
    ),
    pytest.param(b"\x00\x01\x00" + wire(A), [A], 1, id="an empty frame"),
    pytest.param(wire(*LONGEST), LONGEST, 0, id="the longest frames"),
    pytest.param(wire(b"\xff" * 4097) + wire(A), [A], 1, id="one byte too long"),
    pytest.param(wire(bytes(4097)) + wire(A), [A], 1, id="one zero too long"),
    pytest.param(
        wire(LONGEST[0])[:-1] + b"\x02a" + wire(A), [A], 1, id="the longest frame and more"
    ),
    pytest.param(b"\x01" * 4113 + wire(A), [A], 1, id="too long when decoded only"),
    pytest.param(b"\x01" * 4114 + wire(A), [A], 1, id="too long by one"),
    pytest.param(b"\x07" * 20000 + wire(A), [A], 1, id="noise without end"),
]

_whole = st.binary(min_size=1, max_size=600).map(lambda frame: wire(frame))
_bytes = st.binary(max_size=600)
_zeros = st.integers(0, 600).map(bytes)
_long = st.integers(4000, 5000).map(lambda length: b"\x01" * length)
_cut = st.tuples(_whole, st.integers(0, 600)).map(lambda cut: cut[0][: cut[1]])
_damaged = st.tuples(_whole, st.integers(0, 600), st.binary(max_size=2)).map(
    lambda hit: hit[0][: hit[1]] + hit[2] + hit[0][hit[1] + 1 :]
)
# A stream of anything, with a delimiter at its end.
streams = st.lists(_whole | _bytes | _zeros | _long | _cut | _damaged, max_size=6).map(
    lambda pieces: b"".join(pieces) + b"\x00"
)
