"""Frames sealed or signed by the wrong one, or for the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from birthkey_host import cose
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import FrameError, Verifier
from verifying import BACKUP, ELSEWHERE, SERVER, Registry, Resigned, data, receive, refused


def test_sealed_for_another_server_is_silence(server: Verifier, registry: Registry) -> None:
    board = ReferenceDevice.generate(ELSEWHERE.public)
    registry.add(board)
    with pytest.raises(FrameError, match=ELSEWHERE.server_id.hex()) as caught:
        receive(server, board.frame(data(board)))
    assert caught.value.layer == "seal"


def test_sealed_to_one_key_under_the_name_of_another_is_silence(
    server: Verifier, board: ReferenceDevice
) -> None:
    board.server_id = BACKUP.server_id
    assert refused(server, board.frame(data(board))) == "seal"


def test_boot_0_is_silence(server: Verifier, board: ReferenceDevice) -> None:
    board.boot = 0
    with pytest.raises(FrameError, match="boot number 0") as caught:
        receive(server, board.seal(board.sign(Message(1, 1 << 32, {}).encode())))
    assert caught.value.layer == "seal"


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (lambda enc: enc[:-1] + bytes([enc[-1] ^ 1]), "seal"),
        (lambda enc: b"\4" + bytes(64), "seal"),
        (lambda enc: bytes(65), "seal"),
        (lambda enc: b"\4" + b"\xff" * 64, "seal"),
        (lambda enc: bytes([6 + (enc[64] & 1)]) + enc[1:], "seal"),
        (lambda enc: bytes([2 + (enc[64] & 1)]) + enc[1:], "seal"),
        (lambda enc: bytes([2 + (enc[64] & 1)]) + enc[1:33], "cose"),
        (lambda enc: b"\0", "cose"),
    ],
    ids=["off the curve", "zero", "infinity of 65 bytes", "ones", "hybrid", "prefix of compressed",
         "compressed", "infinity"],
)  # fmt: skip
def test_an_enc_that_is_no_point_is_silence(
    server: Verifier, board: ReferenceDevice, change: Callable[[bytes], bytes], layer: str
) -> None:
    board.enc = change(board.enc)
    assert refused(server, board.frame(data(board))) == layer


def test_the_enc_of_another_boot_is_silence(server: Verifier, board: ReferenceDevice) -> None:
    old = board.enc
    board.start(8)
    board.enc = old
    assert refused(server, board.frame(data(board))) == "seal"


def high_s(signature: bytes) -> bytes:
    return signature[:32] + (cose.N - int.from_bytes(signature[32:])).to_bytes(32)


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (high_s, "cose"),
        (lambda s: bytes(32) + s[32:], "cose"),
        (lambda s: s[:32] + bytes(32), "cose"),
        (lambda s: cose.N.to_bytes(32) + s[32:], "cose"),
        (lambda s: s[:32] + cose.N.to_bytes(32), "cose"),
        (lambda s: bytes(64), "cose"),
        (lambda s: s[:63], "cose"),
        (lambda s: s + b"\0", "cose"),
        (lambda s: (b"\0" * 31 + b"\1") * 2, "signature"),
        (lambda s: s[:31] + bytes([s[31] ^ 1]) + s[32:], "signature"),
    ],
    ids=["high s", "r of 0", "s of 0", "r of n", "s of n", "zero", "short", "long", "ones", "flip"],
)
def test_another_signature_is_silence(
    server: Verifier, registry: Registry, change: Callable[[bytes], bytes], layer: str
) -> None:
    board = Resigned(b"\x11" * 32, SERVER.public)
    registry.add(board)
    receive(server, board.frame(data(board)))
    board.change = change
    assert refused(server, board.frame(data(board))) == layer


def test_signed_by_one_under_the_kid_of_another_is_silence(
    server: Verifier, board: ReferenceDevice, neighbour: ReferenceDevice
) -> None:
    neighbour.kid = board.device_id
    assert refused(server, neighbour.frame(data(neighbour))) == "signature"


@pytest.mark.parametrize("known", [False, True])
def test_an_enrol_with_anothers_key_is_silence(
    server: Verifier, registry: Registry, board: ReferenceDevice, known: bool
) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    if known:
        registry.add(stranger)
    own = stranger.kid
    theirs = board.enrol("pico-w", "1.0.0").body
    for kid in (own, board.device_id):
        stranger.kid = kid
        frame = stranger.frame(stranger.message(Type.ENROL, theirs))
        assert refused(server, frame) == "signature"
    stranger.kid = board.device_id
    assert refused(server, stranger.frame(stranger.enrol("pico-w", "1.0.0"))) == "signature"


@pytest.mark.parametrize("body", [{}, [], None, {1: b""}, {2: "pico-w", 3: "1.0.0"}], ids=repr)
def test_an_enrol_without_a_key_is_silence(
    server: Verifier, board: ReferenceDevice, body: Any
) -> None:
    assert refused(server, board.frame(board.message(Type.ENROL, body))) == "signature"


def test_an_enrol_with_a_key_off_the_curve_is_silence(server: Verifier) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    for public in (bytes(64), stranger.public[:-1] + bytes([stranger.public[-1] ^ 1])):
        stranger.public = public
        stranger.kid = cose.thumbprint(public)[:16]
        assert refused(server, stranger.frame(stranger.enrol("pico-w", "1.0.0"))) == "signature"


def test_a_key_whose_thumbprint_only_begins_like_the_registered_is_silence(
    server: Verifier, registry: Registry, board: ReferenceDevice
) -> None:
    registry[board.device_id] = replace(
        registry[board.device_id], thumbprint=board.device_id + bytes(16)
    )
    for message in (data(board), board.enrol("pico-w", "1.0.0")):
        assert refused(server, board.frame(message)) == "signature"


def test_a_key_that_is_not_the_kids_is_silence(
    server: Verifier, registry: Registry, board: ReferenceDevice, neighbour: ReferenceDevice
) -> None:
    registry[board.device_id] = registry[neighbour.device_id]
    assert refused(server, board.frame(data(board))) == "signature"
    neighbour.kid = board.device_id
    assert refused(server, neighbour.frame(data(neighbour))) == "signature"


@pytest.mark.parametrize("moved", ["server", "boot", "seal"])
def test_a_signed_frame_is_worth_nothing_elsewhere(
    server: Verifier, board: ReferenceDevice, neighbour: ReferenceDevice, moved: str
) -> None:
    signed = board.sign(Message(Type.DATA, 7 << 32, {"t": 21.5}).encode())
    thief = {
        "server": ReferenceDevice.generate(BACKUP.public, boot=7),
        "boot": board,
        "seal": neighbour,
    }[moved]
    if moved == "boot":
        board.boot = 8
    assert refused(server, thief.seal(signed)) == "signature"
