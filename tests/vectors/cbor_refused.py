"""The part of cbor.json that is refused: every kind of encoding that the profile forbids."""

from __future__ import annotations

from primitives import head


def _refuse(name: str, comment: str, encoding: str | bytes) -> dict:
    if isinstance(encoding, bytes):
        encoding = encoding.hex()
    return {"name": name, "comment": comment, "encoding": encoding, "expect": "cbor"}


_MAJORS = ["uint", "nint", "bytes", "text", "array", "map", "tag", "simple"]


def _longer_heads() -> list[dict]:
    """The same argument in each head that is longer than the shortest."""
    vectors = []
    for major, name in enumerate(_MAJORS[:6]):
        for argument in (0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1):
            content = {2: b"\0", 3: b"a", 4: b"\0", 5: b"\0\0"}.get(major, b"")
            if content and argument > 24:
                continue  # the longer heads are the same, and so is the code behind them
            # The map of 24 pairs would need 24 different keys: its keys rise instead.
            filled = content * argument
            if major == 5:
                filled = b"".join(bytes(head(0, key)) + b"\0" for key in range(argument))
            for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
                shortest = len(head(major, argument)) - 1
                if size > shortest and argument < 1 << (8 * size):
                    start = bytes([major << 5 | info]) + argument.to_bytes(size)
                    vectors.append(
                        _refuse(
                            f"long-{name}-{argument}-in-{size}",
                            f"the argument {argument} in {size} bytes, not the shortest",
                            start + filled,
                        )
                    )
    return vectors


def _reserved() -> list[dict]:
    vectors = [
        _refuse(
            f"reserved-{name}-{info}",
            f"additional information {info} is reserved",
            bytes([major << 5 | info]) + bytes(8),
        )
        for major, name in enumerate(_MAJORS)
        for info in (28, 29, 30)
    ]
    vectors += [
        _refuse(f"indefinite-{name}", "no indefinite lengths", encoding)
        for name, encoding in (
            ("bytes", "5f4100ff"),
            ("bytes-empty", "5fff"),
            ("text", "7f6161ff"),
            ("text-empty", "7fff"),
            ("array", "9f00ff"),
            ("array-empty", "9fff"),
            ("map", "bf0000ff"),
            ("map-empty", "bfff"),
            ("inside", "819f00ff"),
            ("uint", "1fff"),
            ("nint", "3fff"),
            ("tag", "df00ff"),
        )
    ]
    vectors += [
        _refuse("break", "a break with nothing to end", "ff"),
        _refuse("break-in-array", "a break for an item", "81ff"),
        _refuse("break-for-key", "a break for a key", "a1ff00"),
        _refuse("break-for-value", "a break for a value", "a100ff"),
    ]
    return vectors


def _maps() -> list[dict]:
    vectors = [
        _refuse(f"unsorted-{name}", comment, encoding)
        for name, comment, encoding in (
            ("ints", "2 before 1", "a202000100"),
            ("texts", '"b" before "a"', "a2616200616100"),
            ("third", "the last of three is out of order", "a3010003000200"),
            ("length-first-empty-text", '"" before 24: the old canonical order', "a26001181800"),
            ("length-first-minus-1", "-1 before 100: the old canonical order", "a22001186400"),
            ("length-first-aa", '"aa" before 1000: the old canonical order', "a2626161011903e800"),
            ("lexical-text", '"aa" before "b": the order of the texts', "a262616101616200"),
            ("inner", "the map in an array", "81a202000100"),
            ("value", "the map that is a value", "a100a202000100"),
        )
    ]
    vectors += [
        _refuse(f"duplicate-{name}", comment, encoding)
        for name, comment, encoding in (
            ("int", "1 twice", "a201000101"),
            ("text", '"a" twice', "a2616100616101"),
            ("same-value", "1 twice with one value", "a201000100"),
            ("empty-text", '"" twice', "a260006000"),
            ("later", "1, 2, 2", "a3010002000200"),
            ("apart", "1, 2, 1: not sorted either", "a3010002000100"),
        )
    ]
    vectors += [
        _refuse(f"key-{name}", f"a key may not be {article} {name}", f"a1{key}00")
        for name, article, key in (
            ("byte-string", "a", "4161"),
            ("false", "a", "f4"),
            ("true", "a", "f5"),
            ("null", "a", "f6"),
            ("undefined", "an", "f7"),
            ("float", "a", "f93c00"),
            ("nan", "a", "f97e00"),
            ("array", "an", "80"),
            ("map", "a", "a0"),
            ("tagged-int", "a", "c101"),
        )
    ]
    return vectors


def _ends() -> list[dict]:
    vectors = [
        _refuse(f"trailing-{name}", "something follows the outermost item", encoding)
        for name, encoding in (
            ("zero", "0000"),
            ("after-array", "810000"),
            ("after-map", "a0a0"),
            ("after-text", "616161"),
            ("after-float", "f93c0000"),
            ("break", "00ff"),
            ("after-empty-bytes", "4000"),
        )
    ]
    vectors += [
        _refuse(f"truncated-{name}", comment, encoding)
        for name, comment, encoding in (
            ("everything", "empty input", ""),
            ("head-1", "the one byte of an argument is missing", "18"),
            ("head-2", "one of the two bytes of an argument is missing", "1901"),
            ("head-4", "one of the four bytes of an argument is missing", "1a010000"),
            ("head-8", "one of the eight bytes of an argument is missing", "1b01000000000000"),
            ("nint", "an argument is missing", "38"),
            ("bytes-length", "the length is missing", "58"),
            ("bytes-content", "all of the content is missing", "41"),
            ("bytes-last", "one byte of the content is missing", "430102"),
            ("text-length", "the length is missing", "78"),
            ("text-content", "all of the content is missing", "61"),
            ("text-last", "one byte of the content is missing", "636161"),
            ("array-length", "the length is missing", "98"),
            ("array-items", "all items are missing", "81"),
            ("array-last", "the last item is missing", "830102"),
            ("array-inner", "the last item of an inner array is missing", "820081"),
            ("map-length", "the length is missing", "b8"),
            ("map-pairs", "all pairs are missing", "a1"),
            ("map-value", "the value of the only key is missing", "a100"),
            ("map-last-key", "the second pair is missing", "a20000"),
            ("map-last-value", "the value of the second key is missing", "a2000001"),
            ("half", "one byte of a half is missing", "f93c"),
            ("single", "one byte of a single is missing", "fa477fe1"),
            ("double", "one byte of a double is missing", "fb3fb99999999999"),
            ("simple", "the value of a simple value is missing", "f8"),
            ("tag", "the content of a tag is missing", "c1"),
        )
    ]
    for major, name in ((2, "bytes"), (3, "text"), (4, "array"), (5, "map")):
        vectors += [
            _refuse(
                f"giant-{name}-{label}",
                f"the length {label} and no content",
                head(major, length),
            )
            for label, length in (
                ("65536", 65536),
                ("2^30", 2**30),
                ("2^31-1", 2**31 - 1),
                ("2^31", 2**31),
                ("2^32-1", 2**32 - 1),
                ("2^32", 2**32),
                ("2^62", 2**62),
                ("2^63-1", 2**63 - 1),
                ("2^63", 2**63),
                ("2^64-1", 2**64 - 1),
            )
        ]
    vectors += [
        _refuse("giant-inside", "an array of 2^31 items whose first is there", "9a8000000000"),
        _refuse("giant-map-inside", "a map of 2^63 pairs whose first is there",
                "bb80000000000000000000"),
        _refuse("long-map-of-half", "a map of as many pairs as bytes are left", "a400000100"),
    ]  # fmt: skip
    return vectors


def _simple_and_tags() -> list[dict]:
    vectors = [
        _refuse(f"simple-{value}", "a simple value without a meaning", bytes([0xE0 | value]))
        for value in range(20)
    ]
    vectors.append(_refuse("simple-undefined", "undefined is not in the profile", "f7"))
    vectors += [
        _refuse(f"simple-f8-{value:02x}", comment, bytes([0xF8, value]))
        for value, comment in (
            (0, "not well formed"),
            (19, "not well formed"),
            (20, "false in two bytes"),
            (21, "true in two bytes"),
            (22, "null in two bytes"),
            (23, "undefined in two bytes"),
            (24, "reserved"),
            (31, "reserved"),
            (32, "the first value without a meaning"),
            (255, "the last value without a meaning"),
        )
    ]
    vectors += [
        _refuse(f"tag-{name}", "tags are refused", encoding)
        for name, encoding in (
            ("0-date", "c074323031332d30332d32315432303a30343a30305a"),
            ("1-epoch", "c11a514b67b0"),
            ("2-bignum", "c249010000000000000000"),
            ("3-negative-bignum", "c349010000000000000000"),
            ("2-small-bignum", "c24101"),
            ("4-decimal", "c48221196ab3"),
            ("16-encrypt0", "d08341404040"),
            ("18-sign1", "d2844140404040"),
            ("24-encoded", "d8184100"),
            ("55799-self-described", "d9d9f700"),
            ("2^32", "db000000010000000000"),
            ("in-array", "81c100"),
            ("on-value", "a100c100"),
            ("in-tag", "c1c100"),
        )
    ]
    return vectors


def _floats() -> list[dict]:
    return [
        _refuse(f"float-{name}", comment, encoding)
        for name, comment, encoding in (
            ("zero-in-single", "0.0 fits 16 bits", "fa00000000"),
            ("minus-zero-in-single", "-0.0 fits 16 bits", "fa80000000"),
            ("one-in-single", "1.0 fits 16 bits", "fa3f800000"),
            ("one-in-double", "1.0 fits 16 bits", "fb3ff0000000000000"),
            ("zero-in-double", "0.0 fits 16 bits", "fb0000000000000000"),
            ("minus-zero-in-double", "-0.0 fits 16 bits", "fb8000000000000000"),
            ("largest-half-in-single", "65504.0 fits 16 bits", "fa477fe000"),
            ("smallest-half-in-single", "2^-24 fits 16 bits", "fa33800000"),
            ("subnormal-half-in-single", "1023 * 2^-24 fits 16 bits", "fa387fc000"),
            ("smallest-half-in-double", "2^-24 fits 16 bits", "fb3e70000000000000"),
            ("infinity-in-single", "infinity fits 16 bits", "fa7f800000"),
            ("infinity-in-double", "infinity fits 16 bits", "fb7ff0000000000000"),
            ("minus-infinity-in-single", "-infinity fits 16 bits", "faff800000"),
            ("minus-infinity-in-double", "-infinity fits 16 bits", "fbfff0000000000000"),
            ("single-in-double", "65505.0 fits 32 bits", "fb40effc2000000000"),
            ("largest-single-in-double", "it fits 32 bits", "fb47efffffe0000000"),
            ("smallest-single-in-double", "2^-149 fits 32 bits", "fb36a0000000000000"),
            ("nan-in-single", "the one NaN has 16 bits", "fa7fc00000"),
            ("nan-in-double", "the one NaN has 16 bits", "fb7ff8000000000000"),
            ("nan-signalling", "another NaN", "f97c01"),
            ("nan-payload", "another NaN", "f97e01"),
            ("nan-negative", "another NaN", "f9fe00"),
            ("nan-all-ones", "another NaN", "f9ffff"),
            ("nan-signalling-single", "another NaN", "fa7f800001"),
            ("nan-payload-single", "another NaN", "fa7fc00001"),
            ("nan-negative-single", "another NaN", "faffc00000"),
            ("nan-payload-double", "another NaN", "fb7ff8000000000001"),
            ("nan-signalling-double", "another NaN", "fb7ff0000000000001"),
            ("in-array", "1.0 in 32 bits, inside", "81fa3f800000"),
        )
    ]


def _utf8() -> list[dict]:
    bad = {
        "continuation": ("a continuation byte alone", "80"),
        "overlong-2": ("U+0000 in two bytes", "c080"),
        "overlong-2-high": ("U+007F in two bytes", "c1bf"),
        "overlong-3": ("U+07FF in three bytes", "e09fbf"),
        "overlong-4": ("U+FFFF in four bytes", "f08fbfbf"),
        "surrogate-first": ("U+D800", "eda080"),
        "surrogate-last": ("U+DFFF", "edbfbf"),
        "surrogate-pair": ("U+10000 as two surrogates", "eda080edb080"),
        "u+110000": ("above U+10FFFF", "f4908080"),
        "u+1fffff": ("above U+10FFFF", "f7bfbfbf"),
        "five-bytes": ("a lead byte of five", "f888808080"),
        "six-bytes": ("a lead byte of six", "fc8480808080"),
        "fe": ("never a byte of UTF-8", "fe"),
        "ff": ("never a byte of UTF-8", "ff"),
        "cut-2": ("the second of two bytes is missing", "c3"),
        "cut-3": ("the third of three bytes is missing", "e6b0"),
        "cut-4": ("the fourth of four bytes is missing", "f0908c"),
        "cut-before-ascii": ("a letter for the second of two bytes", "c361"),
        "lead-twice": ("a lead byte for the second of two", "c3c3bc"),
        "latin-1": ("u with diaeresis in one byte", "fc"),
        "after-ascii": ("an overlong form among letters", "6162c0af63"),
    }
    vectors = [
        _refuse(f"utf8-{name}", comment, head(3, len(raw) // 2) + bytes.fromhex(raw))
        for name, (comment, raw) in bad.items()
    ]
    vectors += [
        _refuse("utf8-key", "U+D800 in a key", "a163eda08000"),
        _refuse("utf8-cut-by-length", "the length ends inside a character", "8262e6b000"),
    ]
    return vectors


def _deep() -> list[dict]:
    return [
        _refuse("depth-9-arrays", "one level too many", "81" * 9 + "00"),
        _refuse("depth-9-maps", "one level too many", "a100" * 9 + "00"),
        _refuse("depth-9-mixed", "arrays and maps count alike", "81a100" * 4 + "8100"),
        _refuse("depth-9-empty", "the ninth is empty", "81" * 8 + "80"),
        _refuse("depth-9-later", "the second item is too deep", "8200" + "81" * 8 + "00"),
        _refuse("depth-4000-arrays", "no stack holds this", "81" * 4000 + "00"),
        _refuse("depth-4000-maps", "no stack holds this", "a100" * 4000 + "00"),
        _refuse("depth-4000-open", "deep, and it ends there", "81" * 4000),
    ]


def vectors() -> list[dict]:
    return (
        _longer_heads()
        + _reserved()
        + _maps()
        + _ends()
        + _simple_and_tags()
        + _floats()
        + _utf8()
        + _deep()
    )
