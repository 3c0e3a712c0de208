"""CBOR that is not what the protocol allows, at every level, with all else as it should be.

A board's owner can sign and seal whatever he likes. The vectors hold every case there is; these
are one of each kind, over the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from attacks.stage import Board, Stage
from birthkey_host import cbor, cose
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice

attack = pytest.mark.attack

ARRAY, MAP = 0x80, 0xA0
Variants = Iterator[tuple[str, bytes]]
COUNTER = 1 << 32 | 5


def container(kind: int, *items: bytes) -> bytes:
    count = len(items) >> (kind == MAP)
    return bytes([kind | count]) + b"".join(items)


def containers(kind: int, *items: bytes) -> Variants:
    """All that can be wrong with an array or a map as such."""
    good, body = container(kind, *items), b"".join(items)
    count = good[0] & 0x1F
    yield "the length in 2 bytes", bytes([kind | 24, count]) + body
    yield "the length in 5 bytes", bytes([kind | 26, 0, 0, 0, count]) + body
    yield "an indefinite length", bytes([kind | 31]) + body + b"\xff"
    yield "a reserved length", bytes([kind | 28]) + body
    yield "one item too few", bytes([kind | count - 1]) + body
    yield "one item too many", bytes([kind | count + 1]) + body
    yield "a giant length", bytes([kind | 27]) + b"\xff" * 8 + body
    yield "a trailing byte", good + b"\0"
    yield "the last byte cut off", good[:-1]
    yield "a tag in front", b"\xd9\xd9\xf7" + good


def cose_structures(tag: int, *parts: bytes) -> Variants:
    """What can be wrong with [protected, {}, ...] after its tag."""
    items = [cbor.dumps(parts[0]), b"\xa0", *map(cbor.dumps, parts[1:])]
    for name, variant in containers(ARRAY, *items):
        yield name, bytes([0xC0 | tag]) + variant
    yield "the tag in 2 bytes", bytes([0xD8, tag]) + container(ARRAY, *items)
    yield "the tag twice", bytes([0xC0 | tag]) * 2 + container(ARRAY, *items)
    string = parts[0]
    for name, other in (
        ("a byte string of indefinite length", b"\x5f" + items[0] + b"\xff"),
        ("a byte string's length in 5 bytes", b"\x5a" + len(string).to_bytes(4, "big") + string),
        ("a byte string of giant length", b"\x5b" + b"\xff" * 8 + string),
    ):
        yield name, bytes([0xC0 | tag]) + container(ARRAY, other, *items[1:])
    for name, other in (
        ("an unprotected map of indefinite length", b"\xbf\xff"),
        ("an unprotected map with a long length", b"\xb8\x00"),
    ):
        yield name, bytes([0xC0 | tag]) + container(ARRAY, items[0], other, *items[2:])


def headers(header: bytes) -> Variants:
    """What can be wrong with a protected header, which is a map with labels 1 and 4."""
    value = cbor.loads(header)
    assert isinstance(value, dict)
    pairs = [cbor.dumps(key) + cbor.dumps(value[key]) for key in value]
    items = [part for key in value for part in (cbor.dumps(key), cbor.dumps(value[key]))]
    yield from containers(MAP, *items)
    yield "labels out of order", bytes([MAP | len(pairs)]) + b"".join(reversed(pairs))
    yield "a label twice", bytes([MAP | len(pairs) + 1]) + pairs[0] + b"".join(pairs)
    yield "a label in 2 bytes", bytes([MAP | len(pairs), 0x18]) + b"".join(pairs)


def bodies() -> Variants:
    """What can be wrong inside a message."""
    for name, item in (
        ("an integer in 2 bytes", "1805"),
        ("an integer in 9 bytes", "1b00000000ffffffff"),
        ("a negative integer in 2 bytes", "3805"),
        ("a bignum", "c249010000000000000000"),
        ("a float of 32 bits that fits 16", "fa3fc00000"),
        ("a float of 64 bits that fits 32", "fb3ff0000020000000"),
        ("another NaN", "f97e01"),
        ("a NaN of 64 bits", "fb7ff8000000000000"),
        ("undefined", "f7"),
        ("a simple value", "f820"),
        ("a break by itself", "ff"),
        ("text that is not UTF-8", "61ff"),
        ("text with an overlong form", "62c0af"),
        ("text with a surrogate", "63eda080"),
        ("text of indefinite length", "7f6161ff"),
        ("keys out of order", "a202000100"),
        ("keys in length-first order", "a220001818 00"),
        ("a key twice", "a201000100"),
        ("a key that is a byte string", "a1410000"),
        ("a key that is a float", "a1f93c0000"),
        ("a key that is true", "a1f500"),
        ("a date", "c11a514b67b0"),
        ("text of giant length", "7bffffffffffffffff"),
        ("a map of giant length", "bbffffffffffffffff"),
        ("an array of more items than bytes", "9a00ffffff"),
        ("levels beyond the eighth", "81" * 7 + "80"),
        ("levels as deep as a frame is long", "81" * 3600 + "80"),
    ):
        yield name, b"\xa1\x61t" + bytes.fromhex(item)


class Forge:
    """Frames of one sender that are right but for what is put in."""

    def __init__(self, sender: ReferenceDevice) -> None:
        self.sender = sender
        self.good = container(ARRAY, b"\x01", cbor.dumps(COUNTER), b"\xa1\x61t\x05")

    def sealed(self) -> cose.SealedFrame:
        return cose.SealedFrame.decode(self.sender.seal(self.sender.sign(self.good)))

    def signed(self) -> cose.SignedFrame:
        return cose.SignedFrame.decode(self.sender.sign(self.good))

    def frames(self) -> Variants:
        sealed = self.sealed()
        yield from cose_structures(16, sealed.protected, sealed.ciphertext)

    def frame_headers(self) -> Variants:
        sealed = self.sealed()
        for name, header in headers(sealed.protected):
            yield name, b"\xd0" + cbor.dumps([header, {}, sealed.ciphertext])

    def signed_frames(self) -> Variants:
        signed = self.signed()
        for name, data in cose_structures(18, signed.protected, signed.payload, signed.signature):
            yield name, self.sender.seal(data)

    def signed_headers(self) -> Variants:
        signed = self.signed()
        for name, header in headers(signed.protected):
            data = b"\xd2" + cbor.dumps([header, {}, signed.payload, signed.signature])
            yield name, self.sender.seal(data)

    def messages(self) -> Variants:
        items = (b"\x01", cbor.dumps(COUNTER), b"\xa1\x61t\x05")
        for name, message in containers(ARRAY, *items):
            yield name, self.sender.seal(self.sender.sign(message))
        for name, body in bodies():
            message = container(ARRAY, *items[:2], body)
            yield name, self.sender.seal(self.sender.sign(message))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(
            made,
            marks=attack(f"CBOR that is not deterministic, in {where}", layer="cbor"),
            id=where,
        )
        for where, made in (
            ("the frame", Forge.frames),
            ("the frame's header", Forge.frame_headers),
            ("the signed-frame", Forge.signed_frames),
            ("the signed-frame's header", Forge.signed_headers),
            ("the message", Forge.messages),
        )
    ],
)
def test_not_deterministic(
    stage: Stage, board: Board, made: Callable[[Forge], Variants], layer: str
) -> None:
    forge = Forge(stage.owner())
    began = time.perf_counter()
    cases = list(made(forge))
    for name, frame in cases:
        assert stage.send(frame) == [], name
        assert stage.layers() == [layer], name
    assert len(cases) >= 12
    assert time.perf_counter() - began < 20  # no length and no depth is worked off
    assert stage.readings(forge.sender.device_id) == []
    # The same without a fault.
    [answer] = stage.send(forge.sender.seal(forge.sender.sign(forge.good)))
    assert forge.sender.open(answer).type == Type.ACKNOWLEDGE
    assert stage.readings(forge.sender.device_id) == [{"t": 5}]
    board.works()


@attack("24.0, true or text in place of a number in a header", layer="cose")
@pytest.mark.parametrize("algorithm", [24.0, "24", True, None, -7, 3])
def test_almost_the_algorithm(stage: Stage, board: Board, algorithm: object, layer: str) -> None:
    sealed = Forge(stage.owner()).sealed()
    header = cbor.loads(sealed.protected)
    assert isinstance(header, dict)
    changed = cbor.dumps({**header, 1: algorithm})
    assert stage.send(b"\xd0" + cbor.dumps([changed, {}, sealed.ciphertext])) == []
    assert stage.layers() == [layer]
    board.works()


@attack("another label in a header, or in the unprotected one", layer="cose")
def test_more_labels(stage: Stage, board: Board, layer: str) -> None:
    sealed = Forge(stage.owner()).sealed()
    header = cbor.loads(sealed.protected)
    assert isinstance(header, dict)
    for protected, unprotected in (
        ({**header, 2: [1]}, {}),
        ({**header, "x": 1}, {}),
        ({k: header[k] for k in (1, 4, 6)}, {10: header[10]}),
        (header, {4: bytes(16)}),
    ):
        parts = [cbor.dumps(protected), unprotected, sealed.ciphertext]
        assert stage.send(b"\xd0" + cbor.dumps(parts)) == []
        assert stage.layers() == [layer]
    board.works()


@attack("a message of more than 3800 bytes", layer="cbor")
def test_long_message(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    longest = cbor.dumps([1, COUNTER, {"b": bytes(3783)}])
    longer = cbor.dumps([1, COUNTER, {"b": bytes(3784)}])
    assert (len(longest), len(longer)) == (3800, 3801)
    assert len(stage.send(owner.seal(owner.sign(longest)))) == 1
    assert stage.send(owner.seal(owner.sign(longer))) == []
    assert stage.layers() == [layer]
    board.works()


@attack("a signed-frame that is none, in a good seal", layer="cbor, cose")
@pytest.mark.parametrize("plaintext", [b"\0", b"\xa0", b"\xd2", b"\xd2\x84", b"\xff" * 100])
def test_no_signed_frame(stage: Stage, board: Board, plaintext: bytes, layers: set[str]) -> None:
    assert stage.send(stage.owner().seal(plaintext)) == []
    assert set(stage.layers()) < layers
    board.works()


@attack("a sealed-frame inside a sealed-frame", layer="cose")
def test_sealed_twice(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    inner = owner.frame(owner.message(Type.DATA, {}))
    assert stage.send(owner.seal(inner)) == []
    assert stage.layers() == [layer]
    board.works()
