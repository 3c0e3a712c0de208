"""Servers that a board refuses, or that refuse it: what it says, and what it has sent by then."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

import tls_bench
from attacks.wire import Loop
from birthkey_host.server.tcp import TcpServer
from certificates import authority, issue, rsa2048
from device import DeviceError
from tls_bench import (
    ALERT,
    ALWAYS,
    BOARDS,
    CLOSED,
    HOST,
    LOST,
    NO_CA,
    NO_RECORD,
    NONSENSE,
    REFUSED,
    TLS,
    Bench,
    names,
    streams,
)
from tls_servers import (
    Serve,
    answer_then_close,
    context,
    cut_off,
    echo,
    plain_echo,
    renegotiate,
    repeat,
    say,
    silent,
    talk,
)

OTHER_NAME = f"it is for another name than {HOST}"
LATE = TLS + "the server did not finish within 1 s: does it speak TLS on this port?"
USER_CANCELED = b"\x15\x03\x03\x00\x02\x01\x5a"  # an alert that is a warning


@pytest.fixture(params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Bench:
    return tls_bench.lend(request)


def check(bench: Bench, cases: dict[str, tuple[Serve, Any]], few: set[str]) -> None:
    """A board that means to receive after the handshake says this. Slow ones try a few."""
    if bench.is_slow:
        cases = {name: cases[name] for name in few}
    found = {}
    for name, (serve, _) in cases.items():
        found[name] = bench.attempt(serve, lambda client: client.receive(8))
        [stream] = streams(bench.wire)
        assert "Application" not in names(stream)
    assert found == {name: expected for name, (_, expected) in cases.items()}


def test_certificates(bench: Bench) -> None:
    """None gets more than an alert, which says why."""

    def shows(issuer: Any, *names: str, **options: Any) -> Serve:
        made = issue(issuer, *(names or [HOST]), **{"begins": ALWAYS, **options})
        return echo(context(made, bench.folder))

    past = datetime(1950, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)
    future = datetime(2100, 1, 1, tzinfo=UTC)
    itself = authority(HOST, begins=ALWAYS)
    cases = {
        "of another CA": (shows(authority("CA two", begins=ALWAYS)), f"{REFUSED}{NO_CA}."),
        "of one with its name": (shows(authority("CA one", begins=ALWAYS)), f"{REFUSED}{NO_CA}."),
        "self-signed": (shows(itself, key=itself.key), f"{REFUSED}{NO_CA}."),
        "for another name": (shows(bench.ca, "example.org"), f"{REFUSED}{OTHER_NAME}."),
        "for a name, not an address": (shows(bench.ca, "localhost"), f"{REFUSED}{OTHER_NAME}."),
        "expired": (
            shows(bench.ca, begins=past[0], ends=past[1]),
            f"{REFUSED}it has expired, by this board's clock.",
        ),
        "not valid yet": (
            shows(bench.ca, begins=future),
            f"{REFUSED}it is not valid yet, by this board's clock.",
        ),
    }
    bench.trust()
    check(bench, cases, {"for another name", "expired", "not valid yet"})
    # The server is told.
    assert bench.attempt(cases["of another CA"][0]) == cases["of another CA"][1]
    assert bench.peer.ended() == "TLSV1_ALERT_UNKNOWN_CA"
    # A CA below the one that is trusted will do, when the server sends it too.
    below = authority("CA three", issuer=bench.ca, begins=ALWAYS)
    assert bench.attempt(shows(below)) == "connected"


def test_servers(bench: Bench) -> None:
    old = context(
        bench.certificate,
        bench.folder,
        version=ssl.TLSVersion.TLSv1_1,
        ciphers="ALL:@SECLEVEL=0",
    )
    new = context(bench.certificate, bench.folder, version=ssl.TLSVersion.TLSv1_3)
    rsa = issue(bench.ca, HOST, key=rsa2048(), begins=ALWAYS)
    good = bench.good
    cases = {
        "TLS 1.1": (echo(old), ALERT),
        "TLS 1.3": (echo(new), ALERT),
        "RSA": (echo(context(rsa, bench.folder, ciphers="ALL")), ALERT),
        "gives back what comes": (plain_echo, NONSENSE),
        "HTTP": (talk(b"HTTP/1.1 400 Bad Request\r\n\r\n"), NO_RECORD),
        "SSH": (talk(b"SSH-2.0-OpenSSH_9.2\r\n"), NO_RECORD),
        "closes": (answer_then_close(b""), CLOSED),
        "closes after an alert": (
            answer_then_close(b"\x15\x03\x03\x00\x02\x02\x28"),
            ALERT,
        ),
        "closes in a header": (answer_then_close(b"\x16\x03\x03"), CLOSED),
        "closes in ServerHello": (cut_off(good, "ServerHello.random"), CLOSED),
        "closes after ServerHello": (cut_off(good, "Certificate.record type"), CLOSED),
        "closes in the certificate": (cut_off(good, "Certificate.key"), CLOSED),
        "closes in Finished": (cut_off(good, "Finished.tag"), CLOSED),
        "closes after Finished": (say(good), LOST),
        "closes as it should": (say(good, notify=True), LOST),
        "closes in a record": (cut_off(good, "Application.tag", data=b"too late"), LOST),
        "renegotiates": (renegotiate(bench.certificate), ALERT),
    }
    bench.trust()
    check(bench, cases, {"TLS 1.3", "HTTP", "closes after ServerHello", "closes in a record"})


@pytest.mark.parametrize("bench", BOARDS[:2], indirect=True)
def test_what_comes_before_the_end_is_read(bench: Bench) -> None:
    bench.trust()
    for notify in (False, True):
        serve = say(bench.good, b"one", b"two", notify=notify)
        assert bench.attempt(serve, lambda client: client.receive(6)) == b"onetwo"
    bench.works()


def test_birthkey_server_without_tls(bench: Bench) -> None:
    """To it a ClientHello is a frame whose length cannot be."""
    with Loop() as loop:
        server = TcpServer(lambda frame, source: b"answer")
        [(_, port)] = loop.run(server.start(HOST, 0))
        bench.trust()
        bench.wire.chunks.clear()
        with pytest.raises(DeviceError) as caught:
            bench.client.connect(HOST, port)
        loop.run(server.stop())
    assert f"{caught.value.name}: {caught.value.text}" == CLOSED
    assert [names(stream) for stream in streams(bench.wire)] == [["ClientHello"]]


def test_servers_that_let_the_board_wait(bench: Bench) -> None:
    """For a second, which is what it is given here."""
    cases = {
        "silent": (silent, LATE),
        "says little": (talk(b"220 "), LATE),
        "stops in the certificate": (cut_off(bench.good, "Certificate.key", close=False), LATE),
        "warns for ever": (repeat(USER_CANCELED), LATE),
    }
    bench.trust(handshake_ms=1000)
    check(bench, cases, {"warns for ever"})
    bench.works()
