from __future__ import annotations

from typing import Any

import pytest

from device import DeviceError, Interpreter
from esp_at_script import (
    AT,
    BEGUN,
    ERROR,
    ESCAPE,
    HOSTILE,
    OK,
    PADDING,
    PUSH,
    RESET,
    SILENT_AT,
    STUCK,
    Make,
    read,
    refused,
    send,
    setup,
    start,
)

# Opening


def test_an_unknown_dialect_is_refused_with_those_that_exist(device: Interpreter) -> None:
    with pytest.raises(ValueError, match="'sim7600': there is esp_at"):
        device.call("birthkey.modem:open", None, "sim7600")


def test_an_unknown_option_is_refused_with_those_that_exist(device: Interpreter) -> None:
    with pytest.raises(TypeError, match=r"'apn'.*buffer_size, ssid, password, keep_alive_s"):
        device.call("modem.scripted:Bench", [], {"apn": "internet"})


def test_opening_says_nothing_to_the_modem(bench: Make) -> None:
    bench([])


@pytest.mark.parametrize(
    "options",
    [
        {"ssid": "x" * 33},
        {"ssid": "a\rb"},
        {"ssid": "a", "password": "x\n"},
        {"ssid": "\x00"},
        {"ssid": "\x7f"},
        {"ssid": 5},
        {"ssid": "a", "password": None},
    ],
)
def test_credentials_that_could_end_a_command_are_refused(
    device: Interpreter, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="no control characters"):
        device.call("modem.scripted:Bench", [], options)


@pytest.mark.parametrize(
    "host", ["", "x" * 254, 'a"b', "a\r\nAT+RST", "a\\b", "a,b", "a b", "é.org", "a\x00"]
)
def test_a_host_that_is_more_than_a_name_is_refused(bench: Make, host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        bench([]).connect(host, 7000)


@pytest.mark.parametrize("port", [0, 65536, -1, "1", None])
def test_a_port_outside_its_range_is_refused(bench: Make, port: Any) -> None:
    with pytest.raises(ValueError, match="port"):
        bench([]).connect("example.org", port)


def test_an_unknown_protocol_is_refused_with_those_that_exist(bench: Make) -> None:
    with pytest.raises(ValueError, match="TCP, UDP"):
        bench([]).connect("example.org", 7000, "SSL")


@pytest.mark.parametrize("seconds", [-1, 7201, "60", None])
def test_a_keep_alive_outside_its_range_is_refused(device: Interpreter, seconds: Any) -> None:
    with pytest.raises(ValueError, match="keep_alive_s must be 0 to 7200"):
        device.call("birthkey.modem.dialects.esp_at:Dialect", None, "", seconds)


# Bringing up


def test_a_modem_is_brought_up_once(bench: Make) -> None:
    udp = (b'AT+CIPSTART=1,"UDP","10.0.0.1",9\r\n', b"1,CONNECT\r\n" + OK)
    made = bench([AT, *setup(), start(), udp])
    assert made.connect() == 0
    assert made.connect("10.0.0.1", 9, "UDP") == 1


def test_a_connection_is_kept_alive_as_often_as_is_wanted(bench: Make) -> None:
    command, answer = start()
    often = (command.replace(b"120", b"30"), answer)
    assert bench([AT, *setup(), often], {"keep_alive_s": 30}).connect() == 0


def test_everything_works_with_a_uart_that_takes_and_gives_single_bytes(bench: Make) -> None:
    script = [AT, *setup(), start(), *send(b"hello"), read(2048, HOSTILE), read(2048, b"")]
    made = bench(script, None, 1, 1)
    made.connect()
    made.send(b"hello")
    made.say(b"+IPD,0,5\r\n")
    assert made.receive(256) == HOSTILE
    assert made.receive(256) == b""


def test_the_network_is_joined_with_escaped_credentials(bench: Make) -> None:
    command = 'AT+CWJAP="my\\, \\"wi\\\\fi\\" é","p\\,w"\r\n'.encode()
    join = [(command, b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK)]
    made = bench([AT, *setup(join=join), start()], {"ssid": 'my, "wi\\fi" é', "password": "p,w"})
    assert made.connect() == 0
    assert made.connected()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"+CWJAP:1\r\n\r\nERROR\r\n", "timed out"),
        (b"+CWJAP:2\r\n\r\nERROR\r\n", "wrong password"),
        (b"+CWJAP:3\r\n\r\nFAIL\r\n", "no access point"),
        (b"+CWJAP:4\r\n\r\nERROR\r\n", "connection failed"),
        (b"ERROR\r\n", "no reason"),
    ],
)
def test_a_refused_network_says_why(bench: Make, answer: bytes, words: str) -> None:
    join = [(b'AT+CWJAP="home","secret"\r\n', answer)]
    made = bench([AT, *BEGUN, *join], {"ssid": "home", "password": "secret"})
    with refused("NetworkRefused", "home", words):
        made.connect()


def test_a_password_is_in_no_error(bench: Make) -> None:
    join = [(b'AT+CWJAP="home","secret"\r\n', b"")]
    made = bench([AT, *BEGUN, *join], {"ssid": "home", "password": "secret"})
    with pytest.raises(DeviceError, match="NetworkRefused") as caught:
        made.connect()
    assert "CWJAP" in caught.value.text
    assert "secret" not in caught.value.text


def test_newer_firmware_is_asked_for_passive_receiving_by_its_own_command(bench: Make) -> None:
    mode = ((b"AT+CIPRECVMODE=1\r\n", ERROR), (b"AT+CIPRECVTYPE=5,1\r\n", OK))
    made = bench([AT, *setup(*mode), start(), read(2048, b"hi"), read(2048, b"")])
    made.connect()
    made.say(b"+IPD,0,2\r\n")
    assert made.receive(8) == b"hi"
    assert made.receive(8) == b""


def test_older_firmware_keeps_no_password_by_commands_of_its_own(bench: Make) -> None:
    script = [
        *BEGUN[:4],
        (b"AT+SYSSTORE=0\r\n", ERROR),
        (b"AT+CWMODE_CUR=1\r\n", OK),
        (b'AT+CWJAP_CUR="home","secret"\r\n', b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK),
        *setup()[len(BEGUN) :],
    ]
    made = bench([AT, *script, start()], {"ssid": "home", "password": "secret"})
    assert made.connect() == 0


@pytest.mark.parametrize("word", [b"+CWJAP:2", b"+CWJAP_CUR:2"])
def test_older_firmware_says_why_it_refuses_a_network(bench: Make, word: bytes) -> None:
    script = [
        *BEGUN[:4],
        (b"AT+SYSSTORE=0\r\n", ERROR),
        (b"AT+CWMODE_CUR=1\r\n", OK),
        (b'AT+CWJAP_CUR="home","secret"\r\n', word + b"\r\n\r\nFAIL\r\n"),
    ]
    made = bench([AT, *script], {"ssid": "home", "password": "secret"})
    with refused("NetworkRefused", "home", "wrong password"):
        made.connect()


def test_a_modem_that_boots_is_waited_for(bench: Make) -> None:
    made = bench(
        [SILENT_AT, SILENT_AT, (b"AT\r\n", b"\xff\x80\r\nready\r\n" + OK), *setup(), start()]
    )
    assert made.connect() == 0


def test_late_answers_to_early_attempts_are_not_taken_for_others(bench: Make) -> None:
    # Taken for an answer to ATE0, the last OK would shift all others, up to this refusal.
    slow = [(command, b"", 10, answer) for command, answer in [*setup(), (start()[0], ERROR)]]
    made = bench([SILENT_AT, (b"AT\r\n", OK * 2, 5, OK), *slow])
    with refused("ServerUnreachable"):
        made.connect()


def test_a_modem_that_waits_for_the_rest_of_a_frame_is_fed(bench: Make) -> None:
    full = (PADDING[0], b"\r\nRecv 900 bytes\r\nSEND OK\r\nbusy p...\r\n")
    script = [SILENT_AT, SILENT_AT, SILENT_AT, ESCAPE, PADDING, SILENT_AT, full, AT]
    assert bench([*script, *setup(), start()]).connect() == 0


def test_a_refused_setup_is_tried_again_after_a_reset(bench: Make) -> None:
    assert bench([AT, *STUCK, RESET, AT, *setup(), start()]).connect() == 0


def test_a_setup_that_is_refused_again_is_an_error(bench: Make) -> None:
    made = bench([AT, *STUCK, RESET, AT, *STUCK])
    with refused("ModemError", "AT+CIPMUX=1", "dialect"):
        made.connect()


ATTEMPTS = [PADDING if attempt in (3, 5, 7, 9) else SILENT_AT for attempt in range(12)]
ATTEMPTS.insert(3, ESCAPE)


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (b"", ("No modem answers", "power", "RX and TX", "baud")),
        (b"\x80\xfe\x00\xf8\x1c\n\xe0", ("baud rate looks wrong",)),
        (b"ready\r\n", ("talks but takes no command", "RX")),
    ],
)
def test_a_modem_that_does_not_answer_is_diagnosed(
    bench: Make, heard: bytes, words: tuple[str, ...]
) -> None:
    made = bench([(ATTEMPTS[0][0], heard), *ATTEMPTS[1:]])
    with refused("NoAnswer", *words):
        made.connect()
    assert 7000 <= made.clock() < 7500


def test_a_modem_in_transparent_mode_is_brought_out_of_it(bench: Make) -> None:
    """Three signs after silence, and silence for a second."""
    passed_on = [(b"AT\r\n", b"HTTP/1.1 400 Bad Request\r\n"), SILENT_AT, SILENT_AT, ESCAPE]
    one_link = [
        *BEGUN,
        (b"AT+CIPMUX=1\r\n", b"link is builded\r\n" + ERROR),
        (b"AT+CIPCLOSE\r\n", b"CLOSED\r\n" + OK),
    ]
    made = bench([*passed_on, (PADDING[0], ERROR), AT, *one_link, *setup()[len(BEGUN) :], start()])
    assert made.connect() == 0
    assert made.clock() >= 3 * 500 + 1000


def test_transparent_mode_that_does_not_end_is_told(bench: Make) -> None:
    made = bench([(ATTEMPTS[0][0], b"HTTP/1.1 400 Bad Request\r\n"), *ATTEMPTS[1:]])
    with refused("NoAnswer", "transparent mode", "baud rate"):
        made.connect()


def test_a_modem_that_is_always_busy_is_no_broken_wire(bench: Make) -> None:
    busy = b"busy p...\r\n"
    made = bench([(line, busy) for line, _ in ATTEMPTS])
    with pytest.raises(DeviceError, match="busy with an earlier command") as caught:
        made.connect()
    assert "RX" not in caught.value.text


def test_noise_from_a_flooding_modem_ends_by_the_deadline(bench: Make) -> None:
    made = bench([(ATTEMPTS[0][0], b"\xee" * 100_000), *ATTEMPTS[1:]], None, 8)
    with refused("NoAnswer", "baud rate looks wrong"):
        made.connect()
    made.say(b"")


def test_an_unreachable_server_is_named_with_what_the_modem_said(bench: Make) -> None:
    answer = b"DNS Fail\x07\xff\r\n" + ERROR + b"0,CLOSED\r\n"
    made = bench([AT, *setup(), (start()[0], answer), AT, *setup(), start(1)])
    with refused("ServerUnreachable", "example.org", "7000", "DNS Fail??"):
        made.connect()
    assert made.connect() == 1
    assert made.connected()


def test_a_network_that_is_gone_is_not_the_servers_fault(bench: Make) -> None:
    """Nor does anything else tell the board of it, when the modem's word was lost."""
    join = [(b'AT+CWJAP="home","secret"\r\n', b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK)]
    options = {"ssid": "home", "password": "secret"}
    lost = (start()[0], b"no ip\r\n" + ERROR)
    made = bench([AT, *setup(join=join), lost, AT, *setup(join=join), start(1)], options)
    with pytest.raises(DeviceError, match=r"NetworkRefused: .*no ip") as caught:
        made.connect()
    assert "server" not in caught.value.text
    assert made.connect() == 1
    assert made.buffers() == 1


def test_a_modem_that_restarted_unheard_is_set_up_anew(connected: Make) -> None:
    """It is in single mode, and refuses every numbered connection."""
    made = connected([start(1), (start(2)[0], ERROR)])
    assert made.connect() == 1
    with refused("ServerUnreachable"):
        made.connect()
    made.then([AT, *setup(), start(3)])
    assert made.connect() == 3
    # The connections that it forgot are over too.
    for link in (0, 1):
        made.select(link)
        assert not made.connected()
    assert made.buffers() == 3


@pytest.mark.parametrize("answer", [b"", b"0,CONNECT\r\n"])
def test_a_server_that_never_answers_is_unreachable(bench: Make, answer: bytes) -> None:
    made = bench([AT, *setup(), (start()[0], answer)])
    with refused("ServerUnreachable", "AT+CIPSTART", "30000 ms"):
        made.connect()
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


def test_busy_means_to_wait_and_not_to_repeat_while_the_command_runs(bench: Make) -> None:
    made = bench([AT, *setup(), (start()[0], b"busy p...\r\n", 400, start()[1])])
    assert made.connect() == 0


def test_a_command_that_the_modem_was_too_busy_for_is_repeated(bench: Make) -> None:
    made = bench([AT, *setup(), (start()[0], b"busy p...\r\n"), start()])
    assert made.connect() == 0


def test_of_a_long_answer_a_little_is_kept(bench: Make) -> None:
    made = bench([AT, *setup(), (start()[0], (b"DNS Fail" + b"!" * 100 + b"\r\n") * 100 + ERROR)])
    with pytest.raises(DeviceError, match="DNS Fail") as caught:
        made.connect()
    assert len(caught.value.text) < 600


def test_connections_beyond_what_the_modem_can_hold_are_refused(bench: Make) -> None:
    made = bench([AT, *setup(), *[start(link) for link in range(5)]])
    assert [made.connect() for _ in range(5)] == [0, 1, 2, 3, 4]
    with refused("ModemError", "All 5 connections"):
        made.connect()


# Losing the modem or the network


def test_data_cut_off_by_a_restart_swallow_nothing_of_the_recovery(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,2\r\n", OK + b"> ")], mode=PUSH)
    made.say(b"+IPD,0,900:abc")
    with refused("SendFailed"):
        made.send(b"hi")
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


def test_received_data_are_dropped_with_the_modem_that_lost_them(connected: Make) -> None:
    made = connected([], mode=PUSH)
    made.say(b"+IPD,0,4:halfready\r\n")
    with refused("ModemReset"):
        made.receive(8)


@pytest.mark.parametrize("moment", ["receiving", "sending", "reading"])
def test_a_modem_that_restarts_is_rebuilt(connected: Make, moment: str) -> None:
    made = connected([])
    ready = b"\x00\xff\r\nready\r\n"
    with refused("ModemReset", "power supply"):
        if moment == "receiving":
            made.say(ready)
            made.receive(8)
        elif moment == "sending":
            made.then([(b"AT+CIPSEND=0,2\r\n", OK + b"> " + ready)])
            made.send(b"hi")
        else:
            made.then([(b"AT+CIPRECVDATA=0,2048\r\n", b"+CIPREC" + b"\r\n" + ready)])
            made.say(b"+IPD,0,2\r\n")
            made.receive(8)
    assert not made.connected()
    made.then([AT, *setup(), start(1)])
    assert made.connect() == 1


def test_a_modem_that_restarts_while_it_is_set_up_is_an_error(bench: Make) -> None:
    made = bench([AT, (b"ATE0\r\n", b"\r\nready\r\n")])
    with refused("ModemReset", "power supply"):
        made.connect()


def test_a_lost_network_ends_every_connection_and_is_joined_again(connected: Make) -> None:
    made = connected([start(1)])
    made.connect()
    made.say(b"WIFI DISCONNECT\r\n")
    with refused("ModemClosed", "lost its network"):
        made.receive(8)
    made.select(0)
    assert not made.connected()
    made.then([AT, *setup(), start(2)])
    assert made.connect() == 2
    assert made.buffers() == 2


def test_a_late_code_about_an_old_connection_does_not_hit_the_new_one(connected: Make) -> None:
    made = connected([(b"AT+CIPCLOSE=0\r\n", OK), start(1)])
    made.close()
    assert made.connect() == 1
    made.say(b"0,CLOSED\r\n")
    assert made.receive(8) == b""
    assert made.connected()


def test_closing_never_raises_and_buffers_are_used_again(connected: Make) -> None:
    made = connected([(b"AT+CIPCLOSE=0\r\n", ERROR)])
    made.close()
    made.close()
    with refused("ModemClosed", "closed here"):
        made.receive(8)
    made.then([start(1), (b"AT+CIPCLOSE=1\r\n", b"")])
    made.connect()
    made.close()
    made.then([AT, RESET, AT, *setup(), start(2)])
    made.connect()
    assert made.buffers() == 1


# Several users


def test_a_send_waits_for_the_command_before_it(connected: Make) -> None:
    made = connected([(b"AT+CIPRECVDATA=0,2048\r\n", b"")])
    made.say(b"+IPD,0,2\r\n")
    made.start("receive", bytes(8), 1000)
    assert made.write(b"no") is None
    made.say(b"+IPD,0,2\r\n0,CLOSED\r\n")
    assert made.readinto(8) == [None, b""]
    made.cancel()
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


def test_a_command_given_up_half_way_leads_to_a_reset(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,5\r\n", OK)])
    made.start("send", b"hello")
    made.cancel()
    with refused("ModemClosed", "abandoned"):
        made.receive(8)
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


def test_the_prompt_of_a_send_given_up_is_no_answer_to_the_next_command(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,5\r\n", b"", 5, OK + b"\r\n> ")])
    made.start("send", b"hello")
    made.cancel()
    made.wait(10)
    made.then([SILENT_AT, AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


DAY = 24 * 3600 * 1000


@pytest.mark.parametrize("pause", [0, 59_000, 2**19 + 7, 10 * DAY, 11 * DAY, 12.4 * DAY, 13 * DAY])
def test_a_forgotten_command_does_not_block_the_modem_for_ever(
    connected: Make, pause: float
) -> None:
    made = connected([(b"AT+CIPSEND=0,5\r\n", OK)])
    made.start("send", b"hello")
    made.forget()
    made.wait(int(pause))
    made.then([AT, RESET, AT, *setup(), start(1)])
    before = made.clock()
    assert made.connect() == 1
    assert made.clock() - before < 61_000


def test_who_waits_gives_nobody_up_who_goes_on(bench: Make) -> None:
    """Not after a minute and more: a slow modem joins a slow network."""
    join = [(b'AT+CWJAP="home","secret"\r\n', b"", 29_000, b"WIFI GOT IP\r\n" + OK)]
    slow = (start()[0], b"", 29_000, start()[1])
    script = [*ATTEMPTS[:-1], AT, *setup(join=join), slow]
    made = bench(script, {"ssid": "home", "password": "secret"})
    made.start("connect", "example.org", 7000)
    assert made.watch(10)
    assert made.clock() > 62_000
    assert not made.busy()
    assert made.buffers() == 1


def test_a_forgotten_command_does_not_block_those_that_only_look(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,5\r\n", OK)])
    made.start("send", b"hello")
    made.forget()
    for _ in range(59):
        assert made.write(b"x") is None
        made.wait(1000)
    made.wait(2000)
    assert made.write(b"x") == -104
    assert not made.busy()


def test_steps_forgotten_while_the_modem_wakes_leave_no_trace(bench: Make) -> None:
    made = bench([AT, AT, *setup(), start()])
    made.start("connect", "example.org", 7000)
    for _ in range(10):  # AT was answered: it is quiet that is waited for
        made.wait(1)
        assert made.go_on()
    made.forget()
    assert made.connect() == 0


def test_memory_that_runs_out_while_the_modem_is_heard_ends_connections(connected: Make) -> None:
    """For what was lost may have been data of theirs."""
    made = connected([], mode=PUSH)
    made.starve()
    made.say(b"+IPD,0,2:hi\r\n")
    with refused("ModemError", "Memory ran out"):
        made.receive(8)
    assert not made.connected()
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


@pytest.mark.parametrize("runner", ["run", "arun"])
def test_the_steps_run_synchronously_and_in_asyncio(device: Interpreter, runner: str) -> None:
    script = [AT, *setup(), start(), *send(b"ping", after=b"+IPD,0,4\r\n"), read(2048, b"pong")]
    assert device.call("modem.scripted:converse", runner, script, b"ping") == b"pong"
