"""Whoever sits at the modem's UART or in its network."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from birthkey_host.simulator import Direction, Recorder, Simulator
from sockets import port_of, receive

if TYPE_CHECKING:
    from .conftest import Board, PlugIn

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
Accept = Callable[[], socket.socket]


def test_hooks_see_and_change_what_a_connection_carries(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    seen: list[bytes] = []
    modem.on_uplink = lambda data: seen.append(data) or data.replace(b"1", b"9")
    board.send(b"value 1")
    assert receive(server, 7) == b"value 9"
    assert seen == [b"value 1"]
    modem.on_uplink = lambda data: b""
    board.send(b"lost")
    modem.on_uplink = lambda data: data * 2
    board.send(b"twice")
    assert receive(server, 10) == b"twicetwice"
    modem.on_downlink = lambda data: data[::-1]
    server.sendall(b"abc")
    board.expect(b"+IPD,0,3:cba")
    lost = threading.Event()
    modem.on_downlink = lambda data: b"" if lost.set() is None else data
    server.sendall(b"lost")
    assert lost.wait(5)
    modem.on_downlink = None
    server.sendall(b"abc")
    assert board.expect(b"abc") == b"\r\n+IPD,0,3:abc"


def test_hooks_see_and_change_the_raw_uart(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    modem.on_from_board = lambda data: data.replace(b"hello", b"helo")
    board.say(b"AT+CIPSEND=0,5\r\n", b">")
    board.serial.write(b"hello")
    modem.on_to_board = lambda data: data.replace(b"OK", b"0K")
    board.say(b"\n", b"\r\nSEND 0K\r\n")
    assert receive(server, 5) == b"helo\n"


def test_the_recorder_keeps_every_byte_as_the_board_sees_it(plug_in: PlugIn) -> None:
    recorder = Recorder()
    modem = Simulator(record=recorder)
    board = plug_in(modem)
    board.say(b"ATE0\r\n")
    modem.on_from_board = lambda data: data.replace(b"X", b"")
    modem.on_to_board = lambda data: data.lower()
    board.say(b"ATX\r\n", OK.lower())
    assert recorder.bytes_of(Direction.FROM_BOARD) == b"ATE0\r\nATX\r\n"
    said = b"\r\nready\r\nATE0\r\n" + OK + OK.lower()
    assert recorder.bytes_of(Direction.TO_BOARD) == said


def test_a_reset_in_mid_session_loses_everything(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    board.say(b"AT+CIPSEND=0,100\r\nabc", b">")
    modem.reset()
    assert board.expect(b"ready\r\n") == b"\r\nready\r\n"
    assert server.recv(1) == b""
    assert board.say(b"AT\r\n") == b"AT\r\n" + OK


def test_a_reset_while_joining_leaves_nothing_behind(plug_in: PlugIn) -> None:
    modem = Simulator()
    modem.join_seconds = 0.1
    board = plug_in(modem)
    board.say(b'ATE0\r\nAT+CWJAP="a","b"\r\n')
    modem.reset()
    board.expect(b"ready\r\n")
    time.sleep(0.2)
    assert board.say(b"ATE0\r\n") == b"ATE0\r\n" + OK


def test_connections_can_be_dropped(connected: tuple[Simulator, Board], peer: Accept) -> None:
    modem, board = connected
    server = peer()
    modem.drop_connections()
    assert board.expect(b"CLOSED\r\n") == b"0,CLOSED\r\n"
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert board.say(b"AT\r\n") == OK


def test_dropping_connections_fails_a_send_that_cannot_end(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    modem.on_uplink = lambda data: data * 10_000  # more than the kernel takes for a silent peer
    board.say(b"AT+CIPSEND=0,8192\r\n", b">")
    board.say(b"x" * 8192, b"Recv 8192 bytes\r\n")
    assert board.say(b"AT\r\n", b"busy p...\r\n") == b"\r\nbusy p...\r\n"
    modem.drop_connections()
    assert board.expect(b"CLOSED\r\n") == b"\r\nSEND FAIL\r\n" + b"0,CLOSED\r\n"
    assert board.say(b"AT\r\n") == OK


def test_a_mute_modem_neither_hears_nor_speaks(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    modem, board = connected
    server = peer()
    modem.mute = True
    board.serial.write(b"ATE1\r\n")
    server.sendall(b"lost")
    board.serial.timeout = 0.3
    assert board.serial.read(1) == b""
    modem.mute = False
    board.serial.timeout = 5
    assert board.say(b"AT\r\n") == OK


def test_the_network_can_be_refused(
    connected: tuple[Simulator, Board], listener: socket.socket
) -> None:
    modem, board = connected
    modem.refuse_network = True
    start = b'AT+CIPSTART=1,"TCP","127.0.0.1",%d\r\n' % port_of(listener)
    assert board.say(start, b"CLOSED\r\n") == ERROR + b"1,CLOSED\r\n"
    modem.refuse_network = False
    board.open(port_of(listener), number=1)
