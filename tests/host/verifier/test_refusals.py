"""What is refused with a reason that the board is told."""

from __future__ import annotations

import pytest

from birthkey_host import cbor
from birthkey_host.message import Message, Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import Verdict, Verifier
from verifying import SERVER, STORED, Registry, Resigned, data, receive, refused


def test_an_unknown_device_is_told_so_without_a_look_at_its_signature(server: Verifier) -> None:
    stranger = Resigned(b"\x22" * 32, SERVER.public)
    stranger.change = lambda signature: b"\1" * 64
    outcome = receive(server, stranger.frame(data(stranger)))
    assert (outcome.refusal, outcome.layer) == (Reason.UNKNOWN_DEVICE, "policy")
    assert outcome.public_key is None
    assert stranger.device_id.hex() in outcome.detail
    verdict = Verdict(Reason.UNKNOWN_DEVICE, newest=0, stored=False)
    answer = stranger.open(outcome.answer(verdict))
    assert answer == Message(Type.REFUSE, outcome.message.counter, {0: 0, 1: "unknown-device"})


@pytest.mark.parametrize(
    "payload", [b"\x01", b"\x82\x01\x00", b"\x83\x20\x00\xa0", b"\x83\x01\x20\xa0"]
)
@pytest.mark.parametrize("known", [False, True])
def test_what_has_no_counter_cannot_be_answered(
    server: Verifier, registry: Registry, payload: bytes, known: bool
) -> None:
    board = ReferenceDevice.generate(SERVER.public)
    if known:
        registry.add(board)
    assert refused(server, board.seal(board.sign(payload))) == "policy"


def test_a_message_that_is_too_long_is_silence(server: Verifier, board: ReferenceDevice) -> None:
    payload = cbor.dumps([1, 7 << 32, {"b": bytes(3790)}])
    assert refused(server, board.seal(board.sign(payload))) == "cbor"


@pytest.mark.parametrize("kind", [2, 4, 16, 17, 18, 19, 20, 2**64 - 1])
def test_an_unknown_type_is_refused_with_a_reason(
    server: Verifier, board: ReferenceDevice, kind: int
) -> None:
    outcome = receive(server, board.frame(board.message(kind, {0: 7})))
    assert (outcome.refusal, outcome.layer) == (Reason.TYPE, "policy")
    answer = board.open(outcome.answer(STORED))
    assert answer == Message(Type.REFUSE, outcome.message.counter, {0: 7, 1: "type"})


@pytest.mark.parametrize(
    "message",
    [
        Message(Type.DATA, 0, {}),
        Message(Type.DATA, 2**32 - 1, {}),
        Message(Type.DATA, 8 << 32, {}),
        Message(Type.DATA, 2**64 - 1, {}),
        Message(Type.DATA, 7 << 32, 5),
        Message(Type.DATA, 7 << 32, []),
        Message(Type.STATUS, 7 << 32, {4: 0}),
    ],
    ids=repr,
)
def test_a_malformed_message_is_refused_with_a_reason(
    server: Verifier, board: ReferenceDevice, message: Message
) -> None:
    outcome = receive(server, board.frame(message))
    assert (outcome.refusal, outcome.layer) == (Reason.MALFORMED, "policy")
    assert (outcome.enrol, outcome.status) == (None, None)
    assert outcome.detail
    assert board.open(outcome.answer(STORED)).body == {0: 7, 1: "malformed"}


def test_a_malformed_enrol_with_a_key_is_refused_with_a_reason(server: Verifier) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    outcome = receive(server, stranger.frame(stranger.enrol("p\u00efco", "1.0.0")))
    assert (outcome.refusal, outcome.enrol) == (Reason.MALFORMED, None)
    assert "field 2" in outcome.detail
    assert outcome.public_key == stranger.public
