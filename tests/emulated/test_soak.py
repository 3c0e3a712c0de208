"""A board that delivers for a long time has as much memory at the end as at the start.

BIRTHKEY_SOAK=N makes it N times as long.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

import pytest

from attacks.wire import HOST, Loop
from birthkey_host.cose import thumbprint
from birthkey_host.keys import ServerKey
from birthkey_host.message import Type
from birthkey_host.serial_link import SerialLink
from birthkey_host.server.tcp import TcpServer
from birthkey_host.simulator import Simulator, running
from birthkey_host.verifier import KnownDevice, Verdict, Verifier
from device import Interpreter
from ptys import loopback_uart

TIMES = int(os.environ.get("BIRTHKEY_SOAK", "1"))
ROUNDS = 10
HEAP = "256k"  # of the Unix port, where the code has to be in it too
SLACK = 256  # bytes: what is found on the stack may keep a few objects alive, at times even more

pytestmark = pytest.mark.timeout(300 * TIMES)


class Server:
    """Opens, verifies and acknowledges as the real one; keeps only the counters."""

    def __init__(self) -> None:
        self.key = ServerKey.generate()
        self.counters: list[int] = []
        self._known: dict[bytes, KnownDevice] = {}
        self._verifier = Verifier([self.key], self._known.get)

    def handle(self, frame: bytes, source: str) -> bytes:
        outcome = self._verifier.receive(frame, source=source, now=time.time())
        if outcome.public_key:
            device = outcome.device_id, thumbprint(outcome.public_key), outcome.public_key
            self._known[outcome.device_id] = KnownDevice(*device)
        if outcome.message.type == Type.DATA:
            self.counters.append(outcome.message.counter)
        return outcome.answer(Verdict(None, newest=outcome.boot, stored=True))


@contextmanager
def over_modem(server: Server) -> Iterator[tuple[str, int]]:
    """The UART of a board, and the port of the server in the network behind its modem."""
    with Loop() as loop, running(Simulator(ssid="net", password="secret")) as modem:
        tcp = TcpServer(server.handle)
        [(_, port)] = loop.run(tcp.start(HOST, 0))
        yield modem.port, port
        loop.run(tcp.stop())


@contextmanager
def over_wire(server: Server) -> Iterator[str]:
    """The UART of a board, which the server is at the other end of."""

    def handle(frame: bytes, source: str) -> list[bytes]:
        return [server.handle(frame, source)]

    with loopback_uart() as (ours, theirs), SerialLink(ours, handle) as link:
        thread = threading.Thread(target=link.run)
        thread.start()
        try:
            yield theirs
        finally:
            link.stop()
            thread.join()


def soak(device: Interpreter, server: Server, count: int, *network: object) -> None:
    board = device.call("emulated.on_board:Soak", server.key.public.hex(), *network)
    board.deliver(1)
    heaps = []
    for _ in range(ROUNDS * TIMES):
        board.deliver(count // ROUNDS)
        heaps.append(board.heap())
    assert len(set(server.counters)) == len(server.counters) == 1 + count * TIMES
    used, largest = zip(*heaps, strict=True)
    assert median(used[len(used) // 2 :]) <= used[0] + SLACK, used
    # Where the garbage lies at a moment is chance, but memory that breaks into pieces stays broken.
    # Not from the first on: something that is made once may have come to lie in the middle.
    half = len(largest) // 2
    assert max(largest[half:]) >= median(largest[1:half]) * 3 // 4, largest


@pytest.mark.parametrize(("network", "count"), [("wire", 2_000), ("modem", 1_000)])
def test_heap_is_flat_on_unix(network: str, count: int) -> None:
    """Over the UART alone, and over a modem, which is slower; with as little heap as a board."""
    server = Server()
    if network == "modem":
        with over_modem(server) as (uart, port), closing(Interpreter("UNIX", uart, HEAP)) as device:
            soak(device, server, count, (HOST, port))
    else:
        with over_wire(server) as uart, closing(Interpreter("UNIX", uart, HEAP)) as device:
            soak(device, server, count)


@pytest.mark.parametrize("board", ["UNIX_ARM", "QEMU_MPS2_AN385", "RPI_PICO"])
def test_heap_is_flat_on_a_board(board: str) -> None:
    server = Server()
    with over_modem(server) as (uart, port), closing(Interpreter(board, uart, HEAP)) as device:
        soak(device, server, 100, (HOST, port))
