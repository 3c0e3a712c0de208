"""The modem's real connections, seen from a board and from a peer."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from birthkey_host.simulator import ESP_AT_2, NONOS_1_7, Firmware, Simulator
from birthkey_host.simulator.actions import Open
from birthkey_host.simulator.network import connect
from sockets import port_of, receive

if TYPE_CHECKING:
    from .conftest import Board, PlugIn

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
AWKWARD = b"\r\nOK\r\n\r\n+IPD,0,3:abc> AT+RST\r\n+++\x03\x04\x11\x13\x1a\x7f" + bytes(range(256))
Accept = Callable[[], socket.socket]


def fill(connection: socket.socket, data: bytes) -> int:
    """Send until nobody takes any more; how much was taken."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection.settimeout(0.5)
    sent = 0
    with suppress(TimeoutError):
        while sent < len(data):
            sent += connection.send(data[sent : sent + 1000])
    connection.settimeout(5)
    return sent


@pytest.mark.parametrize("firmware", [ESP_AT_2, NONOS_1_7])
def test_a_tcp_connection_carries_any_bytes_both_ways(
    plug_in: PlugIn, listener: socket.socket, peer: Accept, firmware: Firmware
) -> None:
    board = plug_in(Simulator(firmware=firmware))
    board.join()
    board.open(port_of(listener))
    server = peer()
    board.send(AWKWARD)
    assert receive(server, len(AWKWARD)) == AWKWARD
    server.sendall(AWKWARD)
    board.expect(b"\r\n+IPD,0,%d:" % len(AWKWARD))
    assert board.serial.read(len(AWKWARD)) == AWKWARD
    board.say(b"AT+CIPCLOSE=0\r\n")
    assert server.recv(1) == b""


def test_passive_mode_holds_the_network_up_and_loses_nothing(
    plug_in: PlugIn, listener: socket.socket, peer: Accept
) -> None:
    board = plug_in(Simulator())
    board.join()
    board.say(b"AT+CIPRECVTYPE=5,1\r\n")
    board.open(port_of(listener))
    server = peer()
    data = random.Random(1).randbytes(200_000)
    sent = fill(server, data)
    assert board.available() == 5760
    assert sent < 100_000  # the sizes of the kernel's own buffers are not ours to say
    rest = threading.Thread(target=server.sendall, args=(data[sent:],))
    rest.start()
    digest, total = hashlib.sha256(), 0
    while total < len(data):
        if count := board.available():
            piece = board.read(count)
            total += len(piece)
            digest.update(piece)
    rest.join()
    assert digest.digest() == hashlib.sha256(data).digest()


def test_data_before_the_peer_s_end_are_read_before_closed(
    plug_in: PlugIn, listener: socket.socket, peer: Accept
) -> None:
    board = plug_in(Simulator(firmware=ESP_AT_2))
    board.join()
    board.say(b"AT+CIPRECVMODE=1\r\n")
    board.open(port_of(listener))
    server = peer()
    data = b"0,CLOSED\r\n" * 1000  # more than the modem holds at a time
    sender = threading.Thread(target=lambda: (server.sendall(data), server.close()))
    sender.start()
    board.expect(b"+IPD,0,")
    read = b""
    while len(read) < len(data):
        if board.available():
            read += board.read(3000)
    sender.join()
    assert read == data
    assert board.expect(b"CLOSED\r\n") == b"0,CLOSED\r\n"


def test_datagrams_go_both_ways(plug_in: PlugIn) -> None:
    board = plug_in(Simulator())
    board.join()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        board.open(port_of(server), b"UDP")
        board.send(b"one")
        board.send(b"two")
        assert server.recv(100) == b"one"
        data, board_address = server.recvfrom(100)
        assert data == b"two"
        server.sendto(b"", board_address)
        server.sendto(b"three", board_address)
        assert board.expect(b"three") == b"\r\n+IPD,0,5:three"


def test_an_unreachable_udp_port_ends_nothing(plug_in: PlugIn) -> None:
    board = plug_in(Simulator())
    board.join()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = port_of(server)
    board.open(port, b"UDP")
    for _ in range(3):
        board.send(b"nobody is there")


def test_a_refused_connection_is_an_error(plug_in: PlugIn, listener: socket.socket) -> None:
    board = plug_in(Simulator())
    board.join()
    port = port_of(listener)
    listener.close()
    start = b'AT+CIPSTART=2,"TCP","127.0.0.1",%d\r\n' % port
    assert board.say(start, b"CLOSED\r\n") == ERROR + b"2,CLOSED\r\n"


@pytest.mark.parametrize("seconds", [0, 60])
def test_an_idle_connection_is_kept_alive_as_the_board_wants(
    listener: socket.socket, seconds: int
) -> None:
    async def probes() -> tuple[int, int]:
        connection = await connect(
            Open(0, "TCP", "127.0.0.1", port_of(listener), seconds), None, 8192
        )
        sock = connection._socket
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        every = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        connection.close()
        return found, every

    on, every = asyncio.run(probes())
    assert bool(on) is bool(seconds)
    assert not on or every == seconds


def test_names_are_the_given_ones_only(plug_in: PlugIn, listener: socket.socket) -> None:
    board = plug_in(Simulator(resolve={"birthkey.example": "127.0.0.1"}))
    board.join()
    start = b'AT+CIPSTART=%d,"TCP","%b",%d\r\n'
    port = port_of(listener)
    for name in (b"localhost", b"birthkey.exampl", b"..", b"\0"):
        assert board.say(start % (0, name, port), ERROR) == b"DNS Fail\r\n" + ERROR
    assert board.say(start % (0, b"birthkey.example", port)) == b"0,CONNECT\r\n" + OK
    assert board.say(start % (1, b"127.0.0.1", port)) == b"1,CONNECT\r\n" + OK


@pytest.mark.parametrize("name", [b"..", b"\0", b"a" * 64])
def test_the_system_s_resolver_is_not_asked_for_what_is_no_name(
    plug_in: PlugIn, name: bytes
) -> None:
    board = plug_in(Simulator())
    board.join()
    board.say(b'AT+CIPSTART=0,"TCP","%b",1\r\n' % name, b"DNS Fail\r\n" + ERROR)


def test_two_connections_do_not_mix(plug_in: PlugIn, listener: socket.socket, peer: Accept) -> None:
    board = plug_in(Simulator())
    board.join()
    board.open(port_of(listener), number=0)
    first = peer()
    board.open(port_of(listener), number=1)
    second = peer()
    board.send(b"to second", number=1)
    board.send(b"to first", number=0)
    assert receive(first, 8) == b"to first"
    assert receive(second, 9) == b"to second"
    second.close()
    assert board.expect(b"CLOSED\r\n") == b"1,CLOSED\r\n"
    first.sendall(b"still here")
    board.expect(b"+IPD,0,10:still here")


def test_a_board_that_does_not_read_stops_the_network(
    connected: tuple[Simulator, Board], peer: Accept
) -> None:
    _, board = connected
    server = peer()
    sent = fill(server, b"x" * 1_000_000)
    assert sent < 300_000
    received = 0
    while received < sent:
        board.expect(b"+IPD,0,")
        received += len(board.serial.read(int(board.expect(b":")[:-1])))
