from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import serial
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

import birthkey.conversation
from birthkey import Device
from birthkey.transport.serial import Serial
from birthkey_host import serial_link
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.schema import CommandState
from birthkey_host.serial_link import FrameDecoder, SerialLink, SerialLinkError, encode
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.verifier import Verifier
from device import ROOT, device_environment, micropython
from ptys import Noise, loopback_uart
from serial_streams import LONGEST, STREAMS, A, B, frames_of, streams, wire

Handle = Callable[[bytes, str], list[bytes]]


# The decoder


@pytest.mark.parametrize("size", [1, 3, 256, 100000])
@pytest.mark.parametrize(("stream", "frames", "bad"), STREAMS)
def test_decoder_finds_the_frames_however_the_stream_is_split(
    stream: bytes, frames: list[bytes], bad: int, size: int
) -> None:
    decoder = FrameDecoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == frames
    assert decoder.bad == bad


def test_frames_of_every_length_arrive_as_they_were_sent() -> None:
    frames = [frame for length in range(1, 601) for frame in frames_of(length)] + LONGEST
    assert FrameDecoder().feed(b"".join(map(encode, frames))) == frames


@given(frame=st.binary(min_size=1, max_size=4096))
def test_any_frame_is_sent_between_delimiters_as_the_reference_encodes_it(frame: bytes) -> None:
    assert encode(frame) == b"\x00" + cobs.encode(frame) + b"\x00"
    assert FrameDecoder().feed(encode(frame)) == [frame]


@given(noise=streams)
def test_after_any_noise_the_next_frame_is_whole(noise: bytes) -> None:
    assert FrameDecoder().feed(noise[:-1] + wire(A))[-1] == A


def test_noise_without_end_is_not_kept() -> None:
    decoder = FrameDecoder()
    for _ in range(100):
        decoder.feed(b"\x07" * 1000)
    assert len(decoder._begun) <= 4114


# The link


class Bench:
    """A link that serves a pty, and the board's end of it."""

    def __init__(self, handle: Handle) -> None:
        self.board, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.link = SerialLink(self.port, handle)
        self._pool = ThreadPoolExecutor(1)
        self.run: Future[None] = self._pool.submit(self.link.run)

    def say(self, data: bytes) -> None:
        os.write(self.board, data)

    def ask(self, frame: bytes) -> bytes:
        """The frame that comes back."""
        [answer] = self.asks(frame, 1)
        return answer

    def asks(self, frame: bytes, count: int) -> list[bytes]:
        """The frames that come back."""
        self.say(wire(frame))
        decoder, heard = FrameDecoder(), list[bytes]()
        while len(heard) < count:
            heard += decoder.feed(os.read(self.board, 4096))
        return heard

    def unplug(self) -> None:
        os.close(self.board)
        self.board = -1

    def close(self) -> None:
        self.link.stop()
        self._pool.shutdown()
        self.link.close()
        os.close(self._slave)
        if self.board >= 0:
            os.close(self.board)


@pytest.fixture
def plug() -> Iterator[Callable[[Handle], Bench]]:
    """Makes benches."""
    with contextlib.ExitStack() as stack:

        def make(handle: Handle) -> Bench:
            bench = Bench(handle)
            stack.callback(bench.close)
            return bench

        yield make


Plug = Callable[[Handle], Bench]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_silent_board_keeps_nothing_else_waiting() -> None:
    with loopback_uart() as (_, port):
        calls: list[float] = []

        def between() -> None:
            calls.append(time.monotonic())
            if len(calls) == 3:
                link.stop()

        with SerialLink(port, lambda frame, source: [], between=between) as link:
            link.run()
    assert len(calls) == 3


def test_a_frame_is_handled_with_the_ports_name_and_answered(plug: Plug) -> None:
    handled: list[tuple[bytes, str]] = []

    def handle(frame: bytes, source: str) -> list[bytes]:
        handled.append((frame, source))
        return [frame[::-1]]

    bench = plug(handle)
    for frame in (A, B, *LONGEST):
        assert bench.ask(frame) == frame[::-1]
    assert handled == [(frame, bench.port) for frame in (A, B, *LONGEST)]


def test_an_answer_and_a_command_go_back_in_one_go(plug: Plug) -> None:
    bench = plug(lambda frame, source: [frame, B])
    assert bench.asks(A, 2) == [A, B]


def test_a_frame_that_gets_silence_is_followed_by_nothing(plug: Plug) -> None:
    bench = plug(lambda frame, source: [] if frame == A else [frame])
    bench.say(wire(A, A))
    assert bench.ask(B) == B


def test_a_frame_that_cannot_be_handled_ends_nothing(
    plug: Plug, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(frame: bytes, source: str) -> list[bytes]:
        if frame == A:
            raise RuntimeError("the disk is full")
        return [frame]

    bench = plug(handle)
    bench.say(wire(A))
    assert bench.ask(B) == B
    assert warnings(caplog) == [f"a frame from {bench.port} got no answer"]
    assert "the disk is full" in caplog.text


def test_noise_is_counted_and_mentioned_ever_more_seldom(
    plug: Plug, caplog: pytest.LogCaptureFixture
) -> None:
    bench = plug(lambda frame, source: [frame])
    for _ in range(100):
        bench.say(b"\xff\x13\x00")
        bench.say(b"\x00\x80")
        assert bench.ask(B) == B
    assert bench.link.bad == 200
    assert 5 < len(warnings(caplog)) < 9
    assert f" bad so far from {bench.port}: " in warnings(caplog)[0]


def test_stop_ends_it_soon(plug: Plug) -> None:
    bench = plug(lambda frame, source: [frame])
    assert bench.ask(A) == A
    bench.link.stop()
    assert bench.run.result(timeout=2) is None


def test_unplugging_ends_it_with_a_sentence(plug: Plug) -> None:
    bench = plug(lambda frame, source: [frame])
    assert bench.ask(A) == A
    bench.unplug()
    with pytest.raises(SerialLinkError, match=f"{bench.port} is gone: was it unplugged"):
        bench.run.result(timeout=2)


def test_unplugging_before_the_answer_ends_it_with_a_sentence(plug: Plug) -> None:
    def handle(frame: bytes, source: str) -> list[bytes]:
        bench.unplug()
        return [frame]

    bench = plug(handle)
    bench.say(wire(A))
    with pytest.raises(SerialLinkError, match=f"{bench.port} is gone: was it unplugged"):
        bench.run.result(timeout=2)


def test_a_board_that_does_not_take_its_answers_holds_nothing_up(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serial_link, "_PATIENCE", 0.1)
    bench = plug(lambda frame, source: [LONGEST[2] if frame == A else frame])
    while not warnings(caplog):
        bench.say(wire(A))
        time.sleep(0.02)
    assert warnings(caplog)[0] == f"the board on {bench.port} did not take its answer"
    bench.say(wire(B))
    decoder, heard = FrameDecoder(), list[bytes]()
    while B not in heard:
        heard += decoder.feed(os.read(bench.board, 4096))
    assert set(heard) == {LONGEST[2], B}


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_port_that_cannot_be_opened_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SerialLinkError, match=f"cannot open the serial port .*/{name} "):
        SerialLink(str(tmp_path / name), lambda frame, source: [])


def test_a_port_that_is_in_use_is_said(plug: Plug) -> None:
    bench = plug(lambda frame, source: [])
    with pytest.raises(SerialLinkError, match="and does no other program"):
        SerialLink(bench.port, lambda frame, source: [])


# From a board's sensor to the registry


def damage(seed: int, seldom: int) -> Noise:
    """Changes, drops, doubles or inserts about one byte of so many."""
    chance = random.Random(seed)

    def noise(data: bytes) -> bytes:
        passed = bytearray()
        for byte in data:
            hit = chance.randrange(4 * seldom)
            other = chance.randrange(1, 256)
            passed += {
                0: bytes((byte ^ other,)),
                1: b"",
                2: bytes((byte, byte)),
                3: bytes((byte, other)),
            }.get(hit, bytes((byte,)))
        return bytes(passed)

    return noise


def rubbish(seed: int) -> Noise:
    """Puts something before each frame."""
    chance = random.Random(seed)
    between = True

    def noise(data: bytes) -> bytes:
        nonlocal between
        passed = bytearray()
        for byte in data:
            if byte == 0:
                if between:
                    passed += chance.randbytes(60) + bytes(3) + b"\xff\x13"
                between = not between
            passed.append(byte)
        return bytes(passed)

    return noise


class Server:
    """The real pipeline on a serial port; counts the frames that got silence."""

    def __init__(self, registry: Registry, key: ServerKey, port: str) -> None:
        self._pipeline = Pipeline(Verifier([key], registry.lookup), registry, Open())
        self.link = SerialLink(port, self._handle)
        self.silences = 0

    def _handle(self, frame: bytes, source: str) -> list[bytes]:
        answers = self._pipeline.frames(frame, source)
        self.silences += not answers
        return answers

    def __enter__(self) -> Server:
        self._pool = ThreadPoolExecutor(1)
        self._run = self._pool.submit(self.link.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.link.stop()
        self._pool.shutdown()
        self.link.close()
        self._run.result()


def readings(registry: Registry) -> list[object]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    assert messages[0].type == Type.ENROL
    return [message.body for message in messages[1:]]


def test_readings_are_stored_once_and_in_order_whatever_noise_destroys(
    registry: Registry, server_key: ServerKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birthkey.conversation, "_FIRST_RETRY_MS", 2)
    monkeypatch.setattr(birthkey.conversation, "_MOST_RETRY_MS", 4)
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 150)
    with (
        loopback_uart(damage(1, 800), damage(2, 400)) as (ours, theirs),
        serial.Serial(theirs, timeout=0, write_timeout=0) as uart,
        Server(registry, server_key, ours) as server,
    ):
        link = Serial(uart)
        device = Device(link, server_key=server_key.public.hex(), path=str(tmp_path / "board"))
        for number in range(10):
            assert device.send({"n": number}, wait_ms=20000)
    assert readings(registry) == [{"n": number} for number in range(10)]
    assert server.silences + server.link.bad > 0  # lost on the way up
    assert link.bad + device.unopened > 0  # and on the way down


def test_commands_are_carried_out_once_and_in_order_whatever_noise_destroys(
    registry: Registry, server_key: ServerKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, milliseconds in (("_FIRST_RETRY", 2), ("_MOST_RETRY", 4), ("_ANSWER", 150)):
        monkeypatch.setattr(birthkey.conversation, name + "_MS", milliseconds)
    told: list[object] = []
    with (
        loopback_uart(damage(3, 800), damage(4, 400)) as (ours, theirs),
        serial.Serial(theirs, timeout=0, write_timeout=0) as uart,
        Server(registry, server_key, ours),
    ):
        link = Serial(uart)
        device = Device(link, server_key=server_key.public.hex(), path=str(tmp_path / "board"))
        device.on_command(told.append)
        assert device.deliver(wait_ms=20000)
        asked = {"expires": 4e9, "who": "ada", "why": "", "now": time.time()}
        for number in range(5):
            registry.command(device.device_id, {"n": number}, **asked)
        assert all(device.send({"n": number}, wait_ms=20000) for number in range(12))
        assert device.deliver(wait_ms=20000)
    assert told == [{"n": number} for number in range(5)]
    assert {row.state for row in registry.commands(device.device_id)} == {CommandState.DONE}


PROGRAM = """
import board
from birthkey import Device
from birthkey.transport.serial import Serial

board.mount()
link = Serial(board.uart())
device = Device(
    link, server_key="%s", board=board.NAME, path=board.STATE, sources=board.ENTROPY
)
for number in range(5):
    if not device.send({"n": number}):
        raise RuntimeError(device.problem)
print(link.bad)
"""


def test_micropython_delivers_readings_through_rubbish_between_the_frames(
    registry: Registry, server_key: ServerKey, tmp_path: Path
) -> None:
    environment = device_environment()
    environment["MICROPYPATH"] = f"{ROOT}/boards/emulated/unix:{environment['MICROPYPATH']}"
    environment["BIRTHKEY_FLASH"] = str(tmp_path / "flash.bin")
    with (
        loopback_uart(rubbish(1), rubbish(2)) as (ours, theirs),
        Server(registry, server_key, ours) as server,
    ):
        ran = subprocess.run(
            [micropython(), "-c", PROGRAM % server_key.public.hex()],
            capture_output=True,
            text=True,
            env={**environment, "BIRTHKEY_UART": theirs},
            timeout=60,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert readings(registry) == [{"n": number} for number in range(5)]
    assert server.link.bad >= 6
    assert int(ran.stdout) >= 6
