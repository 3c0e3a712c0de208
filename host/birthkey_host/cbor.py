"""CBOR as the protocol allows it: core deterministic encoding, RFC 8949 section 4.2.1.

cbor2 does the encoding and the decoding. What it is lenient about is closed here: its
`canonical` order is the length-first one of RFC 7049, it acts on tags, and it accepts longer
forms, duplicate keys and trailing bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cbor2

Value: TypeAlias = "bool | int | float | bytes | str | list[Value] | dict[int | str, Value] | None"

MAX_DEPTH = 8
"""Arrays and maps inside each other, the outermost counted."""

_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_SIMPLE = {20, 21, 22}  # false, true, null
_FLOATS = {25, 26, 27}  # of 16, 32 and 64 bits


class CborError(ValueError):
    """Not a value, or not an encoding, that the protocol allows.

    `offset` is the byte where it was found, or None; `reason` is the sentence without it.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset


def dumps(value: object) -> bytes:
    """Encode a value deterministically.

    Takes None, bool, int in -2^64..2^64-1, float, bytes, str, list, tuple, and dict with int
    or str keys, of exactly these types. Raises CborError for anything else, for text with a
    lone surrogate, and for more than `MAX_DEPTH` levels.
    """
    try:
        return cbor2.dumps(_ordered(value, MAX_DEPTH), encoders={float: _encode_float})
    except UnicodeEncodeError as error:
        raise CborError(f"text is not valid Unicode: {error.reason}") from None


def loads(data: bytes) -> Value:
    """Decode one item that is all of `data`.

    Raises CborError, which says at which byte, for whatever `dumps` would not have written.
    """
    return _decode(data, 0)


def loads_tagged(data: bytes) -> tuple[int | None, Value]:
    """As `loads`, but a tag before the item is allowed: returns its number, or None."""
    if not data or data[0] >> 5 != _TAG:
        return None, _decode(data, 0)
    _, tag, start = head(data, 0)
    return tag, _decode(data, start)


def head(data: bytes, at: int) -> tuple[int, int, int]:
    """Read the head of the item at byte `at`.

    Returns its major type, its argument and where the head ends. The argument of major type
    7 is the additional information: 20 to 22, or 25 to 27 with the float's bytes after the
    head. Raises CborError for heads that are cut short, reserved, indefinite or not shortest.
    """
    if at >= len(data):
        raise CborError("the data ends where an item should begin", at)
    major, info = data[at] >> 5, data[at] & 0x1F
    at += 1
    if major == _OTHER:
        if info not in _SIMPLE and info not in _FLOATS:
            raise CborError("only false, true, null and floats are allowed here", at - 1)
        return major, info, at
    if info < 24:
        return major, info, at
    if info > 27:
        kind = "indefinite length" if info == 31 else "reserved length form"
        raise CborError(f"{kind}; write the length itself", at - 1)
    size = 1 << (info - 24)
    argument = int.from_bytes(data[at : at + size], "big")
    if at + size > len(data):
        raise CborError("the data ends inside a number or a length", at)
    if argument < 24 or (size > 1 and argument >> (4 * size) == 0):
        raise CborError(f"{argument} is not in its shortest form", at - 1)
    return major, argument, at + size


def _decode(data: bytes, start: int) -> Value:
    _scan(data, start)
    item = data[start:]
    try:
        value: Value = cbor2.loads(item)
    except (cbor2.CBORDecodeError, ValueError) as error:
        raise CborError(str(error)) from None
    again = dumps(value)
    if again != item:
        at = next(
            i for i, (have, want) in enumerate(zip(item, again, strict=False)) if have != want
        )
        raise CborError(
            "not the deterministic encoding (RFC 8949 section 4.2.1): a key out of order or"
            " twice, or a float not in its shortest form",
            start + at,
        )
    return value


def _scan(data: bytes, at: int) -> None:
    """Refuse what is unsafe or wasteful to hand to a decoder, allocating next to nothing.

    That is: lengths beyond the data, tags, deep nesting, trailing bytes.
    """
    open_items = [1]  # items still to come, for each level of nesting
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        start = at
        major, argument, at = head(data, at)
        if major == _TAG:
            raise CborError(f"tag {argument}; only a frame's first byte is a tag", start)
        if major in (_ARRAY, _MAP):
            if len(open_items) > MAX_DEPTH:
                raise CborError(f"nested deeper than {MAX_DEPTH} levels", start)
            argument *= major - 3  # a map has two items for each of its entries
            if argument > len(data) - at:
                raise CborError("more items announced than there are bytes", start)
            open_items.append(argument)
            continue
        if major in (_BYTES, _TEXT):
            at += argument
        elif major == _OTHER and argument in _FLOATS:
            at += 2 << (argument - 25)
        if at > len(data):
            raise CborError("the data ends inside this item", start)
    if at != len(data):
        raise CborError(f"{len(data) - at} bytes follow the item; nothing may", at)


def _ordered(value: object, depth: int) -> Any:
    """The same value, checked, with every map in bytewise order of its encoded keys."""
    kind = type(value)
    if value is None or kind in (bool, float, bytes, str):
        return value
    if isinstance(value, int) and kind is int:
        if not -(1 << 64) <= value < 1 << 64:
            raise CborError("an integer must lie in -2^64..2^64-1")
        return value
    if not isinstance(value, list | tuple | dict):
        raise CborError(f"{kind.__name__} has no place in a message")
    if not depth:
        raise CborError(f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        return [_ordered(item, depth - 1) for item in value]
    for key in value:
        if type(key) not in (int, str):
            raise CborError(f"a map's key is a {type(key).__name__}; use an integer or text")
        _ordered(key, depth)
    return {key: _ordered(value[key], depth - 1) for key in sorted(value, key=cbor2.dumps)}


def _encode_float(encoder: cbor2.CBOREncoder, value: float) -> None:
    # cbor2 shortens floats only together with its length-first order of keys.
    encoder.write(cbor2.dumps(value, canonical=True))
