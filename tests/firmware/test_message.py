"""What a board takes for a message from the server, and for a reading of its own."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from device import Interpreter

COUNTER = 1 << 32


@pytest.mark.parametrize(
    "value",
    [
        [16, COUNTER, {0: 1}],
        [16, COUNTER, {0: 1, 1: True}],
        [17, 5, {0: 1, 1: {"led": True}}],
        [18, COUNTER, {0: 1, 1: 1_800_000_000}],
        [19, COUNTER, {0: 0, 1: "pending"}],
        [19, COUNTER, {0: 2, 1: "revoked"}],
    ],
)
def test_the_four_answers_are_taken(device: Interpreter, value: list[Any]) -> None:
    assert device.call("birthkey.message:decode_downlink", cbor2.dumps(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        [16, COUNTER],
        [16, COUNTER, {0: 1}, 0],
        {16: COUNTER},
        [16, COUNTER, []],
        [16, -1, {0: 1}],
        [True, COUNTER, {0: 1}],
        [16, True, {0: 1}],
        [16, COUNTER, {}],
        [16, COUNTER, {0: -1}],
        [16, COUNTER, {0: 1 << 32}],
        [16, COUNTER, {0: True}],
        [16, COUNTER, {0: 1, 1: 1}],
        [16, COUNTER, {0: 1, 1: False}],
        [16, COUNTER, {0: 1, 2: True}],
        [16, COUNTER, {0: 1, 1: True, 2: 0}],
        [17, 5, {0: 1}],
        [17, 5, {0: 1, 1: [1]}],
        [18, COUNTER, {0: 1, 1: "now"}],
        [19, COUNTER, {0: 1}],
        [19, COUNTER, {0: 1, 1: "because"}],
        [1, COUNTER, {0: 1}],
        [20, COUNTER, {0: 1}],
    ],
)
def test_anything_else_is_malformed(device: Interpreter, value: Any) -> None:
    with pytest.raises(ValueError, match=r"answer|message"):
        device.call("birthkey.message:decode_downlink", cbor2.dumps(value))


@pytest.mark.parametrize("body", [{}, {"t": 21.5}, [{0: "t", 2: 21.5}]])
def test_a_reading_is_a_map_or_a_pack(device: Interpreter, body: Any) -> None:
    device.call("birthkey.message:check_data", body)


@pytest.mark.parametrize("body", [[], [1], [{}, 1], 5, "t", b"t", None])
def test_no_other_body_is_a_reading(device: Interpreter, body: Any) -> None:
    with pytest.raises(ValueError, match="a reading is"):
        device.call("birthkey.message:check_data", body)
