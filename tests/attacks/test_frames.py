"""Frames that are changed, cut, moved to another seal, or not frames at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from attacks.stage import Board, Stage
from attacks.wire import framed, send_stream
from birthkey_host import cose
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice

attack = pytest.mark.attack


def reading(sender: ReferenceDevice) -> Message:
    return sender.message(Type.DATA, {"t": 99.9})


@attack("a byte changed, at every position of a frame", layer="cbor, cose, seal")
def test_changed_byte(stage: Stage, board: Board, layers: set[str]) -> None:
    frame = board.withhold()
    changed = [
        frame[:at] + bytes([frame[at] ^ flip]) + frame[at + 1 :]
        for at in range(len(frame))
        for flip in (0x01, 0xFF)
    ]
    assert stage.send(*changed) == []
    refused = stage.layers()
    assert len(refused) == len(changed)
    assert set(refused) == layers
    board.works()


@attack("a byte changed in a frame, on the board's own connection", layer="cbor, cose, seal")
def test_changed_byte_on_the_line(stage: Stage, board: Board, layers: set[str]) -> None:
    changes = iter((0, 1, 100, -1))

    def change(frame: bytes) -> list[bytes]:
        frames = [frame]
        for at in changes:
            changed = bytearray(frame)
            changed[at] ^= 1
            frames.insert(0, bytes(changed))
        return frames

    board.line.up = change
    board.works()
    assert set(stage.layers()) == layers


@attack("a frame cut short, at every length", layer="cbor")
def test_cut_frame(stage: Stage, board: Board, layer: str) -> None:
    frame = board.withhold()
    assert stage.send(*(frame[:length] for length in range(1, len(frame)))) == []
    assert stage.layers() == [layer] * (len(frame) - 1)
    board.works()


@attack("bytes added to a frame, up to the largest", layer="cbor")
def test_longer_frame(stage: Stage, board: Board, layer: str) -> None:
    frame = board.withhold()
    longer = [frame + bytes(4096 - len(frame)), frame + b"\0", frame + frame]
    assert stage.send(*longer) == []
    assert stage.layers() == [layer] * 3
    board.works()


@attack("a connection cut within a frame, at every length", layer="-", result="nothing is handled")
def test_cut_connection(stage: Stage, board: Board) -> None:
    stream = framed(board.withhold())
    for length in range(len(stream)):
        assert send_stream(stage.server.port, stream[:length]) == b""
    assert stage.layers() == []
    board.works()


@attack("a length prefix that no frame has", layer="framing")
@pytest.mark.parametrize("length", [0, 4097, 65535])
def test_length_of_no_frame(stage: Stage, board: Board, length: int, layer: str) -> None:
    frame = board.withhold()
    stream = length.to_bytes(2, "big") + frame + framed(frame)
    assert send_stream(stage.server.port, stream) == b""
    assert stage.layers() == [layer]
    board.works()


@attack("a length prefix that is one too short or too long", layer="cbor")
@pytest.mark.parametrize("error", [-1, 1])
def test_length_off_by_one(stage: Stage, board: Board, error: int, layer: str) -> None:
    frame = board.withhold()
    stream = (len(frame) + error).to_bytes(2, "big") + frame + framed(frame)
    assert send_stream(stage.server.port, stream) == b""
    first, *rest = stage.layers()
    assert first == layer
    assert set(rest) <= {"framing"}  # what follows is out of step
    board.works()


@attack("what another protocol says: HTTP, TLS, SSH", layer="framing")
@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\xa0", b"SSH-2.0-x\r\n"]
)
def test_other_protocols(stage: Stage, board: Board, noise: bytes, layer: str) -> None:
    assert send_stream(stage.server.port, noise) == b""
    assert stage.layers() == [layer]
    board.works()


@attack("a signed frame without a seal", layer="cose")
def test_no_seal(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    assert stage.send(owner.sign(reading(owner).encode())) == []
    assert stage.layers() == [layer]
    assert stage.readings(owner.device_id) == []
    board.works()


@attack("a frame signed by board B under board A's id", layer="signature")
@pytest.mark.parametrize("registered", [True, False])
def test_signed_by_another(stage: Stage, board: Board, registered: bool, layer: str) -> None:
    forger = stage.owner() if registered else stage.stranger()
    forger.kid = board.device_id
    forger.start(board.device.boot)
    assert stage.send(forger.frame(reading(forger))) == []
    assert stage.layers() == [layer]
    board.works()


@attack("a frame sealed for another server", layer="seal")
@pytest.mark.parametrize("named", ["the other", "this one"])
def test_sealed_for_another_server(stage: Stage, board: Board, named: str, layer: str) -> None:
    lost = ReferenceDevice.generate(ServerKey.generate().public)
    if named == "this one":
        lost.server_id = stage.server.key.server_id
    assert stage.send(lost.frame(reading(lost))) == []
    assert stage.layers() == [layer]
    board.works()


Move = Callable[[Stage, Board, bytes], bytes]


def under_a_new_seal(stage: Stage, board: Board, signed: bytes) -> bytes:
    return stage.stranger(boot=board.device.boot).seal(signed)


def under_the_seal_of_another_board(stage: Stage, board: Board, signed: bytes) -> bytes:
    return stage.owner().seal(signed)


def in_the_next_boot(stage: Stage, board: Board, signed: bytes) -> bytes:
    return stage.stranger(boot=board.device.boot + 1).seal(signed)


@attack("an insider opens a frame and seals what is in it anew", layer="signature")
@pytest.mark.parametrize(
    "move", [under_a_new_seal, under_the_seal_of_another_board, in_the_next_boot]
)
@pytest.mark.parametrize("known", [False, True], ids=["unseen", "stored"])
def test_sealed_anew(stage: Stage, board: Board, move: Move, known: bool, layer: str) -> None:
    frame = board.line.frames[-1] if known else board.withhold()
    signed = stage.server.open(frame)
    assert stage.send(move(stage, board, signed)) == []
    assert stage.layers() == [layer]
    board.works()


@attack("another server passes on what a board signed for it", layer="signature")
def test_passed_on_by_another_server(stage: Stage, board: Board, layer: str) -> None:
    other = ServerKey.generate()
    thief = board.thief(boot=1)
    here = ReferenceDevice(thief.private, other.public, boot=board.device.boot)
    signed = here.sign(Message(Type.DATA, 1 << 32 | 77, {"t": 99.9}).encode())
    there = stage.stranger(boot=board.device.boot)
    assert stage.send(there.seal(signed)) == []
    assert stage.layers() == [layer]
    board.works()


@attack("the header of one frame with the ciphertext of another", layer="seal")
@pytest.mark.parametrize("part", ["enc", "boot", "frame_number", "ciphertext"])
def test_mixed_parts(stage: Stage, board: Board, part: str, layer: str) -> None:
    neighbour = stage.board("neighbour")
    neighbour.device = neighbour.start()
    neighbour.deliver()
    here = cose.SealedFrame.decode(board.withhold())
    there = cose.SealedFrame.decode(neighbour.line.frames[-1])
    assert getattr(here, part) != getattr(there, part)
    mixed = replace(here, **{part: getattr(there, part)})
    assert stage.send(mixed.encode()) == []
    assert stage.layers() == [layer]
    board.works()
    neighbour.works()


@attack("a server's answer sent up as a frame", layer="cose")
def test_answer_sent_up(stage: Stage, board: Board, layer: str) -> None:
    answers = board.line.answers
    assert len(answers) == 2
    assert stage.send(*answers) == []
    assert stage.layers() == [layer] * 2
    board.works()
