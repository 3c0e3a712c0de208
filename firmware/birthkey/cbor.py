"""Deterministic CBOR, RFC 8949 section 4.2.1: one encoding for each value.

`loads` refuses whatever `dumps` would not have written, and checks every length
against the bytes that are there before it allocates anything. Tags are refused: the
two that frames begin with are the business of `birthkey.cose`.
"""

import struct

from birthkey._port import const

_DEPTH = const(8)

_UNSIGNED = const(0)
_NEGATIVE = const(1)
_BYTES = const(2)
_TEXT = const(3)
_ARRAY = const(4)
_MAP = const(5)
_SIMPLE = const(7)


def dumps(obj):
    """Encode None, bool, int, float, bytes, str, list, tuple or dict."""
    out = bytearray()
    _encode(out, obj, 0)
    return bytes(out)


def loads(obj):
    """Decode one item that fills `obj` wholly; ValueError for anything else."""
    data = memoryview(obj)
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise ValueError("CBOR: %d bytes follow the item" % (len(data) - end))
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


def _decode(data, at, depth):
    """Value of the item at `at`, and where it ends."""
    if at >= len(data):
        raise ValueError("CBOR: ends at byte %d, inside an item" % at)
    start = at
    major = data[at] >> 5
    info = data[at] & 31
    at += 1
    if major == _SIMPLE:
        return _decode_simple(data, start, info)
    argument, at = _decode_argument(data, at, info)
    if major == _UNSIGNED:
        return argument, at
    if major == _NEGATIVE:
        return -1 - argument, at
    if major > _MAP:
        raise ValueError("CBOR: a tag at byte %d" % start)
    # An item of an array takes at least one byte, a pair of a map two.
    if argument > (len(data) - at) >> (major == _MAP):
        raise ValueError("CBOR: the item at byte %d is longer than the data" % start)
    if major == _BYTES:
        return bytes(data[at : at + argument]), at + argument
    if major == _TEXT:
        raw = bytes(data[at : at + argument])
        text = raw.decode()
        _check_text(raw, text)
        return text, at + argument
    depth = _deeper(depth)
    if major == _ARRAY:
        items = []
        for _ in range(argument):
            item, at = _decode(data, at, depth)
            items.append(item)
        return items, at
    return _decode_map(data, at, argument, depth)


def _decode_argument(data, at, info):
    if info < 24:
        return info, at
    if info > 27:
        raise ValueError("CBOR: indefinite or reserved length at byte %d" % (at - 1))
    size = 1 << (info - 24)
    if size > len(data) - at:
        raise ValueError("CBOR: ends at byte %d, inside a length" % len(data))
    argument = int.from_bytes(data[at : at + size], "big")
    least = 24 if size == 1 else 1 << (4 * size)
    if argument < least:
        raise ValueError("CBOR: not the shortest form at byte %d" % (at - 1))
    return argument, at + size


def _decode_map(data, at, count, depth):
    result = {}
    previous = b""
    for _ in range(count):
        start = at
        if at < len(data) and data[at] >> 5 not in (_UNSIGNED, _NEGATIVE, _TEXT):
            raise ValueError("CBOR: the key at byte %d is neither an integer nor text" % at)
        key, at = _decode(data, at, depth)
        encoded = bytes(data[start:at])
        if encoded <= previous:
            raise ValueError("CBOR: the key at byte %d repeats or is out of order" % start)
        previous = encoded
        result[key], at = _decode(data, at, depth)
    return result, at


def _decode_simple(data, start, info):
    if info == 20:
        return False, start + 1
    if info == 21:
        return True, start + 1
    if info == 22:
        return None, start + 1
    if not 25 <= info <= 27:
        raise ValueError("CBOR: unknown simple value at byte %d" % start)
    end = start + 1 + (1 << (info - 24))
    if end > len(data):
        raise ValueError("CBOR: ends at byte %d, inside a float" % len(data))
    raw = bytes(data[start:end])
    if info == 25:
        value = _half(raw[1] << 8 | raw[2])
    else:
        value = struct.unpack(">f" if info == 26 else ">d", raw[1:])[0]
    # One comparison refuses longer forms, other NaNs and, where floats have 32 bits,
    # every value that was rounded on its way in.
    if _float_bytes(value) != raw:
        raise ValueError("CBOR: the float at byte %d is not the shortest or too precise" % start)
    return value, end


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
    bits = int.from_bytes(single, "big")
    exponent = (bits >> 23 & 0xFF) - 127
    fraction = bits & 0x7FFFFF
    half = -1
    if exponent == 128:
        half = 0x7C00
    elif not bits & 0x7FFFFFFF:
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
    half |= bits >> 16 & 0x8000
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
    size = 0
    for character in text:
        point = ord(character)
        if 0xD800 <= point < 0xE000 or point > 0x10FFFF:
            raise ValueError("CBOR: text is not valid UTF-8")
        size += 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
    if size != len(raw):
        raise ValueError("CBOR: text is not valid UTF-8")
