from __future__ import annotations

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from birthkey_host.serial_link import FrameDecoder
from device import DeviceError, Handle, Interpreter
from serial_streams import LONGEST, STREAMS, A, B, encoded, frames_of, streams, wire


@pytest.fixture
def bench(device: Interpreter, ticks: None) -> Handle:
    """A link that is open."""
    made = device.call("transport.wire:Bench", 7, 5)
    made.open()
    return made


# COBS


@pytest.mark.parametrize("first", range(0, 601, 20))
def test_cobs_is_that_of_the_reference_at_every_length(device: Interpreter, first: int) -> None:
    pairs = [
        [frame, encoded(frame)]
        for length in range(first, min(first + 20, 601))
        for frame in frames_of(length)
    ]
    assert device.call("transport.wire:round_trips", pairs) == []


def test_the_longest_frames_are_encoded_as_by_the_reference(device: Interpreter) -> None:
    pairs = [[frame, encoded(frame)] for frame in LONGEST]
    assert device.call("transport.wire:round_trips", pairs) == []


@settings(max_examples=200, deadline=None)
@given(frame=st.binary(max_size=1000))
def test_any_frame_is_encoded_as_by_the_reference(device: Interpreter, frame: bytes) -> None:
    assert device.call("transport.wire:encode", frame) == encoded(frame)


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(
        st.integers(1, 6) | st.integers(1, 255) | st.just(255), min_size=1, max_size=800
    ).map(bytes)
)
def test_whatever_is_decoded_or_refused_is_so_by_the_reference(
    device: Interpreter, data: bytes
) -> None:
    try:
        expected = bytes(cobs.decode(data))
    except cobs.DecodeError:
        with pytest.raises(ValueError, match="cut short"):
            device.call("transport.wire:decode", data)
    else:
        assert device.call("transport.wire:decode", data) == expected


# The frame reader


@pytest.mark.parametrize("size", [1, 3, 256, 100000])
@pytest.mark.parametrize(("stream", "frames", "bad"), STREAMS)
def test_reader_finds_the_frames_however_the_stream_is_split(
    device: Interpreter, stream: bytes, frames: list[bytes], bad: int, size: int
) -> None:
    assert device.call("transport.wire:frames", stream, size) == [frames, bad]


@settings(max_examples=200, deadline=None)
@given(stream=streams, size=st.integers(1, 5000))
def test_board_and_host_find_the_same_frames_in_anything(
    device: Interpreter, stream: bytes, size: int
) -> None:
    decoder = FrameDecoder()
    frames = decoder.feed(stream)
    assert device.call("transport.wire:frames", stream, size) == [frames, decoder.bad]


def test_more_than_wanted_is_refused(device: Interpreter) -> None:
    reader = device.call("birthkey.transport.serial:FrameReader", 4096)
    with pytest.raises(ValueError, match="more bytes than wanted"):
        reader.feed(bytes(4115))
    reader.feed(wire(LONGEST[0])[1:])
    with pytest.raises(ValueError, match="more bytes than wanted"):
        reader.feed(b"\x01")
    assert reader.next_frame() == LONGEST[0]


# The transport


@pytest.mark.parametrize("frame", [b"\x00", A, B, *LONGEST])
def test_a_frame_is_sent_between_delimiters(bench: Handle, frame: bytes) -> None:
    assert bench.send(frame) == wire(frame)


@pytest.mark.parametrize("length", [0, 4097])
def test_a_frame_of_a_wrong_length_is_not_sent(bench: Handle, length: int) -> None:
    with pytest.raises(ValueError, match="1 to 4096"):
        bench.send(bytes(length))
    assert bench.connected()
    assert bench.send(A) == wire(A)


def test_a_uart_that_takes_nothing_ends_the_link(bench: Handle) -> None:
    bench.stall()
    with pytest.raises(DeviceError, match="SendFailed: The UART took no bytes for 1000 ms"):
        bench.send(A)
    assert not bench.connected()
    assert bench.clock() in range(1000, 1010)


def test_frames_are_received_one_at_a_time(bench: Handle) -> None:
    longest = LONGEST[2][:1095]
    bench.say(wire(A, B, longest))
    assert [bench.receive(5000) for _ in range(3)] == [A, B, longest]
    assert bench.bad() == 0


def test_a_frame_longer_than_any_answer_is_passed_over(bench: Handle) -> None:
    for longer in (LONGEST[2][:1281], LONGEST[2], LONGEST[0][:1281]):
        bench.say(wire(longer, B))
    assert [bench.receive(5000) for _ in range(3)] == [B, B, B]
    assert bench.bad() == 3


def test_noise_is_counted_and_passed_over(bench: Handle) -> None:
    bench.say(b"\xff\x13" + wire(A)[:-2] + wire(B) + b"\x80" * 9000 + wire(A))
    assert [bench.receive(5000) for _ in range(2)] == [B, A]
    assert bench.bad() == 3


def test_a_begun_frame_stays_for_the_next_time(bench: Handle) -> None:
    before = bench.clock()
    for at, _ in enumerate(wire(A)[:-1]):
        bench.say(wire(A)[at : at + 1])
        assert bench.receive(10) is None
    assert bench.clock() - before == 10 * (len(wire(A)) - 1)
    bench.say(b"\x00")
    assert bench.receive(0) == A


def test_noise_without_end_does_not_hold_the_caller(bench: Handle) -> None:
    bench.say_noise_without_end()
    before = bench.clock()
    assert bench.receive(100) is None
    assert bench.clock() - before in range(100, 140)
    assert bench.bad() > 10


@pytest.mark.parametrize("pause", [0, 1000, 10 * 24 * 3600 * 1000])
def test_what_came_during_a_pause_is_looked_at_before_the_time(bench: Handle, pause: int) -> None:
    bench.begin_receiving(100)
    bench.say(b"\x13" * 40 + wire(A))
    assert bench.go_on(pause) == A


@pytest.mark.parametrize("pause", [999, 10 * 24 * 3600 * 1000])
def test_a_uart_that_takes_bytes_again_after_a_pause_is_no_failure(
    bench: Handle, pause: int
) -> None:
    bench.stall()
    bench.begin_sending(A)
    bench.stall(False)
    assert bench.go_on(pause) is None
    assert bench.written() == wire(A)


def test_opening_again_forgets_a_half_frame(bench: Handle) -> None:
    bench.say(encoded(A)[:5])
    assert bench.receive(10) is None
    bench.open()
    bench.say(encoded(B) + b"\x00")
    assert bench.receive() == B


def test_nothing_is_sent_or_received_on_a_closed_link(device: Interpreter) -> None:
    bench = device.call("transport.wire:Bench")
    for use in (lambda: bench.send(A), bench.receive):
        assert not bench.connected()
        with pytest.raises(DeviceError, match="ModemClosed: The serial link is closed"):
            use()
        bench.open()
        assert bench.connected()
        bench.close()
