"""The board's CBOR against the host's: what one accepts, the other accepts and means the same.

The two share no code. (A board with 32-bit floats refuses some that the host accepts; the
interpreters here have 64 bits.)
"""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from birthkey_host import cbor
from device import Interpreter

quick = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

# Values.

_edges = [sign * 2**bits + step for bits in (0, 5, 8, 16, 30, 31, 32, 62, 63, 64)
          for step in (-1, 0, 1) for sign in (1, -1)]  # fmt: skip
integers = st.integers(-(2**64), 2**64 - 1) | st.sampled_from(
    [edge for edge in _edges if -(2**64) <= edge < 2**64]
)
# Few bits anywhere: those at the limits of the three widths.
few_bits = st.builds(math.ldexp, st.integers(-(2**12), 2**12), st.integers(-170, 120))
floats = st.floats() | st.floats(width=32) | st.floats(width=16) | few_bits
# No surrogates: those are no text.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.none() | st.booleans() | integers | floats | st.binary(max_size=40) | texts
keys = integers | texts


def _containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=5) | st.dictionaries(keys, items, max_size=5)


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


values = st.recursive(scalars, _containers, max_leaves=20)

# Encodings, nearly right.


def _head(major: int, argument: int, size: int) -> bytes:
    """A head whose argument takes `size` bytes, shortest or not."""
    if size == 0:
        return bytes([major << 5 | argument % 24])
    info = {1: 24, 2: 25, 4: 26, 8: 27}[size]
    return bytes([major << 5 | info]) + (argument % 256**size).to_bytes(size)


def _limit(major: int, size: int, step: int) -> bytes:
    """A head whose argument is about the largest that a shorter head holds."""
    return _head(major, max((24 if size == 1 else 256 ** (size // 2)) - step, 0), size)


heads = st.one_of(
    st.builds(_head, st.integers(0, 7), st.integers(0, 30), st.sampled_from([0, 0, 0, 1, 2, 4, 8])),
    st.builds(_limit, st.integers(0, 1), st.sampled_from([1, 2, 4, 8]), st.integers(-1, 256)),
)
good_utf8 = [b"a", b"\0", b"\xc3\xbc", b"\xe6\xb0\xb4", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]
bad_utf8 = [
    *(b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80"),
    *(b"\xed\xbf\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xff"),
    *(b"\xf8\x88\x80\x80\x80", b"\xc3", b"\xe2\x82", b"\xf0\x90\x8c"),
]
good_pieces = st.lists(st.sampled_from(good_utf8), max_size=2).map(b"".join)
near_texts = st.builds(
    lambda before, bad, after: _head(3, len(before + bad + after), 0) + before + bad + after,
    good_pieces,
    st.just(b"") | st.sampled_from(bad_utf8),
    good_pieces,
)
near_floats = st.one_of(
    st.binary(min_size=2, max_size=2).map(lambda raw: b"\xf9" + raw),
    st.binary(min_size=4, max_size=4).map(lambda raw: b"\xfa" + raw),
    st.binary(min_size=8, max_size=8).map(lambda raw: b"\xfb" + raw),
    floats.map(lambda value: b"\xfb" + struct.pack(">d", value)),
    st.floats(width=32).map(lambda value: b"\xfa" + struct.pack(">f", value)),
    st.floats(width=16).map(lambda value: b"\xf9" + struct.pack(">e", value)),
)
near_scalars = heads | near_texts | near_floats | scalars.map(cbor.dumps)


def _near_containers(items: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Arrays and maps with items that may be bad, keys in any order, and lengths that may lie."""
    lies = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, -1])
    size = st.sampled_from([0, 0, 0, 0, 0, 1, 2])
    arrays = st.builds(
        lambda content, lie, size: _head(4, max(len(content) + lie, 0), size) + b"".join(content),
        st.lists(items, max_size=4),
        lies,
        size,
    )
    pairs = st.lists(st.tuples(keys.map(cbor.dumps) | near_scalars, items), max_size=4)
    maps = st.builds(
        lambda content, order, lie, size: (
            _head(5, max(len(content) + lie, 0), size)
            + b"".join(key + value for key, value in (sorted(content) if order else content))
        ),
        pairs,
        st.booleans() | st.just(True),
        lies,
        size,
    )
    return arrays | maps


near_valid = st.recursive(near_scalars, _near_containers, max_leaves=12)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good encoding after one to three changes."""
    data = bytearray(cbor.dumps(draw(values.filter(lambda value: depth(value) <= 8))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "set", "insert", "delete", "cut", "double"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=3) | heads)
            case "delete":
                del data[at : at + draw(st.integers(1, 4))]
            case "cut":
                del data[at:]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 8))]
    return bytes(data)


# The comparison.


class _Refused:
    def __repr__(self) -> str:
        return "refused"


REFUSED = _Refused()


def on_host(data: bytes) -> Any:
    try:
        return cbor.loads(data)
    except ValueError:
        return REFUSED


def on_board(device: Interpreter, data: bytes) -> Any:
    read = device.call("vectors.board:read", data)
    return REFUSED if read is None else read[0]


def meaning(value: Any) -> Any:
    """A value in a form that `==` compares in type and meaning: 1, 1.0 and true all differ."""
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, list):
        return "array", [meaning(item) for item in value]
    if isinstance(value, dict):
        pairs = [(type(key).__name__, key, meaning(item)) for key, item in value.items()]
        return "map", sorted(pairs, key=lambda pair: pair[:2])
    return type(value).__name__, value


def compare(device: Interpreter, data: bytes) -> None:
    host, board = on_host(data), on_board(device, data)
    assert meaning(host) == meaning(board)
    if host is not REFUSED:
        assert cbor.dumps(host) == data
        assert device.call("birthkey.cbor:dumps", board) == data


@quick
@given(value=values)
def test_both_write_the_same_bytes_and_read_them_back(device: Interpreter, value: Any) -> None:
    if depth(value) > 8:
        with pytest.raises(ValueError):
            cbor.dumps(value)
        with pytest.raises(ValueError):
            device.call("birthkey.cbor:dumps", value)
        return
    data = cbor.dumps(value)
    assert device.call("birthkey.cbor:dumps", value) == data
    assert meaning(on_host(data)) == meaning(value)
    assert meaning(on_board(device, data)) == meaning(value)


@quick
@given(data=st.binary(max_size=48))
def test_both_judge_random_bytes_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


@quick
@given(data=mutated())
def test_both_judge_changed_encodings_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


@quick
@given(data=heads)
def test_both_judge_nearly_good_heads_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


@quick
@given(data=near_texts)
def test_both_judge_nearly_good_text_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


@quick
@given(data=near_floats)
def test_both_judge_nearly_good_floats_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


@quick
@given(data=near_valid)
@example(data=b"\x81" * 4096)
@example(data=b"\xa1\x00" * 2048)
@example(data=b"\x9b" + b"\x7f" + b"\xff" * 7)
def test_both_judge_nearly_good_encodings_alike(device: Interpreter, data: bytes) -> None:
    compare(device, data)


def test_both_judge_every_short_input_alike(device: Interpreter) -> None:
    accepted = 0
    for first in range(256):
        compare(device, bytes([first]))
        accepted += on_host(bytes([first])) is not REFUSED
        # One byte can follow as an argument, a simple value, an item, a key or a letter.
        seconds = range(256) if first & 31 in (1, 24) or first >> 5 == 7 else (0, 1, 24, 255)
        for second in seconds:
            compare(device, bytes([first, second]))
    # 0..23, -1..-24, the empty string, text, array and map, and three simple values.
    assert accepted == 24 + 24 + 4 + 3


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**64) - 1,
        {None: 0},
        {True: 0},
        {1.0: 0},
        {b"a": 0},
        [{True: 0}],
        [[[[[[[[[0]]]]]]]]],
    ],
    ids=repr,
)
def test_both_refuse_to_write(device: Interpreter, value: Any) -> None:
    with pytest.raises(ValueError):
        cbor.dumps(value)
    with pytest.raises(ValueError):
        device.call("birthkey.cbor:dumps", value)
