from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import Handle, Interpreter
from esp_at_script import AT, OK, PUSH, refused, setup, start


def close(link: int) -> tuple[bytes, bytes]:
    return (b"AT+CIPCLOSE=%d\r\n" % link, b"%d,CLOSED\r\n" % link + OK)


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(2, "big") + frame


def pushed(data: bytes) -> bytes:
    return b"\r\n+IPD,0,%d:" % len(data) + data


@pytest.fixture
def bench(device: Interpreter, ticks: None) -> Iterator[Handle]:
    """A transport on a connection whose modem pushes what it receives."""
    made = device.call("modem.scripted:Bench", [AT, *setup(*PUSH), start()])
    made.tcp_open()
    yield made
    assert made.left() == [None, []]


# The frame reader


FRAMES = [b"a", b"\x00\x01", bytes(range(256)) * 2, b"\r\nOK\r\n"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_frames_come_out_however_they_are_split(device: Interpreter, size: int) -> None:
    data = b"".join(framed(frame) for frame in FRAMES)
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert device.call("modem.scripted:frames", chunks) == FRAMES


@settings(max_examples=50, deadline=None)
@given(
    frames=st.lists(st.binary(min_size=1, max_size=600), max_size=5),
    rest=st.binary(max_size=1),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=9),
)
def test_whole_frames_come_out_and_a_begun_one_waits(
    device: Interpreter, frames: list[bytes], rest: bytes, sizes: list[int]
) -> None:
    data = b"".join(framed(frame) for frame in frames) + rest
    chunks, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            break
        chunks.append(data[at : at + size])
        at += size
    assert device.call("modem.scripted:frames", chunks) == frames


def test_the_longest_frame_is_read(device: Interpreter) -> None:
    frame = bytes(4096)
    reader = device.call("birthkey.transport.tcp:FrameReader", 4096)
    reader.feed(framed(frame)[:2])
    reader.feed(b"")
    reader.feed(frame[1:])
    assert reader.next_frame() is None
    reader.feed(frame[:1])
    assert reader.next_frame() == frame
    assert reader.next_frame() is None


@pytest.mark.parametrize("length", [0, 4097, 65535])
def test_a_length_that_no_frame_has_is_refused(device: Interpreter, length: int) -> None:
    reader = device.call("birthkey.transport.tcp:FrameReader", 4096)
    reader.feed(length.to_bytes(2, "big")[:1])
    with pytest.raises(ValueError, match=f"length of {length},"):
        reader.feed(length.to_bytes(2, "big")[1:])


def test_more_than_wanted_is_refused(device: Interpreter) -> None:
    reader = device.call("birthkey.transport.tcp:FrameReader", 4096)
    with pytest.raises(ValueError, match="more bytes than wanted"):
        reader.feed(b"\x00\x01a")
    reader.feed(b"\x00\x01")
    with pytest.raises(ValueError, match="more bytes than wanted"):
        reader.feed(b"ab")
    reader.feed(b"a")
    assert reader.next_frame() == b"a"


# The transport


def test_a_frame_is_sent_with_its_length_in_one_piece(bench: Handle) -> None:
    bench.then([(b"AT+CIPSEND=0,302\r\n", OK + b"> "), (b"\x01\x2c" + b"f" * 300, b"SEND OK\r\n")])
    bench.tcp_send(b"f" * 300)


@pytest.mark.parametrize("length", [0, 4097])
def test_a_frame_of_a_wrong_length_is_not_sent(bench: Handle, length: int) -> None:
    with pytest.raises(ValueError, match="1 to 4096"):
        bench.tcp_send(bytes(length))
    assert bench.tcp_connected()


def test_frames_are_received_one_at_a_time(bench: Handle) -> None:
    bench.say(pushed(framed(b"one") + framed(b"x" * 700) + framed(b"\r\nOK\r\n")))
    assert [bench.tcp_receive() for _ in range(3)] == [b"one", b"x" * 700, b"\r\nOK\r\n"]


def test_a_begun_frame_stays_for_the_next_time(bench: Handle) -> None:
    frame = framed(b"abcdefgh")
    before = bench.clock()
    for at in range(len(frame) - 1):
        bench.say(pushed(frame[at : at + 1]))
        assert bench.tcp_receive(10) is None
    assert 10 <= (bench.clock() - before) / (len(frame) - 1) <= 12
    bench.say(pushed(frame[-1:]))
    assert bench.tcp_receive() == b"abcdefgh"


@pytest.mark.parametrize("length", [0, 1281, 4096, 65535])
def test_a_length_that_no_answer_has_closes_the_connection(bench: Handle, length: int) -> None:
    bench.then([close(0)])
    bench.say(pushed(framed(b"good") + length.to_bytes(2, "big") + b"more"))
    assert bench.tcp_receive() == b"good"
    with refused("ModemClosed", f"length of {length},", "connection was closed"):
        bench.tcp_receive()
    assert not bench.tcp_connected()
    with refused("ModemClosed", "open one first"):
        bench.tcp_receive()


@pytest.mark.parametrize("delay", [0, 30, 2000])
def test_a_byte_each_time_the_modem_is_asked_holds_nobody(
    device: Interpreter, ticks: None, delay: int
) -> None:
    bench = device.call("modem.scripted:Bench", [AT, *setup(), start()])
    bench.tcp_open()
    bench.repeat(b"AT+CIPRECVDATA=0,", delay, b"+CIPRECVDATA:1,\x01" + OK + b"+IPD,0,1\r\n")
    bench.say(b"+IPD,0,1\r\n")
    got = 0
    for timeout in (0, 1, 700, 1000):
        before = bench.clock()
        got += bench.tcp_receive(timeout) is not None  # 257 bytes make one
        assert bench.clock() - before <= timeout + delay + 10
    assert got <= 3


def test_a_frame_that_came_whole_is_given_though_its_time_is_over(bench: Handle) -> None:
    for size in (1, 255, 256, 257, 1095):
        bench.say(pushed(framed(b"f" * size)))
        while bench.pending():
            bench.look()
        assert bench.tcp_receive(0) == b"f" * size


def test_a_frame_that_came_before_the_close_is_still_received(bench: Handle) -> None:
    bench.say(pushed(framed(b"last")) + b"0,CLOSED\r\n")
    assert bench.tcp_receive() == b"last"
    assert not bench.tcp_connected()
    with refused("ModemClosed", "server closed"):
        bench.tcp_receive()
    with refused("ModemClosed", "server closed"):
        bench.tcp_send(b"x")


def test_opening_again_closes_the_old_connection_and_forgets_its_half_frame(bench: Handle) -> None:
    bench.say(pushed(framed(b"half")[:4]))
    assert bench.tcp_receive() is None
    bench.then([close(0), start(1)])
    bench.tcp_open()
    assert bench.tcp_connected()
    bench.say(pushed(framed(b"whole")).replace(b"+IPD,0", b"+IPD,1"))
    assert bench.tcp_receive() == b"whole"


def test_without_a_connection_there_is_nothing_to_send_on(device: Interpreter) -> None:
    bench = device.call("modem.scripted:Bench", [])
    with refused("ModemClosed", "open one first"):
        bench.tcp_send(b"x")
    assert not bench.tcp_connected()
    bench.tcp_close()
