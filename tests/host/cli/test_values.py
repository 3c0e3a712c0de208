from __future__ import annotations

import json
import math

import pytest

from birthkey_host import cbor
from birthkey_host.cbor import Value
from birthkey_host.cli import values
from birthkey_host.message import Enrol, Type


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"t": 20.5, "on": True, "off": False, "none": None}, None),
        ({"t": 21.1}, "{t: 21.1}"),
        ({1: "a", -2: "b"}, '{1: "a", -2: "b"}'),
        ([{"n": 1}, {"n": [2, 3]}], "[{n: 1}, {n: [2, 3]}]"),
        (b"\x00\xff", "h'00ff'"),
        (b"", "h''"),
        ("", '""'),
        ({}, "{}"),
        (2**64 - 1, "18446744073709551615"),
        ({"1": 0, 1: 0}, '{"1": 0, 1: 0}'),
        ({"two words": 0}, '{"two words": 0}'),
        ("Wärme °C", '"Wärme °C"'),
    ],
)
def test_text(value: Value, text: str | None) -> None:
    assert values.text(value) == (text or "{t: 20.5, on: true, off: false, none: null}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (21.100000381469727, "21.1"),  # what a board's 32-bit float makes of 21.1
        (0.10000000149011612, "0.1"),
        (16777216.0, "16777216"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (1e-45, "1e-45"),
        (math.pi, "3.141592653589793"),  # no 32-bit float
        (1e300, "1e+300"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_floats_have_as_few_digits_as_their_board_gave_them(value: float, text: str) -> None:
    assert values.text(value) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J",  # clears the screen
        "\x9b31m",  # the same, in one character
        "a\nb",
        "a\rb",
        "\u202egnp.exe",  # turns the rest of the line around
        "\u2028",
        "\U000e0041",  # an invisible tag
        "\x7f\x00\x08",
    ],
)
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {text: 1}, lambda text: [text]])
def test_nothing_reaches_the_terminal_that_could_steer_it(hostile: str, wrap: object) -> None:
    text = values.text(wrap(hostile))  # type: ignore[operator]
    assert text.isprintable()
    assert "\\" in text


def test_plain_is_json_without_loss_of_meaning() -> None:
    value: Value = {
        "bytes": b"\x01\xff",
        "nan": math.nan,
        "up": math.inf,
        "down": -math.inf,
        "big": 2**64 - 1,
        "list": [1, {"x": None}],
        7: True,
    }
    assert json.loads(json.dumps(values.plain(value), allow_nan=False)) == {
        "bytes": "01ff",
        "nan": "NaN",
        "up": "Infinity",
        "down": "-Infinity",
        "big": 2**64 - 1,
        "list": [1, {"x": None}],
        "7": True,
    }


def test_map_whose_keys_would_be_one_in_json_becomes_pairs() -> None:
    assert values.plain({1: "number", "1": "text"}) == [[1, "number"], ["1", "text"]]


def test_senml_gets_the_names_of_its_json_form() -> None:
    pack: Value = [{-2: "urn:dev:x:", -3: 1.0}, {0: "temp", 1: "Cel", 2: 21.5, "own": 1}]
    assert values.named(Type.DATA, pack) == [
        {"bn": "urn:dev:x:", "bt": 1.0},
        {"n": "temp", "u": "Cel", "v": 21.5, "own": 1},
    ]


def test_senml_record_that_has_label_and_name_keeps_both() -> None:
    pack: Value = [{0: "a", "n": "b"}]
    assert values.named(Type.DATA, pack) == pack


def test_map_is_no_senml() -> None:
    assert values.named(Type.DATA, {0: 1}) == {0: 1}


def test_status_gets_names() -> None:
    body: Value = {1: 4, 2: [7, "done"], 3: True}
    assert values.named(Type.STATUS, body) == {"newest": 4, "result": [7, "done"], "time": True}


def test_claim_code_is_not_shown() -> None:
    body = Enrol(bytes(64), "pico", "1.0", claim=b"sixteen secrets!").body()
    named = values.named(Type.ENROL, body)
    assert isinstance(named, dict)
    assert (named["board"], named["firmware"]) == ("pico", "1.0")
    assert b"sixteen secrets!" not in cbor.dumps(named)
