"""TLS when the modem fails in the middle of it, when memory is short, and under a flood."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import pytest

import tls_bench
from birthkey_host.simulator import NONOS_1_7
from device import Handle
from tls_bench import BOARDS, CLOSED, HOST, NO_CA, REFUSED, TLS, Bench
from tls_servers import echo, say
from tls_wire import Call, Cut

RESET = "ModemReset: The modem restarted by itself: check its power supply."
NO_NETWORK = "ModemClosed: The modem lost its network."
SILENT = "NoAnswer: The modem did not answer AT+CIPRECVDATA within 5000 ms."
TOO_LITTLE = (
    r"TlsError: Too little memory for TLS: \d+ bytes of heap are free, and it needs its buffers in"
    r" one piece each, then 12288 more for the handshake\."
)
RAN_OUT = TLS + "memory ran out."
FREE = (6000, 9000, 11_000)  # beside the place of the buffers, which is kept
PUSHING = replace(NONOS_1_7, receive_command=None)  # a modem that keeps nothing back


@pytest.fixture(params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Bench:
    return tls_bench.lend(request)


@pytest.fixture(params=BOARDS)
def short(request: pytest.FixtureRequest) -> Bench:
    """The Unix port has the heap it is given: here for its code, and as much as boards have."""
    return tls_bench.lend(request, heap="400k" if request.param == "UNIX" else "64M")


@pytest.fixture(params=BOARDS)
def pushed(request: pytest.FixtureRequest) -> Bench:
    return tls_bench.lend(request, PUSHING)


# The modem.


def reset(bench: Bench) -> None:
    bench.modem.reset()


def drop_connections(bench: Bench) -> None:
    bench.modem.drop_connections()


def lose_network(bench: Bench) -> None:
    """The modem says so, after whatever it says next."""

    def say_so(data: bytes) -> bytes:
        bench.modem.on_to_board = None
        return data + b"\r\nWIFI DISCONNECT\r\n"

    bench.modem.on_to_board = say_so


Fault = Callable[[Bench], None]
FAULTS: list[tuple[str, type[Call] | type[Cut], str, Fault, str]] = [
    ("on_downlink", Call, "ServerHello", reset, RESET),
    ("on_uplink", Call, "ClientKeyExchange", reset, RESET),
    ("on_downlink", Call, "ServerHello", lose_network, NO_NETWORK),
    ("on_downlink", Cut, "Certificate", drop_connections, CLOSED),
]


def failed(bench: Bench, way: str, hook: Call | Cut) -> str:
    """What comes of a handshake in which a fault happens."""
    setattr(bench.modem, way, hook)
    said = bench.attempt(echo(bench.good))
    setattr(bench.modem, way, None)
    assert hook.done, said
    return str(said)


def test_modem_fails_in_a_handshake(bench: Bench) -> None:
    bench.trust()
    for way, kind, place, fault, sentence in FAULTS:
        said = failed(bench, way, kind(place, action=partial(fault, bench)))
        assert said == sentence, (place, fault)
    bench.works()


@pytest.mark.parametrize("bench", ["UNIX"], indirect=True)
def test_modem_is_silent_in_a_handshake(bench: Bench) -> None:
    bench.trust()
    be_silent = partial(setattr, bench.modem, "mute", True)
    assert failed(bench, "on_downlink", Cut("ServerHello", action=be_silent)) == SILENT
    bench.modem.mute = False
    bench.works()


# Memory.


def test_memory_is_short(short: Bench) -> None:
    """Nothing is sent when it does not suffice; when it does again, all is well."""
    short.trust()
    short.peer.serve = echo(short.good)
    short.wire.chunks.clear()
    for free in FREE:
        said = short.client.connect_with(free, HOST, short.peer.port)
        assert said and re.fullmatch(TOO_LITTLE, said), (free, said)
    assert short.wire.chunks == []
    short.works()


@pytest.mark.parametrize("bench", ["QEMU_MPS2_AN385"], indirect=True)
def test_memory_runs_out_in_a_handshake(bench: Bench) -> None:
    """Others take it as soon as the modem has connected: that connection fails, and no other.

    mbed TLS takes its memory from the same heap on boards. Of a certificate that it has none to
    verify with, it says that nobody has signed it.
    """
    for free, expected in ((2500, (RAN_OUT, f"{REFUSED}{NO_CA}.")), (20_000, (None,))):
        bench.trust()
        bench.peer.serve = echo(bench.good)
        assert bench.client.connect_robbed(free, HOST, bench.peer.port) in expected
        bench.works()


# Floods.


def test_reader_is_slow(bench: Bench) -> None:
    """The rest waits in the network: the board needs no more memory, and loses nothing."""
    pieces = [bytes([number]) * 1000 for number in range(60)]
    used, read = [], []

    def slowly(client: Handle) -> None:
        for _ in range(8):
            read.append(client.receive(500))
            used.append(client.used())

    bench.trust()
    assert bench.attempt(say(bench.good, *pieces), slowly) is None
    assert b"".join(read) == b"".join(pieces)[:4000]
    # What is found on the stack may keep a buffer alive for a while, but not most of the time.
    assert median(used) < min(used) + 512, used


def test_modem_keeps_nothing_back(pushed: Bench) -> None:
    """What comes while the board does other things is lost, where its UART does not wait.

    Then it gets less, but nothing that the server has not sent.
    """
    pieces = [bytes([number]) * 1000 for number in range(20)]
    read = []

    def late(client: Handle) -> None:
        time.sleep(0.3)
        for _ in pieces:
            read.append(client.receive(1000, 1000))
            if len(read[-1]) < 1000:
                break

    pushed.trust()
    ended = pushed.attempt(say(pushed.good, *pieces), late)
    whole, found = b"".join(pieces), b"".join(read)
    assert whole.startswith(found)
    if pushed.name == "RPI_PICO":
        assert len(found) < len(whole)
    else:
        assert (found, ended) == (whole, None)
    pushed.works()
