"""Deterministic CBOR, RFC 8949 section 4.2.1: one encoding for each value.

`loads` refuses whatever `dumps` would not have written, checks every length against the
bytes that are there before it allocates anything, and takes so many items and no more: an
empty list is one byte here and 32 in RAM. Tags are refused: the two that frames begin with
are the business of `birthkey.cose`.
"""

import struct

from birthkey._port import const

_DEPTH = const(8)
_ITEMS = const(2048)  # a whole message of two bytes an item, as small numbers with their keys are

_UNSIGNED = const(0)
_NEGATIVE = const(1)
_BYTES = const(2)
_TEXT = const(3)
_ARRAY = const(4)
_MAP = const(5)
_TAG = const(6)


def dumps(obj):
    """Encode None, bool, int, float, bytes, str, list, tuple or dict."""
    out = bytearray()
    _encode(out, obj, 0)
    return bytes(out)


def loads(obj, items=_ITEMS):
    """Decode one item that fills `obj` wholly; ValueError for anything else.

    It and all that is in it are `items` at the most, keys counted.
    """
    data = memoryview(obj)
    decoder = _Decoder(data, items)
    value = decoder.item(0)
    if decoder.at != len(data):
        raise ValueError("CBOR: %d bytes follow the item" % (len(data) - decoder.at))
    return value


def _encode(out, value, depth):
    if value is None:
        out.append(0xF6)
    elif value is True:
        out.append(0xF5)
    elif value is False:
        out.append(0xF4)
    elif isinstance(value, int):
        if value < 0:
            _encode_head(out, _NEGATIVE, -1 - value)
        else:
            _encode_head(out, _UNSIGNED, value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _encode_head(out, _BYTES, len(value))
        out.extend(value)
    elif isinstance(value, str):
        text = value.encode()
        _check_text(text, value)
        _encode_head(out, _TEXT, len(text))
        out.extend(text)
    elif isinstance(value, float):
        out.extend(_float_bytes(value))
    elif isinstance(value, (list, tuple)):
        depth = _deeper(depth)
        _encode_head(out, _ARRAY, len(value))
        for item in value:
            _encode(out, item, depth)
    elif isinstance(value, dict):
        depth = _deeper(depth)
        _encode_head(out, _MAP, len(value))
        pairs = []
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, (int, str)):
                raise ValueError("CBOR: a map key is neither an integer nor text")
            pairs.append((dumps(key), item))
        pairs.sort(key=lambda pair: pair[0])
        for key, item in pairs:
            out.extend(key)
            _encode(out, item, depth)
    else:
        raise ValueError("CBOR: cannot encode " + type(value).__name__)


def _encode_head(out, major, argument):
    major <<= 5
    if argument < 24:
        out.append(major | argument)
        return
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if not argument >> (8 * size):
            out.append(major | info)
            out.extend(argument.to_bytes(size, "big"))
            return
    raise ValueError("CBOR: an integer needs more than 64 bits")


def _deeper(depth):
    if depth >= _DEPTH:
        raise ValueError("CBOR: nested deeper than %d" % _DEPTH)
    return depth + 1


class _Decoder:
    """Reads items of `data` from `at` on.

    The functions are small because MicroPython keeps the variables of small ones alone on the
    stack, and those of others on the heap, for each call.
    """

    def __init__(self, data, items):
        self._data = data
        self._items = items
        self._left = items - 1
        self.at = 0

    def item(self, depth):
        """The value of the next item, `depth` arrays and maps deep."""
        at = self.at
        if at >= len(self._data):
            raise ValueError("CBOR: ends at byte %d, inside an item" % at)
        self.at = at + 1
        first = self._data[at]
        if first < 0x18:
            return first
        argument = first & 31
        if first >= _TAG << 5:
            return self._simple(argument, first >> 5)
        if argument > 23:
            argument = self._argument(argument)
        first >>= 5
        if first == _UNSIGNED:
            return argument
        if first == _NEGATIVE:
            return -1 - argument
        # An item of an array takes at least one byte, a pair of a map two.
        if argument > (len(self._data) - self.at) >> (first == _MAP):
            raise ValueError("CBOR: the item at byte %d is longer than the data" % at)
        if first < _ARRAY:
            return self._string(argument, first)
        # All that is announced is counted at once: nothing is made of what will be too much.
        self._left -= argument << (first == _MAP)
        if self._left < 0:
            raise ValueError("CBOR: more than %d items" % self._items)
        depth = _deeper(depth)
        if first == _ARRAY:
            return self._array(argument, depth)
        return self._map(argument, depth)

    def _string(self, length, major):
        at = self.at
        self.at = end = at + length
        raw = bytes(self._data[at:end])
        if major == _BYTES:
            return raw
        text = raw.decode()
        _check_text(raw, text)
        return text

    def _argument(self, info):
        at = self.at
        if info > 27:
            raise ValueError("CBOR: indefinite or reserved length at byte %d" % (at - 1))
        data = self._data
        size = 1 << (info - 24)
        if size > len(data) - at:
            raise ValueError("CBOR: ends at byte %d, inside a length" % len(data))
        argument = int.from_bytes(data[at : at + size], "big")
        least = 24 if size == 1 else 1 << (4 * size)
        if argument < least:
            raise ValueError("CBOR: not the shortest form at byte %d" % (at - 1))
        self.at = at + size
        return argument

    def _array(self, count, depth):
        result = []
        while count:
            count -= 1
            result.append(self.item(depth))
        return result

    def _map(self, count, depth):
        result = {}
        previous = b""
        while count:
            count -= 1
            start = self.at
            key = self._key(depth)
            encoded = bytes(self._data[start : self.at])
            if encoded <= previous:
                raise ValueError("CBOR: the key at byte %d repeats or is out of order" % start)
            previous = encoded
            result[key] = self.item(depth)
        return result

    def _key(self, depth):
        at = self.at
        if at < len(self._data) and self._data[at] >> 5 not in (_UNSIGNED, _NEGATIVE, _TEXT):
            raise ValueError("CBOR: the key at byte %d is neither an integer nor text" % at)
        return self.item(depth)

    def _simple(self, info, major):
        at = self.at
        if major == _TAG:
            raise ValueError("CBOR: a tag at byte %d" % (at - 1))
        if info == 20:
            return False
        if info == 21:
            return True
        if info == 22:
            return None
        if not 25 <= info <= 27:
            raise ValueError("CBOR: unknown simple value at byte %d" % (at - 1))
        self.at = end = at + (1 << (info - 24))
        if end > len(self._data):
            raise ValueError("CBOR: ends at byte %d, inside a float" % len(self._data))
        if info == 25:
            bits = self._data[at] << 8 | self._data[at + 1]
            good = bits & 0x7FFF <= 0x7C00 or bits == 0x7E00  # of all that are no number, one
            value = _half(bits)
        else:
            raw = bytes(self._data[at - 1 : end])
            value = struct.unpack(">f" if info == 26 else ">d", raw[1:])[0]
            # One comparison refuses longer forms, other NaNs and, where floats have 32 bits,
            # every value that was rounded on its way in.
            good = _float_bytes(value) == raw
        if not good:
            raise ValueError(
                "CBOR: the float at byte %d is not the shortest or too precise" % (at - 1)
            )
        return value


def _float_bytes(value):
    """The shortest of the 16, 32 and 64 bit forms that keeps the value."""
    if value != value:
        return b"\xf9\x7e\x00"
    try:
        single = struct.pack(">f", value)
    except OverflowError:  # CPython; MicroPython gives infinity
        return b"\xfb" + struct.pack(">d", value)
    if struct.unpack(">f", single)[0] != value:
        return b"\xfb" + struct.pack(">d", value)
    high = single[0] << 8 | single[1]  # apart, for all 32 bits would be a big integer
    exponent = (high >> 7 & 0xFF) - 127
    fraction = (high & 0x7F) << 16 | single[2] << 8 | single[3]
    half = -1
    if exponent == 128:
        half = 0x7C00
    elif exponent == -127 and not fraction:
        half = 0
    elif -14 <= exponent <= 15 and not fraction & 0x1FFF:
        half = exponent + 15 << 10 | fraction >> 13
    elif -24 <= exponent < -14:
        shift = -1 - exponent
        fraction |= 0x800000
        if not fraction & ((1 << shift) - 1):
            half = fraction >> shift
    if half < 0:
        return b"\xfa" + single
    half |= high & 0x8000
    return bytes((0xF9, half >> 8, half & 0xFF))


def _half(bits):
    exponent = bits >> 10 & 31
    fraction = bits & 0x3FF
    if exponent == 31:
        value = float("nan") if fraction else float("inf")
    elif exponent:
        value = (1024 + fraction) * 2.0 ** (exponent - 25)
    else:
        value = fraction * 2.0**-24
    return -value if bits & 0x8000 else value


def _check_text(raw, text):
    # MicroPython's own check knows the shape of UTF-8 only: it lets surrogates,
    # overlong forms and values above U+10FFFF pass.
    if len(raw) == len(text):
        return
    for i in range(len(raw)):
        lead = raw[i]
        if lead < 0xE0:
            bad = 0xBF < lead < 0xC2
        else:
            second = raw[i + 1]
            bad = (
                lead > 0xF4
                or (lead == 0xE0 and second < 0xA0)
                or (lead == 0xED and second > 0x9F)
                or (lead == 0xF0 and second < 0x90)
                or (lead == 0xF4 and second > 0x8F)
            )
        if bad:
            raise ValueError("CBOR: text is not valid UTF-8")
