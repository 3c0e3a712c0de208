"""The modem's protocol: what connections carry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from birthkey_host.simulator import ESP_AT_2, ESP_AT_3_3, NONOS_1_7, Firmware
from birthkey_host.simulator.actions import Close, Send

if TYPE_CHECKING:
    from .conftest import Bench, MakeBench

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"

# Sending

AWKWARD = b"\r\nOK\r\n\r\n+IPD,0,3:abc> AT+RST\r\n+++" + bytes(range(256))


@pytest.mark.parametrize(
    ("firmware", "prompt"),
    [(ESP_AT_3_3, b"\r\n>"), (ESP_AT_2, b"\r\n>"), (NONOS_1_7, b"> ")],
)
@pytest.mark.parametrize("multiple", [True, False])
def test_exactly_the_announced_bytes_are_sent_whatever_they_are(
    make: MakeBench, firmware: Firmware, prompt: bytes, multiple: bool
) -> None:
    bench = make(firmware)
    bench.join()
    bench.connect(multiple=multiple)
    link = b"0," if multiple else b""
    assert bench.say(b"AT+CIPSEND=%b%d\r\n" % (link, len(AWKWARD))) == OK + prompt
    assert bench.say(AWKWARD[:-1]) == b""
    assert bench.say(AWKWARD[-1:]) == b"\r\nRecv %d bytes\r\n" % len(AWKWARD)
    assert bench.wanted() == [Send(0, AWKWARD)]
    assert bench.take(bench.modem.sent(True)) == b"\r\nSEND OK\r\n"


def test_payload_is_not_echoed(bench: Bench) -> None:
    bench.join()
    bench.connect()
    bench.say(b"ATE1\r\n")
    assert bench.say(b"AT+CIPSEND=0,2\r\nhi") == (
        b"AT+CIPSEND=0,2\r\n" + OK + b"\r\n>" + b"\r\nRecv 2 bytes\r\n"
    )


def test_stray_bytes_after_the_payload_are_answered_busy(online: Bench) -> None:
    online.connect()
    said = online.say(b"AT+CIPSEND=0,2\r\nhi\r\n")
    assert said == OK + b"\r\n>" + b"\r\nRecv 2 bytes\r\n" + b"\r\nbusy p...\r\n"
    assert online.wanted() == [Send(0, b"hi")]


def test_a_lost_byte_makes_the_next_command_payload(online: Bench) -> None:
    online.connect()
    online.say(b"AT+CIPSEND=0,4\r\n")
    assert online.say(b"abcAT\r\n") == b"\r\nRecv 4 bytes\r\n" + b"\r\nbusy p...\r\n"
    assert online.wanted() == [Send(0, b"abcA")]


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        (b"0,0", ERROR),
        (b"0,8193", ERROR),
        (b"0", ERROR),
        (b"0,1,2", ERROR),
        (b"1,1", b"link is not valid\r\n" + ERROR),
    ],
)
def test_sending_is_refused(online: Bench, parameters: bytes, answer: bytes) -> None:
    online.connect()
    assert online.say(b"AT+CIPSEND=" + parameters + b"\r\n") == answer
    assert online.say(b"AT\r\n") == OK


def test_the_longest_payload_is_of_the_firmware(make: MakeBench) -> None:
    for firmware, most in ((ESP_AT_3_3, 8192), (NONOS_1_7, 2048)):
        bench = make(firmware)
        bench.join()
        bench.connect()
        assert bench.say(b"AT+CIPSEND=0,%d\r\n" % (most + 1)) == ERROR
        bench.say(b"AT+CIPSEND=0,%d\r\n" % most)
        assert bench.say(b"\0" * most) == b"\r\nRecv %d bytes\r\n" % most


def test_sending_can_fail(online: Bench) -> None:
    online.connect()
    online.say(b"AT+CIPSEND=0,1\r\nx")
    assert online.take(online.modem.sent(False)) == b"\r\nSEND FAIL\r\n"
    assert online.say(b"AT\r\n") == OK


def test_a_connection_that_ends_while_it_sends_fails_the_send(online: Bench) -> None:
    online.connect()
    online.say(b"AT+CIPSEND=0,1\r\nx")
    online.wanted()
    assert online.take(online.modem.closed(0)) == b"\r\nSEND FAIL\r\n" + b"0,CLOSED\r\n"
    assert online.wanted() == [Close(0)]
    assert online.say(b"AT\r\n") == OK


def test_the_payload_of_a_connection_that_has_ended_is_swallowed(online: Bench) -> None:
    online.connect()
    online.say(b"AT+CIPSEND=0,4\r\n")
    assert online.take(online.modem.closed(0)) == b"0,CLOSED\r\n"
    online.wanted()
    assert online.say(b"AT\r\n") == b"\r\nRecv 4 bytes\r\n" + b"\r\nSEND FAIL\r\n"
    assert online.wanted() == []


# Receiving


@pytest.mark.parametrize("multiple", [True, False])
def test_data_are_pushed_behind_their_length(online: Bench, multiple: bool) -> None:
    online.connect(multiple=multiple)
    link = b"0," if multiple else b""
    pushed = online.take(online.modem.received(0, AWKWARD))
    assert pushed == b"\r\n+IPD,%b%d:" % (link, len(AWKWARD)) + AWKWARD
    assert online.take(online.modem.closed(0)) == link + b"CLOSED\r\n"
    assert online.wanted() == [Close(0)]


def test_data_are_pushed_into_a_send(online: Bench) -> None:
    online.connect()
    online.say(b"AT+CIPSEND=0,2\r\na")
    assert online.take(online.modem.received(0, b"hello")) == b"\r\n+IPD,0,5:hello"
    assert online.say(b"b") == b"\r\nRecv 2 bytes\r\n"


def test_the_network_may_bring_as_much_as_one_push_holds(online: Bench) -> None:
    online.connect(0)
    online.connect(1, "UDP")
    assert online.modem.room(0) == 2920
    assert online.modem.room(1) == 65535


@pytest.fixture(
    params=[
        (ESP_AT_3_3, b"AT+CIPRECVTYPE=5,1\r\n", b"+CIPRECVDATA:%d,"),
        (ESP_AT_2, b"AT+CIPRECVMODE=1\r\n", b"+CIPRECVDATA:%d,"),
        (NONOS_1_7, b"AT+CIPRECVMODE=1\r\n", b"+CIPRECVDATA,%d:"),
    ],
    ids=["esp-at-3.3", "esp-at-2", "nonos-1.7"],
)
def passive(request: pytest.FixtureRequest, make: MakeBench) -> tuple[Bench, bytes]:
    firmware, command, header = request.param
    bench = make(firmware)
    bench.join()
    bench.say(b"AT+CIPMUX=1\r\n")
    assert bench.say(command) == OK
    bench.connect()
    return bench, header


def test_passive_data_are_announced_once_and_read(passive: tuple[Bench, bytes]) -> None:
    bench, header = passive
    assert bench.take(bench.modem.received(0, b"abc")) == b"\r\n+IPD,0,3\r\n"
    assert bench.take(bench.modem.received(0, AWKWARD)) == b""
    total = len(AWKWARD) + 3
    assert bench.say(b"AT+CIPRECVLEN?\r\n") == b"+CIPRECVLEN:%d,0,0,0,0\r\n" % total + OK
    assert bench.say(b"AT+CIPRECVDATA=0,2\r\n") == header % 2 + b"ab" + OK
    assert bench.take(bench.modem.received(0, b"!")) == b"\r\n+IPD,0,%d\r\n" % (total - 1)
    rest = b"c" + AWKWARD + b"!"
    assert bench.say(b"AT+CIPRECVDATA=0,5000\r\n") == header % len(rest) + rest + OK
    assert bench.say(b"AT+CIPRECVDATA=0,5000\r\n") == ERROR


def test_closed_is_withheld_until_the_data_are_read(passive: tuple[Bench, bytes]) -> None:
    bench, header = passive
    bench.take(bench.modem.received(0, b"abc"))
    assert bench.take(bench.modem.closed(0)) == b""
    assert bench.say(b"AT+CIPSEND=0,1\r\n") == b"link is not valid\r\n" + ERROR
    assert bench.say(b"AT+CIPRECVDATA=0,2\r\n") == header % 2 + b"ab" + OK
    assert bench.say(b"AT+CIPRECVDATA=0,2\r\n") == header % 1 + b"c" + OK + b"0,CLOSED\r\n"
    assert bench.wanted() == [Close(0)]
    assert bench.say(b"AT+CIPRECVDATA=0,2\r\n") == ERROR


def test_closing_throws_unread_data_away(passive: tuple[Bench, bytes]) -> None:
    bench, _ = passive
    bench.take(bench.modem.received(0, b"abc"))
    bench.take(bench.modem.closed(0))
    assert bench.say(b"AT+CIPCLOSE=0\r\n") == b"0,CLOSED\r\n" + OK
    bench.wanted()
    bench.connect()
    assert bench.say(b"AT+CIPRECVDATA=0,2\r\n") == ERROR


def test_an_empty_passive_connection_closes_at_once(passive: tuple[Bench, bytes]) -> None:
    bench, _ = passive
    assert bench.take(bench.modem.closed(0)) == b"0,CLOSED\r\n"


def test_a_full_buffer_asks_the_network_to_wait(passive: tuple[Bench, bytes]) -> None:
    bench, _ = passive
    size = bench.modem.firmware.receive_buffer
    assert bench.modem.room(0) == size
    bench.take(bench.modem.received(0, b"x" * (size - 1)))
    assert bench.modem.room(0) == 1
    bench.take(bench.modem.received(0, b"xy"))
    assert bench.modem.room(0) == 0
    bench.say(b"AT+CIPRECVDATA=0,11\r\n")
    assert bench.modem.room(0) == 10


def test_datagrams_keep_their_bounds_and_are_lost_when_there_is_no_room(make: MakeBench) -> None:
    bench = make(replace(ESP_AT_3_3, receive_buffer=10))
    bench.join()
    bench.say(b"AT+CIPRECVTYPE=1\r\n")
    bench.connect(kind="UDP", multiple=False)
    assert bench.take(bench.modem.received(0, b"first")) == b"\r\n+IPD,5\r\n"
    assert bench.take(bench.modem.received(0, b"toolong")) == b""
    assert bench.take(bench.modem.received(0, b"other")) == b""
    assert bench.say(b"AT+CIPRECVLEN?\r\n") == b"+CIPRECVLEN:10\r\n" + OK
    assert bench.say(b"AT+CIPRECVDATA=3\r\n") == b"+CIPRECVDATA:3,fir" + OK
    assert bench.say(b"AT+CIPRECVDATA=9\r\n") == b"+CIPRECVDATA:5,other" + OK
    assert bench.say(b"AT+CIPRECVDATA=9\r\n") == ERROR


def test_passive_mode_is_set_for_each_connection(online: Bench) -> None:
    online.connect(0)
    online.connect(1)
    assert online.say(b"AT+CIPRECVTYPE=1,1\r\n") == OK
    shown = b"".join(b"+CIPRECVTYPE:%d,%d\r\n" % (n, n == 1) for n in range(5))
    assert online.say(b"AT+CIPRECVTYPE?\r\n") == shown + OK
    assert online.take(online.modem.received(0, b"a")) == b"\r\n+IPD,0,1:a"
    assert online.take(online.modem.received(1, b"b")) == b"\r\n+IPD,1,1\r\n"
    assert online.say(b"AT+CIPRECVDATA=0,1\r\n") == ERROR


def test_leaving_passive_mode_pushes_what_was_held(online: Bench) -> None:
    online.say(b"AT+CIPMUX=1\r\nAT+CIPRECVTYPE=5,1\r\n")
    online.connect()
    online.take(online.modem.received(0, b"x" * 2921))
    online.take(online.modem.closed(0))
    pushed = b"\r\n+IPD,0,2920:" + b"x" * 2920 + b"\r\n+IPD,0,1:x"
    assert online.say(b"AT+CIPRECVTYPE=5,0\r\n") == pushed + b"0,CLOSED\r\n" + OK


@pytest.mark.parametrize(
    ("firmware", "mode", "kind", "data"),
    [
        (ESP_AT_3_3, ERROR, OK, ERROR),
        (ESP_AT_2, OK, ERROR, ERROR),
        (replace(ESP_AT_2, receive_command=None), ERROR, ERROR, ERROR),
    ],
)
def test_only_the_firmware_s_own_receive_command_exists(
    make: MakeBench, firmware: Firmware, mode: bytes, kind: bytes, data: bytes
) -> None:
    bench = make(firmware)
    bench.say(b"ATE0\r\n")
    assert bench.say(b"AT+CIPRECVMODE=0\r\n") == mode
    assert bench.say(b"AT+CIPRECVTYPE=0\r\n") == kind
    assert bench.say(b"AT+CIPRECVDATA=1\r\n") == data
    known = firmware.receive_command is not None
    assert bench.say(b"AT+CIPRECVLEN?\r\n") == (b"+CIPRECVLEN:0\r\n" + OK if known else ERROR)


def test_the_receive_mode_is_shown(make: MakeBench) -> None:
    bench = make(ESP_AT_2)
    bench.say(b"ATE0\r\n")
    assert bench.say(b"AT+CIPRECVMODE?\r\n") == b"+CIPRECVMODE:0\r\n" + OK
    bench.say(b"AT+CIPRECVMODE=1\r\n")
    assert bench.say(b"AT+CIPRECVMODE?\r\n") == b"+CIPRECVMODE:1\r\n" + OK
