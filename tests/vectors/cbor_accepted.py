"""The part of cbor.json that is accepted: every kind of item that the profile allows."""

from __future__ import annotations

import math
import struct
from typing import Any

from primitives import encode

DEPTH = 8


def tagged(value: Any) -> Any:
    """The notation of values in the JSON files; see README.md."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list):
        return {"array": [tagged(item) for item in value]}
    pairs = sorted(value.items(), key=lambda pair: encode(pair[0]))
    return {"map": [[tagged(key), tagged(item)] for key, item in pairs]}


def _accept(name: str, comment: str, value: Any, encoding: str | bytes, **more: Any) -> dict:
    """The encoding is written by hand; the encoder that makes the frames must agree."""
    if isinstance(encoding, str):
        encoding = bytes.fromhex(encoding)
    if encode(value) != encoding:
        raise ValueError(f"{name}: the encoder gives {encode(value).hex()}")
    return {
        "name": name,
        "comment": comment,
        "encoding": encoding.hex(),
        "value": tagged(value),
        **more,
        "expect": "accept",
    }


_INTEGERS = [
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (100, "1864"),
    (255, "18ff"),
    (256, "190100"),
    (1000, "1903e8"),
    (65535, "19ffff"),
    (65536, "1a00010000"),
    (2**30 - 1, "1a3fffffff"),
    (2**30, "1a40000000"),
    (2**31 - 1, "1a7fffffff"),
    (2**31, "1a80000000"),
    (2**32 - 1, "1affffffff"),
    (2**32, "1b0000000100000000"),
    (2**53 + 1, "1b0020000000000001"),
    (2**63 - 1, "1b7fffffffffffffff"),
    (2**63, "1b8000000000000000"),
    (2**64 - 1, "1bffffffffffffffff"),
    (-1, "20"),
    (-10, "29"),
    (-24, "37"),
    (-25, "3818"),
    (-256, "38ff"),
    (-257, "390100"),
    (-65536, "39ffff"),
    (-65537, "3a00010000"),
    (-(2**30), "3a3fffffff"),
    (-(2**30) - 1, "3a40000000"),
    (-(2**31), "3a7fffffff"),
    (-(2**31) - 1, "3a80000000"),
    (-(2**32), "3affffffff"),
    (-(2**32) - 1, "3b0000000100000000"),
    (-(2**63), "3b7fffffffffffffff"),
    (-(2**63) - 1, "3b8000000000000000"),
    (-(2**64), "3bffffffffffffffff"),
]

_FLOATS = [
    ("zero", 0.0, "f90000"),
    ("minus-zero", -0.0, "f98000"),
    ("one", 1.0, "f93c00"),
    ("one-and-a-half", 1.5, "f93e00"),
    ("minus-four", -4.0, "f9c400"),
    ("largest-half", 65504.0, "f97bff"),
    ("smallest-normal-half", 2.0**-14, "f90400"),
    ("largest-subnormal-half", 1023 * 2.0**-24, "f903ff"),
    ("smallest-half", 2.0**-24, "f90001"),
    ("minus-smallest-half", -(2.0**-24), "f98001"),
    ("infinity", math.inf, "f97c00"),
    ("minus-infinity", -math.inf, "f9fc00"),
    ("nan", math.nan, "f97e00"),
    ("above-largest-half", 65505.0, "fa477fe100"),
    ("two-to-16", 65536.0, "fa47800000"),
    ("eleven-bits-and-one", 2049.0, "fa45001000"),
    ("half-subnormal-and-a-bit", 3 * 2.0**-25, "fa33c00000"),
    ("below-smallest-half", 2.0**-25, "fa33000000"),
    ("minus-100000.5", -100000.5, "fac7c35040"),
    ("largest-single", 3.4028234663852886e38, "fa7f7fffff"),
    ("smallest-normal-single", 2.0**-126, "fa00800000"),
    ("largest-subnormal-single", 8388607 * 2.0**-149, "fa007fffff"),
    ("smallest-single", 2.0**-149, "fa00000001"),
]

_DOUBLES = [
    ("tenth", 0.1, "fb3fb999999999999a"),
    ("minus-4.1", -4.1, "fbc010666666666666"),
    ("two-to-24-plus-1", 16777217.0, "fb4170000010000000"),
    ("above-largest-single", math.nextafter(3.4028234663852886e38, math.inf), "fb47efffffe0000001"),
    ("two-to-128", 2.0**128, "fb47f0000000000000"),
    ("below-smallest-single", 2.0**-150, "fb3690000000000000"),
    ("single-subnormal-and-a-bit", 3 * 2.0**-150, "fb36a8000000000000"),
    ("largest", 1.7976931348623157e308, "fb7fefffffffffffff"),
    ("smallest-normal", 2.2250738585072014e-308, "fb0010000000000000"),
    ("smallest", 5e-324, "fb0000000000000001"),
    ("minus-smallest", -5e-324, "fb8000000000000001"),
]

_TEXTS = [
    ("empty", "", "60"),
    ("ascii", "IETF", "6449455446"),
    ("quote-and-backslash", '"\\', "62225c"),
    ("nul", "\0", "6100"),
    ("u+007f", "\x7f", "617f"),
    ("u+0080", "\x80", "62c280"),
    ("u+07ff", "\u07ff", "62dfbf"),
    ("u+0800", "\u0800", "63e0a080"),
    ("water", "水", "63e6b0b4"),
    ("u+d7ff", "\ud7ff", "63ed9fbf"),
    ("u+e000", "\ue000", "63ee8080"),
    ("u+feff", "\ufeff", "63efbbbf"),
    ("u+ffff", "\uffff", "63efbfbf"),
    ("u+10000", "\U00010000", "64f0908080"),
    ("u+10ffff", "\U0010ffff", "64f48fbfbf"),
    ("decomposed", "u\u0308", "6375cc88"),
]


def _nested(depth: int, value: Any, wrap: Any) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


def vectors() -> list[dict]:
    made = [
        _accept(f"int{value:+d}", "an integer in its shortest form", value, encoding)
        for value, encoding in _INTEGERS
    ]
    made += [
        _accept(f"float-{name}", "a float in the shortest form that keeps it", value, encoding)
        for name, value, encoding in _FLOATS
    ]
    made += [
        _accept(f"double-{name}", "a float that needs 64 bits", value, encoding, needs_double=True)
        for name, value, encoding in _DOUBLES
    ]
    made += [
        _accept(f"simple-{name}", "a simple value", value, encoding)
        for name, value, encoding in (
            ("false", False, "f4"),
            ("true", True, "f5"),
            ("null", None, "f6"),
        )
    ]
    made += [
        _accept(f"text-{name}", "valid UTF-8", value, encoding) for name, value, encoding in _TEXTS
    ]
    for size, start in ((0, "40"), (4, "44"), (23, "57"), (24, "5818"), (255, "58ff")):
        content = bytes(range(size))
        encoding = bytes.fromhex(start) + content
        made.append(_accept(f"bytes-{size}", "a byte string", content, encoding))
    made += [
        _accept("bytes-256", "a length of two bytes", bytes(256), "590100" + "00" * 256),
        _accept("bytes-not-utf-8", "a byte string may hold anything", b"\xff\xc0\x80", "43ffc080"),
        _accept("text-23", "the longest short length", "a" * 23, "77" + "61" * 23),
        _accept("text-24", "a length of one byte", "a" * 24, "7818" + "61" * 24),
        _accept("text-256", "a length of two bytes", "a" * 256, "790100" + "61" * 256),
        _accept("text-length-is-bytes", "12 characters, 24 bytes", "ü" * 12, "7818" + "c3bc" * 12),
        _accept("array-empty", "no items", [], "80"),
        _accept("array-of-all", "one item of each type", [1, -1, b"\1", "a", [], {}, False, 1.0],
                "8801204101616180a0f4f93c00"),
        _accept("array-23", "the longest short length", [0] * 23, "97" + "00" * 23),
        _accept("array-24", "a length of one byte", [0] * 24, "9818" + "00" * 24),
        _accept("array-256", "a length of two bytes", [0] * 256, "990100" + "00" * 256),
        _accept("one-is-not-true", "1, true and 1.0 differ", [1, True, 1.0], "8301f5f93c00"),
        _accept("zero-is-not-false", "0, false, 0.0, -0.0", [0, False, 0.0, -0.0],
                "8400f4f90000f98000"),
        _accept("map-empty", "no pairs", {}, "a0"),
        _accept("map-int-keys", "keys in order", {1: 2, 3: 4}, "a201020304"),
        _accept("map-text-keys", "keys in order", {"a": 1, "b": [2, 3]}, "a26161016162820203"),
        _accept("map-empty-key", "the empty text is a key", {"": 0}, "a16000"),
        _accept("map-int-and-text", "1 and \"1\" are two keys", {1: 0, "1": 0}, "a20100613100"),
        _accept("map-sign", "-1 after every positive key", {0: 0, 2**64 - 1: 1, -1: 2},
                "a300001bffffffffffffffff012002"),
        _accept("map-24-before-empty-text", "bytewise, where length-first has \"\" before 24",
                {24: 0, "": 1}, "a21818006001"),
        _accept("map-100-before-minus-1", "bytewise, where length-first has -1 before 100",
                {100: 0, -1: 1}, "a21864002001"),
        _accept("map-1000-before-aa", "bytewise, where length-first has \"aa\" before 1000",
                {1000: 0, "aa": 1}, "a21903e80062616101"),
        _accept("map-2-to-32-before-text", "bytewise, where length-first has \"a\" before 2^32",
                {2**32: 0, "a": 1}, "a21b000000010000000000616101"),
        _accept("map-b-before-aa", "the length is part of the encoding: \"b\" before \"aa\"",
                {"b": 0, "aa": 1}, "a261620062616101"),
        _accept("map-of-the-rfc", "RFC 8949 section 4.2.1, its allowed keys",
                {10: 0, 100: 1, -1: 2, "z": 3, "aa": 4}, "a50a001864012002617a0362616104"),
        _accept("map-24-pairs", "a length of one byte", dict.fromkeys(range(24), 0),
                "b818" + "".join(f"{key:02x}00" for key in range(24))),
        _accept("map-value-null", "null is a value", {1: None}, "a101f6"),
        _accept("depth-8-arrays", "the deepest array", _nested(DEPTH, 0, lambda v: [v]),
                "81" * DEPTH + "00"),
        _accept("depth-8-maps", "the deepest map", _nested(DEPTH, 0, lambda v: {0: v}),
                "a100" * DEPTH + "00"),
        _accept("depth-8-empty", "the innermost is empty", _nested(DEPTH - 1, [], lambda v: [v]),
                "81" * (DEPTH - 1) + "80"),
        _accept("depth-8-twice", "depth counts the way in, not the containers seen",
                [_nested(DEPTH - 1, 0, lambda v: [v])] * 2, "82" + ("81" * (DEPTH - 1) + "00") * 2),
        _accept("depth-in-bytes", "what a byte string holds is not nested", bytes([0x81] * 9),
                "49" + "81" * 9),
    ]  # fmt: skip
    return made
