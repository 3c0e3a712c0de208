"""The modem's protocol: lines, settings, Wi-Fi, connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from birthkey_host.simulator import ESP_AT_2, ESP_AT_3_3, NONOS_1_7, Firmware
from birthkey_host.simulator.actions import Close, Join, Send

if TYPE_CHECKING:
    from .conftest import Bench, MakeBench

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
JOINED = b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK


# Lines, echo and plain settings


def test_commands_are_echoed_until_echo_is_switched_off(bench: Bench) -> None:
    assert bench.say(b"AT\r\n") == b"AT\r\n\r\nOK\r\n"
    assert bench.say(b"ATE0\r\n") == b"ATE0\r\n\r\nOK\r\n"
    assert bench.say(b"AT\r\n") == OK
    assert bench.say(b"ATE1\r\nAT\r\n") == OK + b"AT\r\n" + OK


def test_an_empty_line_is_ignored(bench: Bench) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(b"\r\n\r\nAT\r\n") == OK


@pytest.mark.parametrize("line", [b"AT+NOSUCH", b"AT+CIPSEND", b"hello", b"AT+GMR?", b"AT+CIPMUX"])
def test_what_the_modem_does_not_know_is_an_error(bench: Bench, line: bytes) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(line + b"\r\n") == ERROR


def test_a_line_without_cr_is_an_error(bench: Bench) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(b"AT\nAT\r\n") == ERROR + OK


@pytest.mark.parametrize(("length", "answer"), [(256, JOINED), (257, ERROR), (5000, ERROR)])
def test_lines_are_limited_to_256_bytes(bench: Bench, length: int, answer: bytes) -> None:
    bench.say(b"ATE0\r\n")
    frame = b'AT+CWJAP="a","%b"\r\n'
    said = bench.say(frame % (b"p" * (length - len(frame) + 2)))
    if bench.wanted():
        said += bench.take(bench.modem.joined())
    assert said == answer
    assert bench.say(b"AT\r\n") == OK


def test_gmr_tells_the_version_and_rst_restarts(bench: Bench) -> None:
    bench.say(b"ATE0\r\n")
    version = b"AT version:3.3.0.0(simulator)\r\nSDK version:none\r\nBin version:v3.3.0.0\r\n"
    assert bench.say(b"AT+GMR\r\n") == version + OK
    assert bench.say(b"AT+RST\r\n") == OK + b"\r\nready\r\n"
    assert bench.say(b"AT\r\n") == b"AT\r\n" + OK


@pytest.mark.parametrize(
    ("name", "first", "good", "bad"),
    [
        (b"UART_CUR", b"115200,8,1,0,0", b"9600,7,3,2,3", b"9600,8,1,0"),
        (b"SLEEP", b"0", b"2", b"4"),
        (b"SYSSTORE", b"1", b"0", b"2"),
        (b"CWMODE", b"1", b"3", b"4"),
        (b"CIPMODE", b"0", b"1", b"2"),
        (b"CIPMUX", b"0", b"1", b"1,1"),
        (b"CIPDINFO", b"0", b"0", b"1"),
    ],
)
def test_settings_are_kept_and_shown(
    bench: Bench, name: bytes, first: bytes, good: bytes, bad: bytes
) -> None:
    bench.say(b"ATE0\r\n")
    query = b"AT+%b?\r\n" % name
    assert bench.say(query) == b"+%b:%b\r\n" % (name, first) + OK
    assert bench.say(b"AT+%b=%b\r\n" % (name, good)) == OK
    assert bench.say(b"AT+%b=%b\r\n" % (name, bad)) == ERROR
    assert bench.say(query) == b"+%b:%b\r\n" % (name, good) + OK


# Wi-Fi


def test_joining_reports_its_steps(bench: Bench) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(b"AT+CWJAP?\r\n") == b"No AP\r\n" + OK
    assert bench.say(b'AT+CWJAP="a\\,b","\\"\\\\"\r\n') == b""
    assert bench.wanted() == [Join("a,b", '"\\')]
    assert bench.take(bench.modem.joined()) == JOINED
    assert bench.say(b"AT+CWJAP?\r\n").startswith(b'+CWJAP:"a,b",')


@pytest.mark.parametrize(
    ("firmware", "word"), [(ESP_AT_3_3, b"ERROR"), (ESP_AT_2, b"ERROR"), (NONOS_1_7, b"FAIL")]
)
def test_joining_can_fail(make: MakeBench, firmware: Firmware, word: bytes) -> None:
    bench = make(firmware)
    bench.say(b'ATE0\r\nAT+CWJAP="a","b"\r\n')
    assert bench.take(bench.modem.joined(2)) == b"+CWJAP:2\r\n\r\n" + word + b"\r\n"
    assert bench.say(b'AT+CIPSTART="TCP","host",80\r\n') == b"no ip\r\n" + ERROR


def test_joining_needs_station_mode(bench: Bench) -> None:
    bench.say(b"ATE0\r\nAT+CWMODE=2\r\n")
    assert bench.say(b'AT+CWJAP="a","b"\r\n') == ERROR
    assert bench.wanted() == []


@pytest.mark.parametrize(
    ("leave", "answer"),
    [
        (b"AT+CWQAP", OK + b"0,CLOSED\r\nWIFI DISCONNECT\r\n"),
        (b"AT+CWMODE=0", b"0,CLOSED\r\nWIFI DISCONNECT\r\n" + OK),
        (b'AT+CWJAP="x","y"', b"0,CLOSED\r\nWIFI DISCONNECT\r\n"),
    ],
)
def test_leaving_the_network_closes_connections(online: Bench, leave: bytes, answer: bytes) -> None:
    online.connect()
    assert online.say(leave + b"\r\n") == answer
    assert online.wanted()[0] == Close(0)


def test_a_line_during_a_command_is_answered_busy_once(bench: Bench) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(b'AT+CWJAP="a","b"\r\nAT\r\nx') == b"\r\nbusy p...\r\n" * 2
    assert bench.say(b"yz\r\n") == b""
    assert bench.take(bench.modem.joined()) == JOINED
    assert bench.say(b"AT\r\n") == OK


@pytest.mark.parametrize(
    ("firmware", "commands", "kept"),
    [
        (ESP_AT_3_3, b'AT+CWJAP="a","b"', True),
        (ESP_AT_3_3, b'AT+SYSSTORE=0\r\nAT+CWJAP="a","b"', False),
        (ESP_AT_2, b'AT+SYSSTORE=0\r\nAT+CWMODE=1\r\nAT+CWJAP="a","b"', False),
        (NONOS_1_7, b'AT+SYSSTORE=0\r\nAT+CWJAP="a","b"', True),
        (NONOS_1_7, b'AT+CWMODE_CUR=1\r\nAT+CWJAP_CUR="a","b"', False),
    ],
)
def test_a_password_is_kept_in_flash_unless_the_board_says_otherwise(
    make: MakeBench, firmware: Firmware, commands: bytes, kept: bool
) -> None:
    bench = make(firmware)
    bench.say(b"ATE0\r\n" + commands + b"\r\n")
    assert bench.wanted() == [Join("a", "b")]
    bench.take(bench.modem.joined())
    bench.take(bench.modem.restart())
    assert bench.modem.flash == (("a", "b") if kept else None)


@pytest.mark.parametrize("line", [b"AT+CWMODE_CUR=1", b'AT+CWJAP_CUR="a","b"'])
def test_newer_firmware_has_no_commands_of_the_older(bench: Bench, line: bytes) -> None:
    bench.say(b"ATE0\r\n")
    assert bench.say(line + b"\r\n") == ERROR
    assert bench.wanted() == []


def test_an_access_point_that_goes_away_takes_every_connection(online: Bench) -> None:
    online.connect(0)
    online.connect(3)
    assert (
        online.take(online.modem.disconnected()) == b"0,CLOSED\r\n3,CLOSED\r\nWIFI DISCONNECT\r\n"
    )
    assert online.say(b'AT+CIPSTART=0,"TCP","host",80\r\n') == b"no ip\r\n" + ERROR


@pytest.mark.parametrize(
    ("under_way", "answer"),
    [
        (b'AT+CIPSTART=1,"TCP","host",80\r\n', ERROR),
        (b"AT+CIPSEND=0,1\r\nx", b"\r\nSEND FAIL\r\n"),
    ],
)
def test_what_waits_for_the_access_point_ends_with_it(
    online: Bench, under_way: bytes, answer: bytes
) -> None:
    online.connect(0)
    online.say(under_way)
    left = b"0,CLOSED\r\nWIFI DISCONNECT\r\n"
    assert online.take(online.modem.disconnected()) == answer + left
    assert Close(0) in online.wanted()
    assert online.take(online.modem.sent(True)) == b""
    assert online.say(b"AT\r\n") == OK


def test_joining_goes_on_without_the_access_point_before(bench: Bench) -> None:
    bench.say(b'ATE0\r\nAT+CWJAP="a","b"\r\n')
    assert bench.take(bench.modem.disconnected()) == b""
    assert bench.take(bench.modem.joined()) == JOINED


# Transparent mode


@pytest.fixture
def transparent(online: Bench) -> Bench:
    online.connect(multiple=False)
    assert online.say(b"AT+CIPMODE=1\r\nAT+CIPSEND\r\n") == OK + OK + b"\r\n>"
    return online


def test_transparent_mode_passes_everything_on(transparent: Bench) -> None:
    assert transparent.say(b"AT\r\n") == b""
    assert transparent.take(transparent.modem.quiet()) == b""
    assert transparent.wanted() == [Send(0, b"AT\r\n")]
    assert transparent.take(transparent.modem.sent(True)) == b""
    assert transparent.take(transparent.modem.received(0, b"\r\nOK\r\n")) == b"\r\nOK\r\n"


def test_transparent_mode_ends_by_three_signs_between_silences(transparent: Bench) -> None:
    for no_end in (b"++", b"++++", b"+++\r\n", b"AT+++"):
        transparent.say(no_end)
        transparent.take(transparent.modem.quiet())
        assert transparent.wanted() == [Send(0, no_end)]
    transparent.say(b"+++")
    assert transparent.take(transparent.modem.quiet()) == b""
    assert transparent.wanted() == []
    assert transparent.say(b"AT\r\n") == OK
    assert transparent.say(b"AT+CIPCLOSE\r\nAT+CIPMODE=0\r\n") == b"CLOSED\r\n" + OK + OK


def test_transparent_mode_outlives_its_connection(transparent: Bench) -> None:
    assert transparent.take(transparent.modem.closed(0)) == b""
    assert transparent.say(b"AT\r\n") == b""
    assert transparent.take(transparent.modem.quiet()) == b""
    assert transparent.wanted() == [Close(0)]


def test_transparent_mode_is_for_one_connection(bench: Bench) -> None:
    bench.say(b"ATE0\r\nAT+CIPMODE=1\r\n")
    assert bench.say(b"AT+CIPMUX=1\r\n") == ERROR
    assert bench.say(b"AT+CIPSEND\r\n") == ERROR
    assert bench.say(b"AT+CIPMODE=0\r\nAT+CIPMUX=1\r\nAT+CIPMODE=1\r\n") == OK + OK + ERROR


# Opening and closing


def test_connections_are_numbered_with_mux_only(online: Bench) -> None:
    online.connect(4)
    assert online.say(b"AT+CIPCLOSE=4\r\n") == b"4,CLOSED\r\n" + OK
    assert online.wanted() == [Close(4)]
    online.connect(multiple=False)
    assert online.say(b"AT+CIPCLOSE\r\n") == b"CLOSED\r\n" + OK
    assert online.wanted() == [Close(0)]


def test_mux_cannot_change_while_there_are_connections(online: Bench) -> None:
    online.connect()
    assert online.say(b"AT+CIPMUX=0\r\n") == b"link is builded\r\n" + ERROR
    assert online.say(b"AT+CIPMUX=1\r\n") == OK


def test_opening_fails_by_the_network_and_by_the_name(online: Bench) -> None:
    start = b'AT+CIPSTART=0,"TCP","host",80\r\n'
    online.say(b"AT+CIPMUX=1\r\n")
    online.say(start)
    assert online.take(online.modem.failed(0)) == ERROR + b"0,CLOSED\r\n"
    online.say(start)
    assert online.take(online.modem.failed(0, "DNS Fail")) == b"DNS Fail\r\n" + ERROR
    online.say(start)
    assert online.take(online.modem.closed(0)) == ERROR + b"0,CLOSED\r\n"
    online.wanted()
    online.connect()


def test_an_open_connection_is_not_opened_again(online: Bench) -> None:
    online.connect()
    again = online.say(b'AT+CIPSTART=0,"TCP","other",81\r\n')
    assert again == b"ALREADY CONNECTED\r\n" + ERROR
    assert online.wanted() == []


@pytest.mark.parametrize(
    "parameters",
    [
        b'"TCP","host",80',
        b'5,"TCP","host",80',
        b'0,"SSL","host",80',
        b'0,"TCP","host",0',
        b'0,"TCP","host",65536',
        b'0,"TCP","",80',
        b'0,"TCP","%b",80' % (b"h" * 65),
        b'0,"TCP","h\xc3\xb6st",80',
        b"0,TCP,host,80",
        b'0,"TCP","host",80,7201',
        b'0,"TCP","host",80,"60"',
    ],
)
def test_opening_with_wrong_parameters_is_refused(online: Bench, parameters: bytes) -> None:
    online.say(b"AT+CIPMUX=1\r\n")
    assert online.say(b"AT+CIPSTART=" + parameters + b"\r\n") == ERROR
    assert online.wanted() == []


def test_closing_what_is_not_open_is_an_error_and_five_means_all(online: Bench) -> None:
    online.connect(0)
    online.connect(2)
    assert online.say(b"AT+CIPCLOSE=1\r\n") == ERROR
    assert online.say(b"AT+CIPCLOSE\r\n") == ERROR
    assert online.say(b"AT+CIPCLOSE=5\r\n") == b"0,CLOSED\r\n2,CLOSED\r\n" + OK
    assert online.wanted() == [Close(0), Close(2)]


def test_state_shows_the_open_connections(online: Bench) -> None:
    assert online.say(b"AT+CIPSTATE?\r\n") == OK
    assert online.say(b"AT+CIPSTATUS\r\n") == b"STATUS:2\r\n" + OK
    online.connect(1, "UDP")
    where = b'1,"UDP","10.0.0.1",80,40000,0\r\n'
    assert online.say(b"AT+CIPSTATE?\r\n") == b"+CIPSTATE:" + where + OK
    assert online.say(b"AT+CIPSTATUS\r\n") == b"STATUS:3\r\n+CIPSTATUS:" + where + OK
    online.say(b"AT+CWQAP\r\n")
    assert online.say(b"AT+CIPSTATUS\r\n") == b"STATUS:5\r\n" + OK


def test_a_restart_forgets_everything(online: Bench) -> None:
    online.connect(0)
    online.connect(3)
    assert online.take(online.modem.restart()) == b"\r\nready\r\n"
    assert online.wanted() == [Close(0), Close(3)]
    online.say(b"ATE0\r\n")
    assert online.say(b"AT+CIPMUX?\r\n") == b"+CIPMUX:0\r\n" + OK
    assert online.say(b"AT+CIPSTATUS\r\n") == b"STATUS:5\r\n" + OK
