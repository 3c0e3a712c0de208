"""Explanations: every byte is accounted for, the verdict is the verifier's, nothing raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birthkey_host import cbor
from birthkey_host.inspect import Explanation, Field, explain
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import FrameError, KnownDevice, Verdict, Verifier

SERVER = ServerKey.generate()
DEVICE = ReferenceDevice.generate(SERVER.public, boot=7)
KNOWN = {DEVICE.device_id: KnownDevice(DEVICE.device_id, DEVICE.thumbprint, DEVICE.public)}
ENROL = DEVICE.enrol("pico-w", "1.0.0", b"c" * 16)
SIGNED = DEVICE.sign(ENROL.encode())
FRAME = DEVICE.seal(SIGNED)
ANSWER = (
    Verifier([SERVER], KNOWN.get)
    .receive(FRAME, source="here", now=0)
    .answer(Verdict(None, newest=7, stored=True))
)


def walk(fields: Iterable[Field]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from walk(field.children)


def names(explanation: Explanation) -> list[str]:
    return [field.name for field in walk(explanation.fields)]


def find(explanation: Explanation, name: str) -> Field:
    return next(field for field in walk(explanation.fields) if field.name == name)


def check_ranges(explanation: Explanation) -> None:
    """Every field lies in its bytes, after its neighbour and inside its parent."""

    def check(fields: tuple[Field, ...], start: int, end: int) -> None:
        for field in fields:
            assert start <= field.start <= field.end <= end
            check(field.children, field.start, field.end)
            start = field.end

    check(explanation.fields, 0, len(explanation.data))
    if explanation.opened:
        check_ranges(explanation.opened)


def test_a_frame_is_explained_to_the_bottom() -> None:
    explanation = explain(FRAME, [SERVER], KNOWN.get)
    assert (explanation.kind, explanation.layer, explanation.reason) == ("sealed-frame", None, "")
    assert names(explanation) == [
        "tag", "protected", "alg", "kid", "partial IV", "kid context", "unprotected", "ciphertext",
    ]  # fmt: skip
    assert find(explanation, "kid").value == f"h'{SERVER.server_id.hex()}'"
    assert find(explanation, "partial IV").meaning == "boot and frame number: 7, 0"
    assert find(explanation, "kid context").value == f"h'{DEVICE.enc.hex()}'"
    opened = explanation.opened
    assert opened is not None
    assert (opened.kind, opened.data, opened.layer) == ("signed-frame", SIGNED, None)
    assert names(opened) == [
        "tag", "protected", "alg", "kid", "unprotected", "payload", "type", "counter", "body",
        "COSE_Key", "1", "-1", "-2", "-3", "board", "firmware", "claim code", "signature",
    ]  # fmt: skip
    assert find(opened, "type").meaning == "enrol"
    assert find(opened, "counter").meaning == f"boot 7, sequence {ENROL.counter & 0xFFFFFFFF}"
    assert DEVICE.device_id.hex() in find(opened, "COSE_Key").meaning
    assert find(opened, "board").value == '"pico-w"'
    check_ranges(explanation)


def test_a_fields_bytes_are_its_own() -> None:
    opened = explain(FRAME, [SERVER], KNOWN.get).opened
    assert opened is not None
    payload, board, signature = (find(opened, name) for name in ("payload", "board", "signature"))
    assert cbor.loads(SIGNED[payload.start : payload.end]) == ENROL.encode()
    assert SIGNED[board.start : board.end] == b"\x02" + cbor.dumps("pico-w")
    assert signature.end == len(SIGNED)
    assert cbor.loads(SIGNED[signature.start : signature.end]) == SIGNED[-64:]


def test_the_top_fields_are_all_the_bytes() -> None:
    for data in (FRAME, SIGNED, ANSWER):
        fields = explain(data, [SERVER], KNOWN.get).fields
        assert fields[0].start == 0
        assert fields[-1].end == len(data)
        # One byte is the head of the array.
        assert sum(field.end - field.start for field in fields) == len(data) - 1


def test_an_answer_is_explained_by_its_header() -> None:
    explanation = explain(ANSWER, [SERVER])
    assert (explanation.kind, explanation.layer, explanation.opened) == ("answer", None, None)
    assert find(explanation, "kid").meaning.endswith("of the frame that is answered: 7, 0")
    assert explain(ANSWER + b"\0", [SERVER]).layer == "cbor"


@pytest.mark.parametrize(
    ("message", "layer"),
    [
        (Message(Type.DATA, 7 << 32, [{"n": "t", "v": 21.5}]), None),
        (Message(Type.STATUS, 7 << 32, {1: 9, 2: [5, None], 3: True}), None),
        (Message(Type.ACKNOWLEDGE, 7 << 32, {0: 7}), None),
        (Message(Type.COMMAND, 5, {0: 7, 1: {"led": True}}), None),
        (Message(Type.TIME, 7 << 32, {0: 7, 1: 1790000000}), None),
        (Message(Type.REFUSE, 7 << 32, {0: 7, 1: "old"}), None),
        (Message(Type.REFUSE, 7 << 32, {0: 7, 1: "because"}), "policy"),
        (Message(Type.DATA, 7, {}), "policy"),
        (Message(Type.DATA, 7 << 32, 5), "policy"),
        (Message(2, 7 << 32, {}), "policy"),
        (Message(20, 7 << 32, {}), "policy"),
    ],
    ids=repr,
)
def test_a_message_by_itself_is_explained(message: Message, layer: str | None) -> None:
    explanation = explain(message.encode(), [])
    assert (explanation.kind, explanation.layer) == ("message", layer)
    assert bool(explanation.reason) is (layer is not None)
    assert [field.name for field in explanation.fields] == ["type", "counter", "body"]
    check_ranges(explanation)


def test_values_are_shown_in_diagnostic_notation() -> None:
    body: dict[int | str, Any] = {
        -5: -(2**64),
        0: [1.5, 1e300, 0.1],
        "text": "\u00fc",
        "bytes": b"\1",
        "true": True,
        "no": None,
    }
    explanation = explain(Message(Type.DATA, 7 << 32, body).encode(), [])
    assert [(field.name, field.value) for field in explanation.fields[2].children] == [
        ("0", "array of 3"), ("-5", "-18446744073709551616"), ('"no"', "null"),
        ('"text"', '"\u00fc"'), ('"true"', "true"), ('"bytes"', "h'01'"),
    ]  # fmt: skip
    assert [field.value for field in explanation.fields[2].children[0].children] == [
        "1.5", "1e+300", "0.1",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "a\nb", "\u202etxt.exe"])
def test_text_cannot_steer_a_terminal(text: str) -> None:
    explanation = explain(Message(Type.DATA, 7 << 32, {"t": text}).encode(), [])
    assert find(explanation, '"t"').value.isprintable()


def test_the_verdict_is_the_verifiers() -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    elsewhere = ReferenceDevice.generate(ServerKey.generate().public)
    thief = ReferenceDevice.generate(SERVER.public)
    thief.kid = DEVICE.device_id
    data = stranger.message(Type.DATA, {})
    cases = [
        (stranger.frame(data), "policy", "unknown-device"),
        (elsewhere.frame(data), "seal", "sealed to server"),
        (thief.frame(data), "signature", "not signed by"),
        (DEVICE.frame(Message(Type.DATA, 1, {})), "policy", "malformed: counter of boot 0"),
        (DEVICE.frame(Message(9, 7 << 32, {})), "policy", "type: type 9"),
        (FRAME[:-1] + b"\0", "seal", "does not open"),
        (FRAME[:50], "cbor", "the data ends"),
        (FRAME + b"\0", "cbor", "1 bytes follow"),
        (b"", "framing", "0 bytes"),
        (bytes(5000), "framing", "5000 bytes"),
        (b"\xd1" + FRAME[1:], "cose", "tag 17"),
    ]
    for frame, layer, reason in cases:
        explanation = explain(frame, [SERVER], KNOWN.get)
        assert explanation.layer == layer
        assert reason in explanation.reason
        check_ranges(explanation)


def test_without_a_lookup_no_device_is_known_and_without_keys_nothing_opens() -> None:
    frame = DEVICE.frame(DEVICE.message(Type.DATA, {}))
    assert explain(frame, [SERVER]).reason.startswith("unknown-device")
    sealed = explain(frame, [])
    assert (sealed.layer, sealed.opened) == ("seal", None)
    assert "no server key" in sealed.reason


def test_an_unsigned_plaintext_is_shown_too() -> None:
    explanation = explain(DEVICE.seal(ENROL.encode()), [SERVER], KNOWN.get)
    assert explanation.layer == "cose"
    assert explanation.opened is not None
    assert explanation.opened.kind == "message"


def test_broken_cbor_is_explained_up_to_where_it_breaks() -> None:
    explanation = explain(bytes.fromhex("8301001800"), [])
    assert explanation.layer == "cbor"
    assert [field.name for field in explanation.fields] == ["type", "counter", "body"]
    assert "shortest" in explanation.fields[2].meaning


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_never_raises_for_any_bytes(data: bytes) -> None:
    for start in (b"", b"\xd0\x83", b"\xd2\x84", b"\x83\x01\x00"):
        check_ranges(explain(start + data, [SERVER], KNOWN.get))


@given(st.sampled_from([FRAME, SIGNED, ANSWER, ENROL.encode()]), st.data())
@settings(max_examples=300, deadline=None)
def test_never_raises_for_a_changed_byte_and_judges_as_the_verifier(
    data: bytes, draw: st.DataObject
) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    value = draw.draw(st.integers(0, 255))
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    explanation = explain(changed, [SERVER], KNOWN.get)
    check_ranges(explanation)
    sealed = explain(DEVICE.seal(changed), [SERVER], KNOWN.get)
    check_ranges(sealed)
    if explanation.kind == "sealed-frame":
        judged: tuple[str | None, str] = (None, "")
        try:
            Verifier([SERVER], KNOWN.get).receive(changed, source="here", now=0)
        except FrameError as error:
            judged = (error.layer, error.reason)
        assert (explanation.layer, explanation.reason) == judged


@pytest.mark.parametrize(
    "data",
    [b"\x81" * 4096, b"\xc1" * 4096, b"\xa1\x00" * 2048, b"\x9b" + b"\xff" * 8, b"\xd0" * 100,
     b"\xd0\x83\x41\x00", b"\xd0\x83\x40\xa0\x40", b"\xd2\x84\x41\x80\xa0\x41\x01\x40"],
    ids=lambda data: data[:4].hex(),
)  # fmt: skip
def test_hostile_shapes_are_explained(data: bytes) -> None:
    explanation = explain(data, [SERVER], KNOWN.get)
    assert explanation.layer in ("cbor", "cose")
    check_ranges(explanation)
