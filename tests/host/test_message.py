"""Messages and their bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from birthkey_host import cbor, cose, message
from birthkey_host.cbor import CborError
from birthkey_host.errors import FrameError
from birthkey_host.message import Enrol, Message, Reason, Status, Type

PUBLIC = bytes.fromhex(
    "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"
    "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"
)
KEY = cose.to_cose_key(PUBLIC)
ENROL = {1: KEY, 2: "pico-w", 3: "1.0.0"}


def test_a_message_is_read_as_it_was_written() -> None:
    for kind in Type:
        sent = Message(kind, 7 << 32 | 3, {"t": 21.5, 1: [None, b"x"]})
        assert Message.decode(sent.encode()) == sent
        assert sent.boot == 7


def test_a_message_is_an_array_of_three() -> None:
    assert Message(1, 1 << 32, {}).encode().hex() == "83011b0000000100000000a0"


@pytest.mark.parametrize(
    "encoding",
    ["80", "820100", "840100a000", "a3000101020200", "01", "f6", "832000a0", "83f500a0",
     "83f93c0000a0", "830120a0", "8301f6a0", "830161 31a0", "8301f93c00a0", "83014101a0"],
)  # fmt: skip
def test_another_shape_is_refused_as_policy(encoding: str) -> None:
    data = bytes.fromhex(encoding)
    with pytest.raises(ValueError, match="message"):
        Message.decode(data)
    with pytest.raises(FrameError) as caught:
        message.decode_message(data)
    assert caught.value.layer == "policy"


@pytest.mark.parametrize(
    "encoding", ["", "83 01 00", "83 01 00 a0 00", "83 1801 00 a0", "c183010000"]
)
def test_another_encoding_is_refused_as_cbor(encoding: str) -> None:
    data = bytes.fromhex(encoding)
    with pytest.raises(CborError):
        Message.decode(data)
    with pytest.raises(FrameError) as caught:
        message.decode_message(data)
    assert caught.value.layer == "cbor"


def test_unknown_types_and_any_counter_are_read() -> None:
    assert Message.decode(bytes.fromhex("831bffffffffffffffff1bffffffffffffffff00")) == Message(
        2**64 - 1, 2**64 - 1, 0
    )


def test_a_message_has_at_most_3800_bytes() -> None:
    overhead = len(Message(1, 1 << 32, {1: bytes(300)}).encode()) - 300
    longest = Message(1, 1 << 32, {1: bytes(3800 - overhead)})
    data = longest.encode()
    assert len(data) == 3800
    assert message.decode_message(data) == longest
    longer = Message(1, 1 << 32, {1: bytes(3801 - overhead)})
    with pytest.raises(ValueError, match="3801 bytes"):
        longer.encode()
    with pytest.raises(FrameError, match="3801 bytes") as caught:
        message.decode_message(cbor.dumps([1, 1 << 32, longer.body]))
    assert caught.value.layer == "cbor"


def test_some_reasons_are_transient() -> None:
    assert {reason.value for reason in Reason if reason.transient} == {
        "pending", "busy", "suspended", "unknown-device", "stale-boot", "tls-required",
    }  # fmt: skip
    assert {reason.value for reason in Reason if not reason.transient} == {
        "old", "type", "malformed", "revoked", "cloned",
    }  # fmt: skip


@pytest.mark.parametrize("claim", [None, b"c" * 16])
def test_an_enrol_is_read_as_it_was_written(claim: bytes | None) -> None:
    enrol = Enrol(PUBLIC, "pico-w", "1.0.0", claim)
    assert message.parse_enrol(enrol.body()) == enrol
    assert message.enrol_key(enrol.body()) == PUBLIC


@pytest.mark.parametrize(
    "change",
    [{1: None}, {1: PUBLIC}, {1: {}}, {2: ""}, {2: "b" * 33}, {2: "pico\n"}, {2: "\x7f"},
     {2: "p\u00efco"}, {2: b"pico"}, {2: 1}, {3: ""}, {3: "1" * 33}, {3: None}, {4: bytes(15)},
     {4: bytes(17)}, {4: "a" * 16}, {4: None}, {5: 0}, {0: 1}, {"x": 0}],
    ids=repr,
)  # fmt: skip
def test_another_enrol_is_refused_by_its_field(change: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=f"field {json.dumps(next(iter(change)))}"):
        message.parse_enrol({**ENROL, **change})


@pytest.mark.parametrize("field", ENROL)
def test_an_enrol_without_a_field_is_refused(field: int) -> None:
    body = {key: value for key, value in ENROL.items() if key != field}
    with pytest.raises(ValueError, match=f"field {field} is missing"):
        message.parse_enrol(body)


def test_the_longest_labels_are_read() -> None:
    enrol = message.parse_enrol({**ENROL, 2: "~" * 32, 3: " " * 32})
    assert (enrol.board, enrol.firmware) == ("~" * 32, " " * 32)


@pytest.mark.parametrize("body", [None, [], [ENROL], {}, {1: b""}])
def test_no_key_is_found_where_there_is_none(body: Any) -> None:
    assert message.enrol_key(body) is None
    with pytest.raises(ValueError, match=r"body|field"):
        message.parse_enrol(body)


@pytest.mark.parametrize(
    "status",
    [
        Status(),
        Status(newest=0),
        Status(newest=2**32 - 1),
        Status(command_result=(0, None)),
        Status(command_result=(2**64 - 1, {"ok": True})),
        Status(wants_time=True),
        Status(9, (5, "done"), True),
    ],
    ids=repr,
)
def test_a_status_is_read_as_it_was_written(status: Status) -> None:
    assert message.parse_status(status.body()) == status


@pytest.mark.parametrize(
    "body",
    [{1: -1}, {1: 2**32}, {1: "9"}, {1: True}, {1: None}, {1: 9.0}, {2: 5}, {2: []}, {2: [5]},
     {2: [5, 0, 0]}, {2: ["5", 0]}, {2: [-1, 0]}, {2: [True, 0]}, {2: {}}, {2: None}, {3: False},
     {3: 1}, {3: None}, {4: 0}, {0: 7}, {"time": True}],
    ids=repr,
)  # fmt: skip
def test_another_status_is_refused_by_its_field(body: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=f"field {json.dumps(next(iter(body)))}"):
        message.parse_status(body)


@pytest.mark.parametrize("body", [None, [], 0, "x", [{}]])
def test_a_status_is_a_map(body: Any) -> None:
    with pytest.raises(ValueError, match="not a map"):
        message.parse_status(body)


@pytest.mark.parametrize("body", [{}, {"t": 21.5}, {1: [1, 2]}, [{}], [{"n": "t"}, {"v": 1}]])
def test_data_is_a_map_or_a_pack(body: Any) -> None:
    message.check_data(body)


@pytest.mark.parametrize("body", [None, 0, 1.5, True, "x", b"x", [], [1], [{}, 1], [[{}]]])
def test_other_data_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match="SenML"):
        message.check_data(body)


@pytest.mark.parametrize(
    "down",
    [
        Message(16, 1, {0: 0}),
        Message(16, 1, {0: 7, 1: True}),
        Message(17, 1, {0: 7, 1: {"led": True}}),
        Message(18, 1, {0: 7, 1: 1790000000}),
        *(Message(19, 1, {0: 2**32 - 1, 1: reason.value}) for reason in Reason),
    ],
    ids=repr,
)
def test_what_goes_down_is_accepted(down: Message) -> None:
    message.check_down(down)


@pytest.mark.parametrize(
    ("kind", "body"),
    [(1, {0: 7}), (20, {0: 7}), (16, {}), (16, [7]), (16, {0: -1}), (16, {0: 2**32}),
     (16, {0: True}), (16, {0: 7, 1: 0}), (16, {0: 7, 1: 1}), (16, {0: 7, 1: False}),
     (16, {0: 7, 2: True}), (16, {0: 7, 1: True, 2: 0}), (17, {0: 7}), (17, {0: 7, 1: [1]}),
     (18, {0: 7, 1: -1}),
     (18, {0: 7, 1: 1.0}), (18, {0: 7, 1: True}), (19, {0: 7}), (19, {0: 7, 1: "because"}),
     (19, {0: 7, 1: 1}), (19, {0: 7, 1: b"old"}), (19, {0: 7, 1: ["old"]}),
     (19, {0: 7, 1: "old", 2: 0})],
)  # fmt: skip
def test_other_things_do_not_go_down(kind: int, body: Any) -> None:
    with pytest.raises(ValueError, match=r"type|field|body"):
        message.check_down(Message(kind, 1, body))


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"\x1b[2J\n2026 INFO stored": 0}, r'"\u001b[2J\n2026 INFO stored"'),
        ({"\u202e": 0}, r'"\u202e"'),
        ({"k" * 3600: 0}, '"' + "k" * 40 + '"...'),
        ({"\x1b" * 3600: 0}, '"' + r"\u001b" * 40 + '"...'),
        ({"4": 0}, '"4"'),
        ({2**64 - 1: 0}, "18446744073709551615"),
        ({"b": 0, "a": 0}, '"a"'),
    ],
)
@pytest.mark.parametrize("kind", [Type.STATUS, Type.ENROL])
def test_key_of_a_stranger_is_quoted_and_cut(body: dict[Any, Any], shown: str, kind: Type) -> None:
    own = ENROL if kind is Type.ENROL else {}
    parse = message.parse_enrol if kind is Type.ENROL else message.parse_status
    with pytest.raises(ValueError) as caught:
        parse({**own, **body})
    assert str(caught.value) == f"field {shown} is not known in this message"
