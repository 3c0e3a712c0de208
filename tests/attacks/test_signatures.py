"""Signatures that verify twice or not at all, and points that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attacks.stage import Board, Stage
from birthkey_host import cose
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice

attack = pytest.mark.attack

B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class Signer(ReferenceDevice):
    """A board whose signatures are changed before they are sent."""

    change: Callable[[bytes], bytes]

    def signature(self, data: bytes) -> bytes:
        return self.change(super().signature(data))


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def twin(signature: bytes) -> bytes:
    """The other signature of the same message, which verifies too."""
    return signature[:32] + number(cose.N - int.from_bytes(signature[32:], "big"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            twin, marks=attack("the twin of a signature, n - s in place of s", layer="cose")
        ),
        *(
            pytest.param(change, marks=attack("r or s that is 0, n or above", layer="cose"))
            for change in (
                lambda s: bytes(32) + s[32:],
                lambda s: s[:32] + bytes(32),
                lambda s: bytes(64),
                lambda s: number(cose.N) + s[32:],
                lambda s: s[:32] + number(cose.N),
                lambda s: b"\xff" * 64,
            )
        ),
        *(
            pytest.param(
                change, marks=attack("a signature that anyone can make", layer="signature")
            )
            for change in (
                lambda s: number(1) + number(1),
                lambda s: s[:32] + number(1),
                lambda s: s[:63] + bytes([s[63] ^ 1]),
            )
        ),
    ],
)
def test_changed_signature(
    stage: Stage, board: Board, change: Callable[[bytes], bytes], layer: str
) -> None:
    private = stage.stranger().private
    signer = Signer(private, stage.server.key.public)
    signer.change = lambda signature: signature
    [answer] = stage.send(signer.frame(signer.enrol("owned", "1.0")))
    assert signer.open(answer).type == Type.ACKNOWLEDGE
    signer.change = change
    assert stage.send(signer.frame(signer.message(Type.DATA, {"t": 99.9}))) == []
    assert stage.layers() == [layer]
    assert stage.readings(signer.device_id) == []
    board.works()


@attack("the twin of a signature that is stored already", layer="cose")
def test_twin_of_a_stored_signature(stage: Stage, board: Board, layer: str) -> None:
    # The owner of a board re-seals his own signed-frame with a second signature.
    owner = stage.owner()
    signed = owner.sign(owner.message(Type.DATA, {"n": 1}).encode())
    assert len(stage.send(owner.seal(signed))) == 1
    assert stage.send(owner.seal(signed[:-64] + twin(signed[-64:]))) == []
    assert stage.layers() == [layer]
    assert stage.readings(owner.device_id) == [{"n": 1}]
    board.works()


def on_the_twist() -> bytes:
    """x, and the y of the curve's quadratic twist -y^2 = x^3 - 3x + b over the same field."""
    x = 1
    while pow(right := x**3 - 3 * x + B, (cose.P - 1) // 2, cose.P) == 1:
        x += 1
    y = pow(-right, (cose.P + 1) // 4, cose.P)
    assert (y * y + right) % cose.P == 0
    return number(x) + number(y)


def of_small_order() -> bytes:
    """A point of order 2, on a curve that differs in b alone."""
    return number(7) + number(0)


def flipped(public: bytes) -> bytes:
    return public[:-1] + bytes([public[-1] ^ 1])


NO_POINTS = {
    "off the curve": flipped,
    "on the twist": lambda public: on_the_twist(),
    "of order 2 elsewhere": lambda public: of_small_order(),
    "zero": lambda public: bytes(64),
    "x above p": lambda public: number(cose.P + 5) + public[32:],
    "ones": lambda public: b"\xff" * 64,
}

ENCODINGS = {
    "infinity in 65 bytes": lambda enc: bytes(65),
    "hybrid": lambda enc: bytes([6 + (enc[64] & 1)]) + enc[1:],
    "compressed, filled up": lambda enc: bytes([2 + (enc[64] & 1)]) + enc[1:33] + bytes(32),
}

SIZES = {
    "compressed": lambda enc: bytes([2 + (enc[64] & 1)]) + enc[1:33],
    "infinity": lambda enc: b"\0",
    "nothing": lambda enc: b"",
    "too long": lambda enc: enc + b"\0",
}

Change = Callable[[bytes], Any]


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(
                lambda enc, change=change: b"\4" + change(enc[1:]),
                marks=attack("an enc off the curve, on its twist, of small order", layer="seal"),
                id=name,
            )
            for name, change in NO_POINTS.items()
        ),
        *(
            pytest.param(
                change,
                marks=attack("an enc in another form, or at infinity, of 65 bytes", layer="seal"),
                id=name,
            )
            for name, change in ENCODINGS.items()
        ),
        *(
            pytest.param(
                change,
                marks=attack("an enc that is compressed, or at infinity, shorter", layer="cose"),
                id=name,
            )
            for name, change in SIZES.items()
        ),
    ],
)
def test_bad_enc(stage: Stage, board: Board, change: Change, layer: str) -> None:
    owner = stage.owner()
    owner.enc = change(owner.enc)
    assert stage.send(owner.frame(owner.message(Type.DATA, {"t": 99.9}))) == []
    [refusal] = stage.log.take()
    assert refusal.layer == layer
    assert layer == "cose" or "not a point" in refusal.reason
    board.works()


@attack("enrolling a key off the curve, on its twist, of small order", layer="signature")
@pytest.mark.parametrize("kind", NO_POINTS)
def test_enrol_of_no_point(stage: Stage, board: Board, kind: str, layer: str) -> None:
    stranger = stage.stranger()
    stranger.public = NO_POINTS[kind](stranger.public)
    stranger.kid = cose.thumbprint(stranger.public)[:16]
    assert stage.send(stranger.frame(stranger.enrol("x", "1.0"))) == []
    assert stage.layers() == [layer]
    assert len(stage.server.registry.devices()) == 1
    board.works()


KEYS: dict[str, Change] = {
    "compressed": lambda key: {**key, -3: True},
    "compressed in x": lambda key: {**key, -2: b"\2" + key[-2]},
    "short x": lambda key: {**key, -2: key[-2][1:]},
    "no y": lambda key: {label: key[label] for label in (1, -1, -2)},
    "infinity": lambda key: {**key, -2: b"", -3: b""},
    "another curve": lambda key: {**key, -1: 2},
    "another type": lambda key: {**key, 1: 1},
    "with a private part": lambda key: {**key, -4: bytes(32)},
    "with an algorithm": lambda key: {**key, 3: -7},
    "no map": lambda key: key[-2] + key[-3],
}


@attack("enrolling a COSE_Key that is compressed, at infinity, of another kind", layer="signature")
@pytest.mark.parametrize("kind", KEYS)
def test_enrol_of_another_cose_key(stage: Stage, board: Board, kind: str, layer: str) -> None:
    stranger = stage.stranger()
    key = KEYS[kind](cose.to_cose_key(stranger.public))
    assert stage.send(stranger.frame(stranger.message(Type.ENROL, {1: key, 2: "x", 3: "1"}))) == []
    assert stage.layers() == [layer]
    assert len(stage.server.registry.devices()) == 1
    board.works()
