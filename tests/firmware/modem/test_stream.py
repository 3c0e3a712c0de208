from __future__ import annotations

import pytest

from esp_at_script import (
    AT,
    ERROR,
    HOSTILE,
    OK,
    PUSH,
    RESET,
    Make,
    read,
    refused,
    send,
    setup,
    start,
)

PAUSE = 10 * 24 * 3600 * 1000  # over half of a period of 2^30

# Sending


def test_data_are_sent_after_the_prompt(connected: Make) -> None:
    made = connected([*send(b"hello"), *send(HOSTILE)])
    made.send(b"hello")
    made.send(HOSTILE)


def test_much_data_are_sent_in_pieces(connected: Make) -> None:
    data = bytes(range(256)) * 20
    made = connected([*send(data[:2048]), *send(data[2048:4096]), *send(data[4096:])])
    made.send(data)


def test_data_are_not_repeated_for_a_busy_modem(connected: Make) -> None:
    data = (b"hi", b"busy s...\r\n", 800, b"SEND OK\r\n")
    made = connected([(b"AT+CIPSEND=0,2\r\n", OK + b"> "), data])
    made.send(b"hi")


def test_a_stray_result_before_a_command_is_no_answer_to_it(connected: Make) -> None:
    made = connected(send(b"hi"), 16)
    made.say(ERROR)
    made.send(b"hi")


def test_data_are_written_to_the_end_for_the_modem_waits_for_them(connected: Make) -> None:
    script = [(b"AT+CIPSEND=0,9\r\n", OK + b"> "), (b"abc", ERROR), (b"defghi", b"")]
    made = connected(script, 256, 3)
    with refused("SendFailed"):
        made.send(b"abcdefghi")


def test_what_was_announced_while_sending_is_kept(connected: Make) -> None:
    script = [*send(b"ping", before=b"+IPD,0,4\r\n", after=b"0,CLOSED\r\n")]
    made = connected([*script, read(2048, b"pong"), read(2048, b"")])
    made.send(b"ping")
    assert made.receive_all() == [b"pong", "ModemClosed"]


def test_data_pushed_while_sending_are_kept(connected: Make) -> None:
    push = b"\r\n+IPD,0,%d:" % len(HOSTILE) + HOSTILE
    script = send(b"ping", before=push, after=push)
    script[0] = (script[0][0], script[0][1] + push)
    made = connected(script, mode=PUSH)
    made.send(b"ping")
    assert made.receive(500) == HOSTILE * 3
    assert made.receive(500) == b""


def test_sending_on_a_connection_that_the_modem_lost_ends_it(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,2\r\n", b"link is not valid\r\n" + ERROR)])
    with refused("ModemClosed", "gone"):
        made.send(b"hi")
    assert not made.connected()


@pytest.mark.parametrize("answer", [b"Recv 2 bytes\r\nSEND FAIL\r\n", ERROR])
def test_a_failed_send_ends_the_connection_only(connected: Make, answer: bytes) -> None:
    close = (b"AT+CIPCLOSE=0\r\n", OK)
    made = connected([(b"AT+CIPSEND=0,2\r\n", OK + b"> "), (b"hi", answer), close, start(1)])
    with refused("SendFailed", "did not send"):
        made.send(b"hi")
    with refused("SendFailed"):
        made.send(b"again")
    made.close()
    assert made.connect() == 1


def test_a_send_without_time_left_touches_nothing(connected: Make) -> None:
    made = connected([])
    with refused("SendFailed", "in time"):
        made.send(b"hi", 0)
    assert not made.connected()


def test_after_a_lost_byte_the_modem_is_reset_and_rebuilt(connected: Make) -> None:
    # The modem waits for one more byte; the first AT of the recovery gives it one.
    made = connected([(b"AT+CIPSEND=0,5\r\n", OK + b"> "), (b"hello", b"")])
    with refused("SendFailed", "did not answer"):
        made.send(b"hello")
    assert not made.connected()
    with refused("SendFailed"):
        made.receive(8)
    swallowed = (b"AT\r\n", b"Recv 5 bytes\r\n\r\nSEND OK\r\n" + ERROR)
    made.then([swallowed, AT, RESET, AT, *setup(), start(1), *send(b"again", 1)])
    assert made.connect() == 1
    made.send(b"again")


def test_a_missing_prompt_leads_to_a_reset_too(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,5\r\n", OK)])
    with refused("SendFailed", "AT+CIPSEND"):
        made.send(b"hello")
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


# Receiving


def test_a_connection_with_nothing_to_receive_gives_nothing_in_time(connected: Make) -> None:
    made = connected([])
    before = made.clock()
    assert made.receive(8, 300) == b""
    assert made.clock() - before == 300


def test_no_more_is_asked_for_than_fits(connected: Make) -> None:
    data = bytes(range(250))
    script = [
        read(100, data[:100]),
        read(100, data[100:200]),
        read(100, data[200:]),
        read(100, b""),
    ]
    made = connected(script, options={"buffer_size": 100})
    made.say(b"+IPD,0,250\r\n")
    assert b"".join(made.receive(60) for _ in range(5)) == data
    assert made.receive(60) == b""


def test_a_short_answer_is_not_the_end(connected: Make) -> None:
    script = [
        read(2048, b"ab"),
        read(2048, b"c", after=b"+IPD,0,1\r\n"),
        read(2048, b"d"),
        read(2048, b""),
    ]
    made = connected(script)
    made.say(b"+IPD,0,9\r\n")
    assert [made.receive(8) for _ in range(4)] == [b"ab", b"c", b"d", b""]


def test_older_firmware_gives_its_data_after_a_colon(connected: Make) -> None:
    made = connected([(b"AT+CIPRECVDATA=0,2048\r\n", b"+CIPRECVDATA,2:hi" + OK), read(2048, b"")])
    made.say(b"+IPD,0,2\r\n")
    assert [made.receive(8), made.receive(8)] == [b"hi", b""]


def test_data_are_asked_for_now_and_then_for_an_announcement_may_be_lost(connected: Make) -> None:
    made = connected([read(2048, b"hi")])
    made.say(b"+IPD0,2\r\n")
    assert made.receive(8, 3000) == b"hi"
    assert made.clock() < 1500


def test_an_answer_without_data_is_not_asked_for_again(connected: Make) -> None:
    made = connected([(b"AT+CIPRECVDATA=0,2048\r\n", OK)])
    made.say(b"+IPD,0,2\r\n")
    assert made.receive(8) == b""


def test_a_peer_that_closed_is_noticed_when_everything_was_read(connected: Make) -> None:
    made = connected([read(2048, HOSTILE), read(2048, b"", after=b"0,CLOSED\r\n"), read(2048, b"")])
    made.say(b"+IPD,0,%d\r\n" % len(HOSTILE))
    assert made.receive_all(7) == [HOSTILE, "ModemClosed"]
    assert not made.connected()
    with refused("ModemClosed", "server closed"):
        made.send(b"hi")
    made.close()


def test_pushed_data_before_a_close_are_given_first(connected: Make) -> None:
    made = connected([], mode=PUSH)
    made.say(b"+IPD,0,2:hi\r\n+IPD,0,3:you0,CLOSED\r\n")
    assert made.receive_all() == [b"hiyou", "ModemClosed"]


def test_pushed_data_go_to_their_connection(bench: Make) -> None:
    made = bench([AT, *setup(*PUSH), start(), start(1)])
    assert [made.connect(), made.connect()] == [0, 1]
    made.say(b"+IPD,0,2:ab\r\n+IPD,1,2:cd\r\n+IPD,3,2:ef\r\n+IPD,77,2:gh\r\n9,CLOSED\r\n")
    assert made.receive(8) == b"cd"
    made.select(0)
    assert made.receive(8) == b"ab"


def test_the_receive_buffer_is_used_round_and_round(connected: Make) -> None:
    made = connected([], mode=PUSH, options={"buffer_size": 10})
    for turn in range(20):
        made.say(b"+IPD,0,6:%06d\r\n" % turn)
        assert made.receive(4) == (b"%06d" % turn)[:4]
        made.say(b"+IPD,0,8:abcdefgh\r\n")
        assert made.receive(3) + made.receive(16) == (b"%06d" % turn)[4:] + b"abcdefgh"


def test_more_pushed_data_than_fit_end_the_connection(connected: Make) -> None:
    made = connected([], mode=PUSH, options={"buffer_size": 10})
    made.say(b"+IPD,0,11:abcdefghijk\r\n")
    with refused("ModemClosed", "10 bytes", "buffer_size"):
        made.receive(8)


def test_data_that_were_not_asked_for_are_a_reason_to_reset(connected: Make) -> None:
    made = connected([])
    made.say(b"+CIPRECVDATA:9000,OK\r\n")
    with refused("ModemError", "not asked for", "+CIPRECVDATA:9000"):
        made.receive(8)
    made.then([AT, RESET, AT, *setup(), start(1)])
    assert made.connect() == 1


def test_data_that_come_after_their_command_are_a_reason_to_reset(connected: Make) -> None:
    made = connected([read(2048, b"hi"), read(2048, b"")])
    made.say(b"+IPD,0,2\r\n")
    assert [made.receive(8), made.receive(8)] == [b"hi", b""]
    made.say(b"+CIPRECVDATA:2,hi\r\n")
    with refused("ModemError", "not asked for"):
        made.receive(8)


# Time


@pytest.mark.parametrize("delay", [0, 1, 30])
def test_a_modem_that_announces_data_after_each_empty_read_holds_nobody(
    connected: Make, delay: int
) -> None:
    made = connected([])
    made.repeat(b"AT+CIPRECVDATA=0,", delay, ERROR + b"+IPD,0,1\r\n")
    made.say(b"+IPD,0,1\r\n")
    for timeout in (0, 1, 1000):
        before, asked = made.clock(), made.answered()
        assert made.receive(8, timeout) == b""
        # When time is up there is one more look, and each takes a step of a millisecond at least.
        took = made.clock() - before
        assert timeout <= took <= timeout + delay + 5
        assert 0 < made.answered() - asked <= took


def test_noise_without_end_holds_nobody(connected: Make) -> None:
    made = connected([])
    made.say(b"\xee+\n" * 200_000)
    before = made.clock()
    assert made.receive(8, 300) == b""
    assert made.clock() - before <= 300 + 20


def test_what_came_during_a_pause_is_looked_at_before_the_time(connected: Make) -> None:
    """Also when the UART's buffer holds other things before it."""
    made = connected([read(2048, b"hi")])
    made.start("wait", 1, 1000)
    made.wait(PAUSE)
    made.say(b"noise\r\n" * 300 + b"+IPD,0,2\r\n")
    while made.go_on():
        made.wait(1)
    assert made.left() == [None, []]
    assert made.receive(8, 0) == b"hi"


def test_the_answer_to_a_command_that_was_left_counts(connected: Make) -> None:
    """Also when the UART's buffer holds other things before it."""
    made = connected([(b"AT+CIPRECVDATA=0,2048\r\n", b"")])
    made.say(b"+IPD,0,2\r\n")
    made.start("wait", 1, 1000)
    made.wait(PAUSE)
    made.say(b"noise\r\n" * 300 + b"+CIPRECVDATA:2,hi" + OK)
    while made.go_on():
        made.wait(1)
    assert made.receive(8, 0) == b"hi"


def test_a_connection_whose_closing_was_dropped_is_closed_by_the_next(connected: Make) -> None:
    """It had waited for others, who use the modem."""
    made = connected([start(1), (b"AT+CIPRECVDATA=1,2048\r\n", b"", 20, ERROR)])
    made.connect()
    made.say(b"+IPD,1,2\r\n")
    made.start("wait", 1, 10)
    made.forget()
    made.select(0)
    made.start("close")
    made.cancel()
    made.pick_up()
    while made.go_on():
        made.wait(1)
    made.then([(b"AT+CIPCLOSE=0\r\n", b"0,CLOSED\r\n" + OK), start(2)])
    assert made.connect() == 2
    assert made.buffers() == 2


def test_a_connection_is_asked_for_data_at_once_after_a_long_pause(connected: Make) -> None:
    made = connected([read(2048, b"hi")])
    made.wait(PAUSE)
    assert made.receive(8, 500) == b"hi"


def test_a_time_that_was_set_before_a_long_pause_is_over(connected: Make) -> None:
    made = connected([], mode=PUSH)
    made.set_timer(50)
    made.wait(PAUSE)
    assert made.readinto(4) == [-110, b""]


def test_half_a_message_is_the_end_of_a_connection(connected: Make) -> None:
    """Its other half waits for others, who use the modem, and never comes."""
    made = connected([start(1), *send(b"x" * 2048)])
    made.connect()
    made.select(0)
    made.start("send", b"x" * 3000)
    while made.left()[1]:
        made.wait(1)
        assert made.go_on()
    made.cancel()
    assert not made.connected()
    with refused("ModemClosed", "abandoned"):
        made.receive(8)


# MicroPython's stream protocol


def test_the_stream_protocol_gives_data_then_nothing_yet_then_closed(connected: Make) -> None:
    made = connected([read(2048, b"hello"), read(2048, b""), read(2048, b"")])
    assert made.readinto(4) == [None, b""]
    made.say(b"+IPD,0,5\r\n")
    assert made.readinto(4) == [4, b"hell"]
    assert made.readinto(4) == [1, b"o"]
    assert made.readinto(4) == [None, b""]
    made.say(b"0,CLOSED\r\n")
    assert made.readinto(4) == [-104, b""]
    assert made.write(b"x") == -104


def test_a_refused_write_drops_nothing_that_was_received(connected: Make) -> None:
    made = connected([], mode=PUSH)
    made.say(b"+IPD,0,2:hi\r\n0,CLOSED\r\n")
    assert made.readinto(1) == [1, b"h"]
    assert made.write(b"x") == -104
    assert made.readinto(4) == [1, b"i"]
    assert made.readinto(4) == [-104, b""]


def test_the_stream_protocol_keeps_to_its_time(connected: Make) -> None:
    made = connected([], mode=PUSH)
    made.set_timer(50)
    assert made.readinto(4) == [None, b""]
    made.wait(50)
    made.say(b"+IPD,0,2:hi\r\n")
    assert made.readinto(4) == [2, b"hi"]
    assert made.readinto(4) == [-110, b""]
    assert made.write(b"x") == -110


def test_the_stream_protocol_writes_a_piece_at_a_time(connected: Make) -> None:
    made = connected(send(b"x" * 2048))
    assert made.write(b"x" * 3000) == 2048
    assert made.write(b"") == 0


def test_the_stream_protocol_never_raises(connected: Make) -> None:
    made = connected([(b"AT+CIPSEND=0,1\r\n", OK + b"> "), (b"x", b"SEND FAIL\r\n")])
    assert made.write(b"x") == -104
    assert made.readinto(4) == [-104, b""]
    broken = connected([])
    broken.say(b"ready\r\n")
    assert broken.readinto(4) == [-104, b""]


def test_the_stream_can_be_polled(connected: Make) -> None:
    made = connected([read(2048, b"hi"), read(2048, b"")])
    assert made.ioctl(3, 5) == 4
    made.say(b"+IPD,0,2\r\n")
    assert made.ioctl(3, 5) == 5
    assert made.ioctl(3, 4) == 4
    assert made.readinto(4) == [2, b"hi"]
    assert made.readinto(4) == [None, b""]
    assert made.ioctl(3, 1) == 0
    made.say(b"WIFI DISCONNECT\r\n")
    assert made.ioctl(3, 1) == 1
    assert made.ioctl(77, 0) == -22


def test_a_finalised_stream_is_closed_by_the_next_connect(connected: Make) -> None:
    made = connected([])
    assert made.ioctl(4, 0) == 0
    made.then([(b"AT+CIPCLOSE=0\r\n", b"0,CLOSED\r\n" + OK), start(1)])
    assert made.connect() == 1
    assert made.connected()
    assert made.buffers() == 1
