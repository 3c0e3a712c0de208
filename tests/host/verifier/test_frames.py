"""Good frames, and frames changed on the way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from birthkey_host import cose
from birthkey_host.message import Message, Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import FrameError, Verifier
from verifying import BACKUP, SERVER, Registry, data, receive, refused


def test_data_is_received_whole(server: Verifier, board: ReferenceDevice) -> None:
    board.frame_number = 3
    message = data(board)
    signed = board.sign(message.encode())
    outcome = receive(server, board.seal(signed))
    assert outcome.device_id == board.device_id
    assert outcome.public_key == board.public
    assert outcome.message == message
    assert outcome.message_bytes == message.encode()
    assert outcome.signed_frame == signed
    assert (outcome.server_id, outcome.enc) == (SERVER.server_id, board.enc)
    assert (outcome.boot, outcome.frame_number) == (7, 3)
    assert (outcome.source, outcome.now) == ("here", 1790000000.9)
    assert (outcome.enrol, outcome.status) == (None, None)
    assert (outcome.refusal, outcome.layer, outcome.detail) == (None, None, "")


def test_a_status_is_received(server: Verifier, board: ReferenceDevice) -> None:
    outcome = receive(server, board.frame(board.message(Type.STATUS, {1: 9, 2: [5, "done"]})))
    assert outcome.refusal is None
    assert outcome.status is not None
    assert (outcome.status.newest, outcome.status.command_result) == (9, (5, "done"))


@pytest.mark.parametrize("known", [False, True])
def test_an_enrol_is_received_from_a_stranger_and_again(
    server: Verifier, registry: Registry, known: bool
) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    if known:
        registry.add(stranger)
    outcome = receive(server, stranger.frame(stranger.enrol("pico-w", "1.0.0", b"c" * 16)))
    assert outcome.refusal is None
    assert outcome.public_key == stranger.public
    assert outcome.enrol is not None
    assert (outcome.enrol.public_key, outcome.enrol.claim) == (stranger.public, b"c" * 16)


def test_either_server_key_is_used(server: Verifier, registry: Registry) -> None:
    board = ReferenceDevice.generate(BACKUP.public)
    registry.add(board)
    assert receive(server, board.frame(data(board))).server_id == BACKUP.server_id


def test_a_message_may_be_older_than_its_frame(server: Verifier, board: ReferenceDevice) -> None:
    message = data(board)
    board.start(8)
    outcome = receive(server, board.frame(message))
    assert (outcome.boot, outcome.message.boot, outcome.refusal) == (8, 7, None)


def test_the_last_boot_and_the_largest_message_are_received(
    server: Verifier, board: ReferenceDevice
) -> None:
    board.start(2**32 - 1)
    board.frame_number = 2**32 - 1
    overhead = len(Message(Type.DATA, board.boot << 32, {"b": bytes(300)}).encode()) - 300
    frame = board.frame(board.message(Type.DATA, {"b": bytes(3800 - overhead)}))
    outcome = receive(server, frame)
    assert (outcome.frame_number, len(outcome.message_bytes)) == (2**32 - 1, 3800)


def test_an_outcome_shows_no_key(server: Verifier, board: ReferenceDevice) -> None:
    outcome = receive(server, board.frame(data(board)))
    assert "ontext" not in repr(outcome)
    with pytest.raises(FrozenInstanceError):
        outcome.boot = 8  # type: ignore[misc]


def test_any_bit_changed_anywhere_is_silence(server: Verifier, board: ReferenceDevice) -> None:
    frame = board.frame(data(board))
    layers = set()
    for position in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[position] ^= 1 << bit
            layers.add(refused(server, bytes(changed)))
    assert layers == {"cbor", "cose", "seal"}
    receive(server, frame)


def test_any_byte_changed_with_a_cached_context_is_silence(
    server: Verifier, board: ReferenceDevice
) -> None:
    receive(server, board.frame(data(board)))
    frame = board.frame(data(board))
    start = frame.index(cose.SealedFrame.decode(frame).ciphertext)
    for position in range(len(frame)):
        changed = frame[:position] + bytes([frame[position] ^ 0xFF]) + frame[position + 1 :]
        layer = refused(server, changed)
        assert position < start or layer == "seal"
    receive(server, frame)


def test_any_byte_changed_under_a_good_seal_is_not_believed(
    server: Verifier, board: ReferenceDevice
) -> None:
    signed = board.sign(data(board).encode())
    layers = set()
    for position in range(len(signed)):
        changed = signed[:position] + bytes([signed[position] ^ 1]) + signed[position + 1 :]
        try:
            outcome = receive(server, board.seal(changed))
        except FrameError as error:
            layers.add(error.layer)
        else:  # a kid that nobody has
            assert outcome.refusal is Reason.UNKNOWN_DEVICE
            assert 8 <= position < 24
    assert layers == {"cbor", "cose", "signature"}


def test_cut_short_anywhere_is_silence(server: Verifier, board: ReferenceDevice) -> None:
    frame = board.frame(data(board))
    layers = [refused(server, frame[:length]) for length in range(len(frame))]
    assert layers[0] == "framing"
    assert set(layers[1:]) == {"cbor"}


def test_a_trailing_byte_is_silence_at_every_level(
    server: Verifier, board: ReferenceDevice
) -> None:
    message = data(board)
    assert refused(server, board.frame(message) + b"\0") == "cbor"
    assert refused(server, board.seal(board.sign(message.encode()) + b"\0")) == "cbor"
    assert refused(server, board.seal(board.sign(message.encode() + b"\0"))) == "cbor"


@pytest.mark.parametrize(
    ("noise", "layer"),
    [
        (b"", "framing"),
        (bytes(4097), "framing"),
        (bytes(1), "cose"),
        (b"\xd0", "cbor"),
        (b"\xff" * 4096, "cbor"),
        (b"GET / HTTP/1.1\r\n", "cbor"),
    ],
    ids=["nothing", "too long", "0", "tag", "breaks", "HTTP"],
)
def test_noise_is_silence(server: Verifier, noise: bytes, layer: str) -> None:
    assert refused(server, noise) == layer
