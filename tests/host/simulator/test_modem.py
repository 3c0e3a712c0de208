"""The whole modem: a board on its pty, and the program around it."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from birthkey_host.simulator import Simulator, running
from sockets import port_of

if TYPE_CHECKING:
    from .conftest import Board, PlugIn

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
Accept = Callable[[], socket.socket]


@contextmanager
def opened(port: str) -> Iterator[int]:
    """A board that knows nothing of serial lines."""
    line = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        yield line
    finally:
        os.close(line)


def read_until(line: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.read(line, 1)
    return data


# The access point


@pytest.mark.parametrize(
    ("ssid", "password", "error", "code"),
    [("other", "secret", 0, 3), ("home", "wrong", 0, 2), ("home", "secret", 4, 4)],
)
def test_joining_fails_for_a_reason(
    plug_in: PlugIn, ssid: str, password: str, error: int, code: int
) -> None:
    modem = Simulator(ssid="home", password="secret")
    modem.join_error = error
    board = plug_in(modem)
    board.say(b"ATE0\r\n")
    join = f'AT+CWJAP="{ssid}","{password}"\r\n'.encode()
    assert board.say(join, ERROR) == b"+CWJAP:%d\r\n" % code + ERROR


def test_joining_can_take_its_time(plug_in: PlugIn) -> None:
    modem = Simulator(ssid="home", password="secret")
    modem.join_seconds = 0.2
    board = plug_in(modem)
    board.say(b"ATE0\r\n")
    said = board.say(b'AT+CWJAP="home","secret"\r\nAT\r\n')
    assert said == b"\r\nbusy p...\r\n" + b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK


# The UART


def test_both_directions_keep_to_the_baud_rate(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    modem.baud = 9600
    start = time.monotonic()
    board.send(b"x" * 288)
    assert 0.25 < time.monotonic() - start < 2.5
    start = time.monotonic()
    server.sendall(b"x" * 288)
    board.expect(b"+IPD,0,288:" + b"x" * 288)
    assert 0.25 < time.monotonic() - start < 2.5


def test_the_board_may_close_its_end_and_come_back(plug_in: PlugIn) -> None:
    modem = Simulator()
    first = plug_in(modem)
    first.say(b"ATE0\r\n")
    first.serial.close()
    time.sleep(0.05)
    first.serial.open()
    assert first.say(b"AT\r\n") == OK


def test_a_board_without_serial_library_finds_a_raw_line() -> None:
    with running(Simulator()) as modem, opened(modem.port) as line:
        os.write(line, b"AT\r\n")
        assert read_until(line, OK) == b"\r\nready\r\nAT\r\n" + OK


def test_the_link_leads_to_the_pty_while_the_modem_runs(tmp_path: Path) -> None:
    link = tmp_path / "modem"
    link.symlink_to("/dev/pts/left-behind")
    with running(Simulator(link=link)) as modem:
        assert os.readlink(link) == modem.port
    assert not link.is_symlink()


def test_a_file_in_the_link_s_place_is_not_touched(tmp_path: Path) -> None:
    link = tmp_path / "modem"
    link.write_text("mine")
    with pytest.raises(FileExistsError), running(Simulator(link=link)):
        pass
    assert link.read_text() == "mine"


def test_random_bytes_do_not_stop_the_modem(plug_in: PlugIn) -> None:
    board = plug_in(Simulator())
    board.say(b"ATE0\r\n")
    board.serial.write(random.Random(2).randbytes(20_000))
    board.serial.write(b"\r\nATE0\r\n")
    board.serial.read_until(OK)
    board.serial.reset_input_buffer()
    board.say(b"AT\r\n")


# The program around it


def test_it_runs_in_an_asyncio_program() -> None:
    async def program() -> bytes:
        async with Simulator() as modem:
            with opened(modem.port) as line:
                os.write(line, b"AT\r\n")
                said = await asyncio.to_thread(read_until, line, OK)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return said

    assert asyncio.run(program()) == b"\r\nready\r\nAT\r\n" + OK


@pytest.mark.parametrize("last", [b"AT\r\n", b'AT+CWJAP="a","b"\r\n', b"send"])
def test_it_stops_while_something_is_under_way(listener: socket.socket, last: bytes) -> None:
    descriptors = len(os.listdir("/dev/fd"))
    threads = threading.active_count()
    with running(Simulator()) as modem, opened(modem.port) as line:
        os.write(line, b'ATE0\r\nAT+CWJAP="a","b"\r\n')
        read_until(line, b"GOT IP\r\n" + OK)
        os.write(line, b'AT+CIPSTART="TCP","127.0.0.1",%d\r\n' % port_of(listener))
        read_until(line, b"CONNECT\r\n" + OK)
        with listener.accept()[0] as server:
            if last == b"send":
                modem.on_uplink = lambda data: data * 10_000  # nobody takes so much
                os.write(line, b"AT+CIPSEND=2000\r\n" + b"x" * 2000)
                assert server.recv(1)
            else:
                modem.join_seconds = 60
                os.write(line, last)
                read_until(line, b"\n")
    assert len(os.listdir("/dev/fd")) == descriptors
    assert threading.active_count() == threads


def test_a_hook_that_fails_is_not_hidden() -> None:
    called = threading.Event()

    def fail(data: bytes) -> bytes:
        called.set()
        raise ZeroDivisionError

    modem = Simulator()
    modem.on_from_board = fail

    def session() -> None:
        with running(modem):
            Path(modem.port).write_bytes(b"AT\r\n")
            assert called.wait(5)

    with pytest.raises(ExceptionGroup) as caught:
        session()
    assert caught.group_contains(ZeroDivisionError)
