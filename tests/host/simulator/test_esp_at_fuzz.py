"""The modem's protocol under arbitrary input."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from birthkey_host.simulator.actions import Action, Join, Open, Output, Send
from birthkey_host.simulator.esp_at import Interpreter

FRAGMENTS = [
    b"AT",
    b"\r\n",
    b"\n",
    b"ATE0\r\n",
    b"AT+RST\r\n",
    b"AT+CIPMUX=1\r\n",
    b'AT+CWJAP="a","b"\r\n',
    b'AT+CIPSTART=0,"TCP","h",1\r\n',
    b'AT+CIPSTART="UDP","h",1\r\n',
    b"AT+CIPSEND=0,5\r\n",
    b"AT+CIPSEND=7\r\n",
    b"AT+CIPMODE=1\r\n",
    b"AT+CIPSEND\r\n",
    b"+++",
    b"AT+CIPCLOSE=5\r\n",
    b"AT+CIPRECVTYPE=1,1\r\n",
    b"AT+CIPRECVTYPE=5,1\r\n",
    b"AT+CIPRECVTYPE=0\r\n",
    b"AT+CIPRECVDATA=0,3\r\n",
    b"AT+CIPRECVDATA=3\r\n",
    b"AT+CIPRECVLEN?\r\n",
    b"AT+CIPSTATUS\r\n",
    b"AT+CWQAP\r\n",
]
PIECES = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=20)
ONLINE = b'ATE0\r\nAT+CIPMUX=1\r\nAT+CWJAP="a","b"\r\n'


def transcript(pieces: list[bytes], step: int) -> tuple[bytes, list[Action]]:
    """All that a modem says and wants while the network takes everything and sends it back."""
    modem = Interpreter()
    said, wanted = bytearray(), []

    def settle(actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Output(data):
                    said.extend(data)
                    continue
                case Join():
                    settle(modem.joined())
                case Open(link):
                    settle(modem.opened(link, "10.0.0.1", 1))
                case Send(link, data):
                    settle(modem.sent(True))
                    settle(modem.received(link, data))
            wanted.append(action)

    for piece in pieces:
        # The network answers between pieces only, so that both ways of feeding see the same.
        actions: list[Action] = []
        for start in range(0, len(piece), step):
            actions += modem.feed(piece[start : start + step])
        settle(actions)
        settle(modem.quiet())
    settle(modem.restart())
    return bytes(said), wanted


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_any_input_is_taken_and_chunks_change_nothing(pieces: list[bytes]) -> None:
    pieces = [ONLINE, *pieces]
    assert transcript(pieces, step=1) == transcript(pieces, step=4096)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(FRAGMENTS))
def test_after_any_garbage_and_a_line_end_the_modem_answers_again(
    garbage: bytes, fragment: bytes
) -> None:
    modem = Interpreter()
    modem.feed(garbage + fragment[:-1])
    modem.joined()  # whatever it was waiting for
    modem.feed(b"\r\n")
    assert modem.feed(b"ATE0\r\n")[-1] == Output(b"\r\nOK\r\n")
