"""The host's CBOR: RFC 8949's examples, what is refused, and properties over all values."""

from __future__ import annotations

import datetime
import math
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birthkey_host import cbor

# RFC 8949 appendix A, as far as the protocol allows it.
EXAMPLES: list[tuple[Any, str]] = [
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (25, "1819"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (0.0, "f90000"),
    (-0.0, "f98000"),
    (1.0, "f93c00"),
    (1.1, "fb3ff199999999999a"),
    (1.5, "f93e00"),
    (65504.0, "f97bff"),
    (100000.0, "fa47c35000"),
    (3.4028234663852886e38, "fa7f7fffff"),
    (1.0e300, "fb7e37e43c8800759c"),
    (5.960464477539063e-8, "f90001"),
    (0.00006103515625, "f90400"),
    (-4.0, "f9c400"),
    (-4.1, "fbc010666666666666"),
    (math.inf, "f97c00"),
    (math.nan, "f97e00"),
    (-math.inf, "f9fc00"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (bytes.fromhex("01020304"), "4401020304"),
    ("", "60"),
    ("a", "6161"),
    ("IETF", "6449455446"),
    ('"\\', "62225c"),
    ("\u00fc", "62c3bc"),
    ("\u6c34", "63e6b0b4"),
    ("\U00010151", "64f0908591"),
    ([], "80"),
    ([1, 2, 3], "83010203"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ({}, "a0"),
    ({1: 2, 3: 4}, "a201020304"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    (
        {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"},
        "a56161614161626142616361436164614461656145",
    ),
]

REFUSED = {
    "nothing": "",
    "trailing byte": "0000",
    "24 would fit the head": "1817",
    "one byte would do for an integer": "1900ff",
    "two bytes would do": "1a0000ffff",
    "four bytes would do": "1b00000000ffffffff",
    "one byte would do below zero": "3900ff",
    "length of bytes not shortest": "580100",
    "length of text not shortest": "780161",
    "length of an array not shortest": "980100",
    "length of a map not shortest": "b8010000",
    "reserved length form 28": "1c",
    "reserved length form 30": "5e",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "indefinite array": "9fff",
    "indefinite map": "bfff",
    "break alone": "ff",
    "float64 that float16 holds": "fb3ff8000000000000",
    "float64 that float32 holds": "fb40f86a0000000000",
    "float32 that float16 holds": "fa3fc00000",
    "float32 infinity": "fa7f800000",
    "float64 infinity": "fb7ff0000000000000",
    "float32 NaN": "fa7fc00000",
    "float64 NaN": "fb7ff8000000000000",
    "NaN with a payload": "f97e01",
    "negative NaN": "f9fe00",
    "signalling NaN": "f97d00",
    "undefined": "f7",
    "simple value 16": "f0",
    "simple value 255": "f8ff",
    "false as a two-byte simple value": "f814",
    "date": "c11a514b67b0",
    "bignum": "c249010000000000000000",
    "encoded CBOR": "d818456449455446",
    "shared reference": "d81c00",
    "regular expression": "d8236128",
    "self-described": "d9d9f700",
    "tag in an array": "81c100",
    "keys out of order": "a202000100",
    "keys in length-first order": "a22000186400",
    "text key before an integer": "a261610000",
    "key twice": "a201000100",
    "text key twice": "a26161006161f6",
    "key of bytes": "a1414100",
    "key of an array": "a18000",
    "key that is true": "a1f500",
    "key that is null": "a1f600",
    "key that is a float": "a1f93c0000",
    "1 and 1.0 as keys": "a20100f93c0000",
    "true and 1 as keys": "a20100f500",
    "overlong UTF-8": "62c080",
    "surrogate in UTF-8": "63eda080",
    "beyond U+10FFFF": "64f4908080",
    "lone continuation byte": "6180",
    "UTF-8 cut short": "61c3",
    "bytes cut short": "4401",
    "text cut short": "6461",
    "array cut short": "8201",
    "map without its value": "a101",
    "number cut short": "19ff",
    "float cut short": "f97e",
    "float64 cut short": "fb3ff80000",
    "length beyond memory": "5bffffffffffffffff",
    "array beyond memory": "9bffffffffffffffff",
    "map beyond memory": "bbffffffffffffffff",
    "map whose entries cannot fit": "a3010203",
}

keys = st.integers(-(1 << 64), (1 << 64) - 1) | st.text()
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.floats(allow_nan=False, width=16)
    | st.binary()
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(("value", "encoding"), EXAMPLES, ids=[hex_ for _, hex_ in EXAMPLES])
def test_reads_and_writes_the_examples_of_rfc_8949(value: Any, encoding: str) -> None:
    assert cbor.dumps(value).hex() == encoding
    assert repr(cbor.loads(bytes.fromhex(encoding))) == repr(value)


@pytest.mark.parametrize("encoding", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_any_other_encoding(encoding: str) -> None:
    with pytest.raises(cbor.CborError):
        cbor.loads(bytes.fromhex(encoding))


@pytest.mark.parametrize(
    ("encoding", "offset"),
    [
        ("", 0),
        ("8100ff", 2),
        ("820018", 3),
        ("a202000100", 1),
        ("82008301c100", 4),
        ("4401", 0),
        ("819bffffffffffffffff", 1),
        ("81bbffffffffffffffff", 1),
        ("81" * 9 + "00", 8),
    ],
)
def test_says_at_which_byte(encoding: str, offset: int) -> None:
    with pytest.raises(cbor.CborError) as caught:
        cbor.loads(bytes.fromhex(encoding))
    assert caught.value.offset == offset
    assert str(caught.value) == f"byte {offset}: {caught.value.reason}"


def test_keys_are_in_bytewise_order_not_length_first() -> None:
    value = {"": 0, -1: 0, "aa": 0, "b": 0, 100: 0, 10: 0, -100: 0, 1000: 0}
    keys = [10, 100, 1000, -1, -100, "", "b", "aa"]
    assert cbor.dumps(value) == b"\xa8" + b"".join(cbor2.dumps(key) + b"\0" for key in keys)
    assert list(cbor.loads(cbor.dumps(value))) == keys  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [b"\x81", b"\xa1\x00"], ids=["arrays", "maps"])
def test_eight_levels_are_allowed_and_nine_refused(wrap: bytes) -> None:
    eight = wrap * 7 + b"\x80"
    nested = cbor.loads(eight)
    assert cbor.dumps(nested) == eight
    with pytest.raises(cbor.CborError, match="nested deeper"):
        cbor.loads(wrap + eight)
    with pytest.raises(cbor.CborError, match="nested deeper"):
        cbor.dumps([nested])


def test_very_deep_data_is_refused_without_a_recursion_error() -> None:
    with pytest.raises(cbor.CborError, match="nested deeper"):
        cbor.loads(b"\x81" * 100_000 + b"\x00")


@pytest.mark.parametrize(
    "value",
    [
        1 << 64,
        -(1 << 64) - 1,
        bytearray(b"a"),
        memoryview(b"a"),
        {1, 2},
        frozenset([1]),
        object(),
        1j,
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        cbor2.undefined,
        cbor2.CBORTag(1, 0),
        cbor2.CBORSimpleValue(16),
        {True: 0},
        {None: 0},
        {1.0: 0},
        {b"a": 0},
        {(1,): 0},
        {1 << 64: 0},
        "\ud800",
        {"\udfff": 0},
        [[["\ud800"]]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_to_write_what_has_no_place_in_a_message(value: Any) -> None:
    with pytest.raises(cbor.CborError):
        cbor.dumps(value)


def test_a_cyclic_value_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(cbor.CborError, match="nested deeper"):
        cbor.dumps(value)


def test_a_tuple_is_an_array() -> None:
    assert cbor.dumps((1, (2,))) == cbor.dumps([1, [2]])


def test_reads_a_tag_only_where_it_is_asked_for() -> None:
    assert cbor.loads_tagged(b"\xd0\x80") == (16, [])
    assert cbor.loads_tagged(b"\x80") == (None, [])
    for wrong in ("", "d0", "d0d080", "d8108000", "d81080", "df80"):
        with pytest.raises(cbor.CborError):
            cbor.loads_tagged(bytes.fromhex(wrong))


@given(values)
@settings(max_examples=300, deadline=None)
def test_every_value_is_written_in_one_way_and_read_back(value: Any) -> None:
    data = cbor.dumps(value)
    again = cbor.loads(data)
    assert again == value
    assert cbor.dumps(again) == data


@given(st.binary(max_size=40) | values.map(cbor.dumps), st.data())
@settings(max_examples=500, deadline=None)
def test_whatever_is_read_is_what_would_be_written(data: bytes, draw: st.DataObject) -> None:
    if data and draw.draw(st.booleans()):
        at = draw.draw(st.integers(0, len(data) - 1))
        data = data[:at] + bytes([draw.draw(st.integers(0, 255))]) + data[at + 1 :]
    try:
        value = cbor.loads(data)
    except cbor.CborError:
        return
    assert cbor.dumps(value) == data
