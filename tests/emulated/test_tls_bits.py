"""One bit is changed between a board and its server, anywhere in TLS: one of them notices.

A row is a place in the records (`tls_wire`), a byte of it and a bit of that byte, and what the
board says. All of it is tried on UNIX and MPS2, which have the same mbed TLS as the Pico; that one
tries a few of each kind.
"""

from __future__ import annotations

from typing import Any

import pytest

import tls_bench
from device import Handle
from tls_bench import (
    ALERT,
    BOARDS,
    CHANGED,
    CLOSED,
    NO_CA,
    NO_RECORD,
    NONSENSE,
    OTHER_VERSION,
    REFUSED,
    TLS,
    Bench,
)
from tls_servers import echo
from tls_wire import Flip

Row = tuple[str, int, int, str | bytes]

UNKNOWN = f"{REFUSED}{NO_CA}."
WRONG = (
    TLS + "the server's certificate, or a key or a signature of the handshake, is wrong: it is not"
    " on P-256, or was changed on its way."
)
FORBIDDEN = TLS + "a parameter of the handshake is forbidden."
OUT_OF_TURN = TLS + "a message came out of turn."

# Nobody signs the version of a record that is not encrypted, and none changes what is spoken
# (RFC 5246 appendix E.1): a lower one is taken, and does no harm.
NO_HARM = b"hello"
SEALED = [
    ("record type", 0, 0, CHANGED),
    ("record type", 0, 1, CHANGED),
    ("record type", 0, 3, NO_RECORD),
    ("record version", 0, 2, NO_RECORD),
    ("record version", -1, 0, CHANGED),
    ("record length", 0, 7, NONSENSE),
    ("nonce", -1, 0, CHANGED),
    ("ciphertext", 0, 0, CHANGED),
    ("tag", -1, 0, CHANGED),
    ("tag", 0, 7, CHANGED),
]
FROM_SERVER: list[Row] = [
    ("ServerHello.record type", 0, 0, OUT_OF_TURN),
    ("ServerHello.record type", 0, 1, NO_RECORD),
    ("ServerHello.record type", 0, 3, NO_RECORD),
    ("ServerHello.record version", 0, 2, NO_RECORD),
    ("ServerHello.record version", -1, 0, NO_HARM),
    ("ServerHello.record length", 0, 7, NONSENSE),
    ("ServerHello.record length", -1, 0, NO_RECORD),
    ("ServerHello.message type", 0, 0, NONSENSE),
    ("ServerHello.message length", -1, 0, NONSENSE),
    ("ServerHello.version", -1, 0, OTHER_VERSION),
    ("ServerHello.version", 0, 2, OTHER_VERSION),
    ("ServerHello.random", 0, 0, WRONG),
    ("ServerHello.random", -1, 7, WRONG),
    ("ServerHello.session id length", 0, 0, NONSENSE),
    ("ServerHello.session id", 0, 0, ALERT),
    ("ServerHello.cipher suite", 0, 2, NONSENSE),
    ("ServerHello.cipher suite", -1, 0, NONSENSE),
    ("ServerHello.compression", 0, 0, OTHER_VERSION),
    ("ServerHello.extensions length", -1, 0, NONSENSE),
    ("ServerHello.extensions", 0, 0, ALERT),
    ("ServerHello.extensions", -1, 0, ALERT),
    ("Certificate.record type", 0, 0, OUT_OF_TURN),
    ("Certificate.record type", 0, 1, NO_RECORD),
    ("Certificate.record version", 0, 2, NO_RECORD),
    ("Certificate.record length", 0, 7, NONSENSE),
    ("Certificate.message type", 0, 0, OUT_OF_TURN),
    ("Certificate.message length", -1, 0, NONSENSE),
    ("Certificate.list length", -1, 0, NONSENSE),
    ("Certificate.certificate length", 1, 7, NONSENSE),
    ("Certificate.certificate", 0, 0, WRONG),
    ("Certificate.name", -1, 0, UNKNOWN),
    ("Certificate.key", 0, 0, WRONG),
    ("Certificate.key", -1, 0, WRONG),
    ("Certificate.signature", -1, 0, UNKNOWN),
    ("ServerKeyExchange.message type", 0, 0, OUT_OF_TURN),
    ("ServerKeyExchange.curve type", 0, 0, FORBIDDEN),
    ("ServerKeyExchange.curve", -1, 0, FORBIDDEN),
    ("ServerKeyExchange.point length", 0, 0, FORBIDDEN),
    ("ServerKeyExchange.point", 0, 0, FORBIDDEN),
    ("ServerKeyExchange.point", -1, 0, WRONG),
    ("ServerKeyExchange.algorithm", 0, 0, WRONG),
    ("ServerKeyExchange.algorithm", 1, 0, FORBIDDEN),
    ("ServerKeyExchange.signature length", -1, 0, NONSENSE),
    ("ServerKeyExchange.signature", -1, 0, WRONG),
    ("ServerHelloDone.record type", 0, 0, OUT_OF_TURN),
    ("ServerHelloDone.record type", 0, 1, NO_RECORD),
    ("ServerHelloDone.message type", 0, 0, NONSENSE),
    ("ChangeCipherSpec.record type", 0, 0, NO_RECORD),
    ("ChangeCipherSpec.record type", 0, 1, NO_RECORD),
    ("ChangeCipherSpec.record version", -1, 0, NO_HARM),
    ("ChangeCipherSpec.record length", -1, 0, NO_RECORD),
    ("ChangeCipherSpec.body", 0, 0, NO_RECORD),
    *[(f"Finished.{field}", *rest) for field, *rest in SEALED],
    *[(f"Application.{field}", *rest) for field, *rest in SEALED],
    ("Application.record length", -1, 0, CHANGED),
]
FROM_BOARD: list[Row] = [
    ("ClientHello.record type", 0, 0, ALERT),
    ("ClientHello.record type", 0, 1, ALERT),
    ("ClientHello.record version", 0, 2, CLOSED),
    ("ClientHello.record length", 0, 7, ALERT),
    ("ClientHello.message type", 0, 0, ALERT),
    ("ClientHello.message length", -1, 0, ALERT),
    ("ClientHello.version", -1, 0, ALERT),
    ("ClientHello.version", 0, 2, ALERT),
    ("ClientHello.random", 0, 0, WRONG),
    ("ClientHello.session id length", 0, 0, ALERT),
    ("ClientHello.cipher suites length", -1, 0, ALERT),
    ("ClientHello.cipher suites", 1, 0, ALERT),
    ("ClientHello.cipher suites", -1, 0, ALERT),
    ("ClientHello.compression length", 0, 0, ALERT),
    ("ClientHello.compression", 0, 0, ALERT),
    ("ClientHello.extensions length", -1, 0, ALERT),
    ("ClientHello.extensions", 0, 0, ALERT),
    ("ClientHello.extensions", -1, 0, ALERT),
    ("ClientKeyExchange.record type", 0, 0, ALERT),
    ("ClientKeyExchange.message type", 0, 0, ALERT),
    ("ClientKeyExchange.message length", -1, 0, ALERT),
    ("ClientKeyExchange.point length", 0, 0, ALERT),
    ("ClientKeyExchange.point", 0, 0, ALERT),
    ("ClientKeyExchange.point", -1, 0, ALERT),
    ("ChangeCipherSpec.record type", 0, 0, ALERT),
    ("ChangeCipherSpec.record type", 0, 1, ALERT),
    ("ChangeCipherSpec.record version", -1, 0, ALERT),
    ("ChangeCipherSpec.record length", -1, 0, ALERT),
    ("ChangeCipherSpec.body", 0, 0, ALERT),
    *[(f"Finished.{field}", *place, ALERT) for field, *place, _ in SEALED],
    *[(f"Application.{field}", *place, ALERT) for field, *place, _ in SEALED],
    ("Application.record length", -1, 0, ALERT),
]
ON_PICO = {
    ("Certificate.signature", -1, 0),
    ("ServerKeyExchange.signature", -1, 0),
    ("ClientKeyExchange.point", -1, 0),
    ("Application.ciphertext", 0, 0),
}
# More is said to come than does: both wait, the board as long as it may.
WAITING = [
    ("on_downlink", "ServerHelloDone.record length", -1, 0),
    ("on_downlink", "Finished.record length", -1, 0),
    ("on_uplink", "ClientHello.record length", -1, 0),
    ("on_uplink", "Finished.record length", -1, 0),
]


@pytest.fixture(params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Bench:
    return tls_bench.lend(request)


def talk(client: Handle) -> bytes:
    client.send(b"hello")
    return bytes(client.receive(5, 2000))


def outcome(bench: Bench, way: str, place: str, byte: int, bit: int) -> Any:
    """What the board says; it and the server have got nothing that was not sent so."""
    flip = Flip(place, byte=byte, bit=bit)
    setattr(bench.modem, way, flip)
    try:
        found = bench.attempt(echo(bench.good), talk)
    finally:
        setattr(bench.modem, way, None)
    assert flip.done
    answered = way == "on_downlink" and place.startswith("Application")
    assert bench.peer.received == (b"hello" if answered or found == NO_HARM else b"")
    if found == ALERT:
        assert bench.peer.ended() != "closed by the board"
    return found


@pytest.mark.parametrize("way", ["on_downlink", "on_uplink"])
def test_a_bit_is_changed(bench: Bench, way: str) -> None:
    rows = FROM_SERVER if way == "on_downlink" else FROM_BOARD
    expected = {row[:3]: row[3] for row in rows if not bench.is_slow or row[:3] in ON_PICO}
    bench.trust()
    assert {place: outcome(bench, way, *place) for place in expected} == expected
    bench.works()


@pytest.mark.parametrize("bench", ["UNIX"], indirect=True)
def test_a_length_is_changed(bench: Bench) -> None:
    """The board waits for what does not come, and no longer than it may."""
    bench.trust(handshake_ms=1000)
    late = TLS + "the server did not finish within 1 s: does it speak TLS on this port?"
    assert {row: outcome(bench, *row) for row in WAITING} == dict.fromkeys(WAITING, late)
