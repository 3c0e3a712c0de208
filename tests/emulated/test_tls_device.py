"""A Device through TLS: what is delivered, what the modem sees of it, and when other tasks run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import nginx
import tls_bench
from attacks.stage import Server
from attacks.wire import Loop
from birthkey_host.cose import thumbprint
from birthkey_host.message import Message, Type
from birthkey_host.simulator import Direction
from certificates import authority, issue
from device import Handle
from tls_bench import ALWAYS, BOARDS, HOST, NO_CA, Bench, names, streams
from tls_servers import Serve, answer_then_close, context, front, plain_echo, talk
from tls_wire import Call

FIELD = "a_telling_name"
WAIT_MS = 60_000
ONCE_MS = 200  # for one attempt: the next one comes a second later
COMPUTES_MS = {"UNIX": 1500, "QEMU_MPS2_AN385": 2500, "RPI_PICO": 5000}
CANCELLED_MS = {
    "UNIX": (200, 800, 1300, 4000),
    "QEMU_MPS2_AN385": (200, 1500, 4000),
    "RPI_PICO": (1500, 6000),
}


class Site:
    """A bench whose board is a Device, and a server without TLS that knows it."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self.bench, self.server = bench, server
        self.readings: list[dict[str, int]] = []
        self._values = itertools.count(1000)
        self._before: int | None = None  # readings of this board, of tests before this one

    def start(self, *, port: int | None = None, **options: Any) -> None:
        """Construct the Device: the next boot of the same board."""
        self.stop()
        self._board = self.bench.interpreter.call(
            "emulated.tls_client:Board",
            [HOST, port or self.bench.peer.port],
            self.server.key.public.hex(),
            [self.bench.ca.certificate_pem.decode()],
            options,
        )
        if self._before is None:
            self._before = len(self._stored())

    def stop(self) -> None:
        """Drop the Device: a board has memory for one."""
        self._board: Handle | None = None

    @property
    def board(self) -> Handle:
        assert self._board is not None
        return self._board

    def through(self, settings: Any = None, **options: Any) -> Serve:
        """TLS in front of the server."""
        return front(settings or self.bench.good, self.server.port, **options)

    def reading(self) -> dict[str, int]:
        """One that has not been sent."""
        self.readings.append({FIELD: next(self._values)})
        return self.readings[-1]

    def delivered(self) -> list[Any]:
        """The bodies of what the server has stored in this test, in their order."""
        return self._stored()[self._before :]

    def _stored(self) -> list[Any]:
        rows = self.server.registry.messages(self.board.device_id())
        messages = [Message.decode(row.message) for row in rows]
        return [message.body for message in messages if message.type == Type.DATA]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It lets every board in."""
    with Loop() as loop:
        made = Server(loop, tmp_path_factory.mktemp("server") / "registry.sqlite3")
        yield made
        made.stop()


@pytest.fixture(params=BOARDS)
def site(request: pytest.FixtureRequest, server: Server) -> Iterator[Site]:
    # A heap in which other tests have left their traces is no application's.
    bench = tls_bench.lend(request, user="device")
    bench.wire.chunks.clear()
    bench.peer.forget()
    made = Site(bench, server)
    yield made
    made.stop()


def test_faults_keep_the_queue(site: Site) -> None:
    """The modem restarts, the connection is cut, another certificate is shown for a while."""
    bench = site.bench
    bench.peer.serve = site.through()
    site.start()
    assert site.board.send(site.reading(), WAIT_MS), site.board.state()

    bench.modem.on_uplink = Call("Application", action=bench.modem.reset)
    assert not site.board.send(site.reading(), ONCE_MS)
    assert site.board.state() == [1, "The modem restarted by itself: check its power supply."]
    bench.modem.on_uplink = None
    assert site.board.deliver(WAIT_MS), site.board.state()

    stranger = context(issue(authority("CA two", begins=ALWAYS), HOST, begins=ALWAYS), bench.folder)
    bench.peer.serve = site.through(stranger)
    bench.peer.cut()
    assert not site.board.send(site.reading(), 2000)
    queued, problem = site.board.state()
    assert queued == 1
    assert problem.startswith(f"TLS with {HOST}: the server's certificate is refused: {NO_CA}")
    bench.peer.serve = site.through()
    assert site.board.deliver(WAIT_MS), site.board.state()
    assert site.delivered() == site.readings
    only_tls(site)


def only_tls(site: Site) -> None:
    """The UART has carried TLS, and nothing of what went through it."""
    bench, server = site.bench, site.server
    server_id = thumbprint(server.key.public)[:16]
    assert server_id in bench.peer.received, "what is looked for is in every boot's first frame"
    inside = [FIELD.encode(), site.board.device_id(), server_id, server.key.public]
    for direction in Direction:
        said = bench.wire.bytes_of(direction)
        assert [part for part in inside if part in said] == []
    sent = [names(stream) for stream in streams(bench.wire)]
    assert sum("Application" in records for records in sent) == 3
    for records in sent:
        assert records[:1] in ([], ["ClientHello"])


def fails_once(site: Site) -> tuple[int, str]:
    """One attempt, over as many calls as it takes; what the board says then."""
    assert not site.board.send({FIELD: 1}, ONCE_MS)
    while "connecting takes longer" in site.board.state()[1]:
        assert not site.board.deliver(ONCE_MS)
    queued, problem = site.board.state()
    return queued, problem


def test_nothing_is_sent_without_tls(site: Site) -> None:
    """Whatever a server without it says: the board sends ClientHello, and an alert at most."""
    bench = site.bench
    answer = b"\x00\x10" + bytes(16)
    serves = [
        plain_echo,
        talk(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        talk(answer),
        answer_then_close(answer),
        answer_then_close(b"\x15\x03\x03\x00\x02\x02\x28"),
        answer_then_close(b""),
    ]
    for serve in serves:
        bench.peer.serve = serve
        site.start()
        queued, problem = fails_once(site)
        assert queued == 1
        assert problem.startswith(f"TLS with {HOST}: ")
    site.start(port=site.server.port)
    fails_once(site)
    sent = [names(stream) for stream in streams(bench.wire)]
    assert len(sent) == len(serves) + 1
    for records in sent:
        assert records in (["ClientHello"], ["ClientHello", "Alert"])
    said = bench.wire.bytes_of(Direction.FROM_BOARD)
    assert thumbprint(site.server.key.public)[:16] not in said


def test_nginx_in_front(site: Site) -> None:
    """It ends TLS, and takes no board but this one, whose certificate it has."""
    bench = site.bench
    path = bench.certificate.save(bench.folder / "nginx.pem")
    known = bench.folder / "site.board.pem"
    site.start()
    known.write_bytes(site.board.certificate_pem())
    demands = ("ssl_verify_client on;", f'ssl_client_certificate "{known}";')
    with nginx.front(f"{HOST}:{site.server.port}", path, None, *demands) as front:
        site.start(port=front.port)
        fails_once(site)
        site.start(port=front.port, client_certificate=True)
        assert site.board.send(site.reading(), WAIT_MS), site.board.state()
    assert site.delivered() == site.readings


def test_other_tasks_run(site: Site) -> None:
    """They stop only while the board computes, not for the three seconds of a slow network.

    Whoever cancels the one that delivers leaves modem and readings as they should be.
    """
    bench, answers = site.bench, threading.Event()
    bench.peer.serve = site.through()
    site.start()
    if not bench.is_slow:
        assert site.board.send(site.reading(), WAIT_MS), site.board.state()
    bench.peer.serve = site.through(delay=0.5, answers=answers)
    bench.peer.cut()
    assert not site.board.send(site.reading(), 0)
    # In the handshake, before and after the board has computed, and when it waits for the answer.
    fared = []
    for cancel_ms in CANCELLED_MS[bench.name]:
        result, *others = site.board.deliver_beside(WAIT_MS, cancel_ms)
        assert result == "cancelled"
        fared += others
    answers.set()
    delivered, last = site.board.deliver_beside(WAIT_MS)
    assert delivered is True, site.board.state()
    turns, blocked_ms = zip(*fared, last, strict=True)
    assert sum(turns) > 1000
    assert max(blocked_ms) < COMPUTES_MS[bench.name]
    assert site.delivered() == site.readings
