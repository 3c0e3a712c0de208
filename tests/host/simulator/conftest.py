"""The modem on the bench: its protocol alone, or all of it with a board and a network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
import serial

from birthkey_host.simulator import ESP_AT_3_3, Firmware, Simulator, running
from birthkey_host.simulator.actions import Action, Join, Open, Output
from birthkey_host.simulator.esp_at import Interpreter

OK = b"\r\nOK\r\n"
JOINED = b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK


class Bench:
    """An interpreter, and what it wants from the network."""

    def __init__(self, firmware: Firmware, step: int) -> None:
        self.modem = Interpreter(firmware)
        self.step = step
        self.wants: list[Action] = []

    def take(self, actions: Sequence[Action]) -> bytes:
        """What actions say to the board; the others are kept."""
        self.wants += [action for action in actions if not isinstance(action, Output)]
        return b"".join(action.data for action in actions if isinstance(action, Output))

    def say(self, data: bytes) -> bytes:
        step = self.step or len(data)
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        return b"".join(self.take(self.modem.feed(piece)) for piece in pieces)

    def wanted(self) -> list[Action]:
        wants, self.wants = self.wants, []
        return wants

    def join(self) -> None:
        self.say(b'ATE0\r\nAT+CWJAP="home","secret"\r\n')
        assert self.wanted() == [Join("home", "secret")]
        assert self.take(self.modem.joined()) == JOINED

    def connect(self, number: int = 0, kind: str = "TCP", multiple: bool = True) -> None:
        self.say(b"AT+CIPMUX=%d\r\n" % multiple)
        link = b"%d," % number if multiple else b""
        assert self.say(b'AT+CIPSTART=%b"%b","host",80\r\n' % (link, kind.encode())) == b""
        assert self.wanted() == [Open(number, kind, "host", 80)]
        answer = self.take(self.modem.opened(number, "10.0.0.1", 40000))
        assert answer == link + b"CONNECT\r\n" + OK


MakeBench = Callable[..., Bench]


@pytest.fixture(params=[0, 1], ids=["whole", "bytes"])
def make(request: pytest.FixtureRequest) -> MakeBench:
    return lambda firmware=ESP_AT_3_3: Bench(firmware, request.param)


@pytest.fixture
def bench(make: MakeBench) -> Bench:
    return make()


@pytest.fixture
def online(bench: Bench) -> Bench:
    bench.join()
    return bench


class Board:
    """The board's end of a modem's UART."""

    def __init__(self, port: str) -> None:
        self.serial = serial.Serial(port, 115200, timeout=5)

    def expect(self, end: bytes) -> bytes:
        """All that arrives, up to and with these bytes."""
        data = self.serial.read_until(end)
        assert data.endswith(end), data
        return data

    def say(self, data: bytes, end: bytes = OK) -> bytes:
        self.serial.write(data)
        return self.expect(end)

    def join(self) -> None:
        self.say(b'ATE0\r\nAT+CWJAP="home","secret"\r\n', b"WIFI GOT IP\r\n" + OK)
        self.say(b"AT+CIPMUX=1\r\n")

    def open(self, port: int, kind: bytes = b"TCP", number: int = 0) -> None:
        start = b'AT+CIPSTART=%d,"%b","127.0.0.1",%d\r\n' % (number, kind, port)
        assert self.say(start) == b"%d,CONNECT\r\n" % number + OK

    def send(self, data: bytes, number: int = 0) -> None:
        self.say(b"AT+CIPSEND=%d,%d\r\n" % (number, len(data)), b">")
        self.say(data, b"Recv %d bytes\r\n\r\nSEND OK\r\n" % len(data))

    def available(self) -> int:
        """Bytes that the modem holds of connection 0."""
        self.serial.write(b"AT+CIPRECVLEN?\r\n")
        self.expect(b"+CIPRECVLEN:")
        return int(self.expect(OK).partition(b",")[0])

    def read(self, limit: int) -> bytes:
        """One CIPRECVDATA of connection 0, which has to hold something."""
        self.serial.write(b"AT+CIPRECVDATA=0,%d\r\n" % limit)
        self.expect(b"+CIPRECVDATA:")
        data = self.serial.read(int(self.expect(b",")[:-1]))
        self.expect(OK)
        return data


PlugIn = Callable[[Simulator], Board]


@pytest.fixture
def plug_in() -> Iterator[PlugIn]:
    """A modem that runs until the test ends, and a board on it."""
    with ExitStack() as stack:

        def start(simulator: Simulator) -> Board:
            board = Board(stack.enter_context(running(simulator)).port)
            stack.callback(board.serial.close)
            return board

        yield start


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def peer(listener: socket.socket) -> Iterator[Callable[[], socket.socket]]:
    """Accepts one connection each time that it is called."""
    with ExitStack() as stack:

        def accept() -> socket.socket:
            connection = stack.enter_context(listener.accept()[0])
            connection.settimeout(5)
            return connection

        yield accept


@pytest.fixture
def connected(plug_in: PlugIn, listener: socket.socket) -> tuple[Simulator, Board]:
    """A modem and a board with a connection to the listener."""
    modem = Simulator()
    board = plug_in(modem)
    board.join()
    board.open(int(listener.getsockname()[1]))
    return modem, board
