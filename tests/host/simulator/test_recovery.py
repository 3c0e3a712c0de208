"""The board's own driver on the modem's pty: it comes back from what it was not told of."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import serial

from birthkey import ModemError, modem
from birthkey._port import run
from birthkey_host.simulator import (
    ESP_AT_2,
    ESP_AT_3_3,
    NONOS_1_7,
    Direction,
    Firmware,
    Recorder,
    Simulator,
    running,
)
from sockets import port_of
from stepped_modem import refusals

OK = b"\r\nOK\r\n"


class Uart:
    """A serial port as machine.UART is."""

    def __init__(self, port: str) -> None:
        self._port = serial.Serial(port, 115200, timeout=0)

    def readinto(self, buffer: Any) -> int | None:
        return self._port.readinto(buffer) or None

    def write(self, data: Any) -> int:
        return self._port.write(bytes(data)) or 0

    def close(self) -> None:
        self._port.close()


class Bench:
    """A modem, a board's driver, and what went between them."""

    def __init__(self, simulator: Simulator, recorder: Recorder, uart: Uart, port: int) -> None:
        self.modem, self._recorder, self._port = simulator, recorder, port
        self.driver = modem.open(uart, "esp_at", ssid="net", password="secret")

    def connect(self) -> Any:
        return run(self.driver.connect("127.0.0.1", self._port))

    def connect_in(self, attempts: int) -> Any:
        """A stream, after so many attempts that failed."""
        for _ in range(attempts):
            with pytest.raises(ModemError):
                self.connect()
        return self.connect()

    @contextmanager
    def losing(self) -> Iterator[None]:
        """The UART's buffer is full: what the modem says now is lost."""
        self.modem.on_to_board = lambda data: b""
        yield
        time.sleep(0.2)
        self.modem.on_to_board = None

    def commands(self) -> list[bytes]:
        return self._recorder.bytes_of(Direction.FROM_BOARD).split(b"\r\n")

    def refusals(self) -> list[bytes]:
        """Commands that were refused, and tried again with no other between."""
        return refusals((way is Direction.FROM_BOARD, data) for way, data in self._recorder.chunks)


@pytest.fixture(params=[ESP_AT_3_3, ESP_AT_2, NONOS_1_7], ids=["3.3", "2", "1.7"])
def bench(request: pytest.FixtureRequest, listener: socket.socket) -> Iterator[Bench]:
    recorder = Recorder()
    firmware: Firmware = request.param
    with running(Simulator(ssid="net", firmware=firmware, record=recorder)) as simulator:
        uart = Uart(simulator.port)
        try:
            yield Bench(simulator, recorder, uart, port_of(listener))
        finally:
            uart.close()


def test_a_restart_that_was_not_heard(bench: Bench) -> None:
    stream = bench.connect()
    with bench.losing():
        bench.modem.reset()
    run(stream.close())
    assert bench.connect_in(1).connected
    assert bench.refusals() == []


def test_a_network_that_was_lost_unheard(bench: Bench) -> None:
    stream = bench.connect()
    with bench.losing():
        bench.modem.lose_network()
    run(stream.close())
    with pytest.raises(ModemError, match="no ip"):
        bench.connect()
    assert bench.connect().connected
    assert bench.refusals() == []


def test_a_server_that_is_down_for_long(bench: Bench) -> None:
    bench.modem.refuse_network = True
    for _ in range(4):
        with pytest.raises(ModemError, match="check that the server runs"):
            bench.connect()
    bench.modem.refuse_network = False
    assert bench.connect().connected
    assert bench.refusals() == []


def test_a_network_that_takes_nobody_for_long(bench: Bench) -> None:
    bench.modem.join_error = 2
    for _ in range(4):
        with pytest.raises(ModemError, match="wrong password"):
            bench.connect()
    bench.modem.join_error = 0
    assert bench.connect().connected
    assert bench.refusals() == []


def test_a_modem_that_somebody_left_in_transparent_mode(
    bench: Bench, listener: socket.socket, peer: Callable[[], socket.socket]
) -> None:
    with serial.Serial(bench.modem.port, 115200, timeout=5) as line:
        start = b'AT+CIPSTART="TCP","127.0.0.1",%d' % port_of(listener)
        for command, end in (
            (b'AT+CWJAP="net",""', OK),
            (start, OK),
            (b"AT+CIPMODE=1", OK),
            (b"AT+CIPSEND", b">"),
        ):
            line.write(command + b"\r\n")
            assert line.read_until(end).endswith(end)
    theirs = peer()
    theirs.sendall(b"greetings without end\r\n")
    assert bench.connect().connected
    # That peer heard what the board said first, and not how it left.
    assert set(theirs.recv(4096).split(b"\r\n")) == {b"AT", b""}
    assert bench.refusals() == []


def test_the_password_is_not_kept_in_the_modem(bench: Bench) -> None:
    bench.connect()
    assert any(b'"net","secret"' in command for command in bench.commands())
    assert bench.modem.kept is None


def test_refusals_in_a_row_are_seen() -> None:
    def said(*lines: tuple[bytes, bytes]) -> list[bytes]:
        chunks = []
        for command, result in lines:
            chunks += [(True, command + b"\r\n"), (False, b"\r\n" + result + b"\r\n")]
        return refusals(chunks)

    start, read = (b"AT+CIPSTART=0", b"ERROR"), (b"AT+CIPRECVDATA=0,9", b"ERROR")
    assert said(start, start, start) == [b"AT+CIPSTART=0\r\n"] * 2
    assert said(start, (b"AT", b"OK"), start) == []
    assert said((start[0], b"OK"), start) == []
    assert said(read, read) == []
