from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import Interpreter

Event = list[Any]

LINE, FINAL, CODE, PROMPT, DATA, OVERLONG, VIOLATION = range(7)
READABLE, CLOSED, RESTARTED, OFFLINE, BUSY = range(5)

HOSTILE = b'\r\nOK\r\n+IPD,0,5:> CLOSED\r\n0,CLOSED\r\nready\r\n\x00\xff+CIPRECVDATA:3,"'

# (bytes, what the running command asked for, the expected prompt, the events)
CASES: dict[str, tuple[bytes, int, bytes | None, list[Event]]] = {
    "an answer": (
        b"AT+CIPMUX?\r\r\n+CIPMUX:1\r\n\r\nOK\r\n",
        0,
        None,
        [[LINE, b"AT+CIPMUX?", None], [LINE, b"+CIPMUX:1", None], [FINAL, b"OK", True]],
    ),
    "results": (
        b"\r\nERROR\r\nSEND OK\r\nSEND FAIL\r\nFAIL\r\n+CME ERROR: 30\r\n+CMS ERROR: 1\r\n",
        0,
        None,
        [
            [FINAL, b"ERROR", False],
            [FINAL, b"SEND OK", True],
            [FINAL, b"SEND FAIL", False],
            [FINAL, b"FAIL", False],
            [FINAL, b"+CME ERROR: 30", False],
            [FINAL, b"+CMS ERROR: 1", False],
        ],
    ),
    "unsolicited codes": (
        b"ready\r\nWIFI DISCONNECT\r\n+IPD,3,17\r\n2,CLOSED\r\nbusy p...\r\n4,CONNECT\r\n",
        0,
        None,
        [
            [CODE, RESTARTED, None],
            [CODE, OFFLINE, None],
            [CODE, READABLE, 3],
            [CODE, CLOSED, 2],
            [CODE, BUSY, None],
            [LINE, b"4,CONNECT", None],
        ],
    ),
    "a code inside an answer": (
        b"+CWJAP:2\r\n0,CLOSED\r\nERROR\r\n",
        0,
        None,
        [[LINE, b"+CWJAP:2", None], [CODE, CLOSED, 0], [FINAL, b"ERROR", False]],
    ),
    "a prompt with and without a blank": (
        b"\r\nOK\r\n\r\n> \r\nRecv 5 bytes\r\n",
        0,
        b">",
        [[FINAL, b"OK", True], [PROMPT, b">", True], [LINE, b"Recv 5 bytes", None]],
    ),
    "no prompt when none is expected": (
        b"> \r\nOK\r\n",
        0,
        None,
        [[LINE, b">", None], [FINAL, b"OK", True]],
    ),
    "only one prompt": (
        b">\r\n>\r\n",
        0,
        b">",
        [[PROMPT, b">", True], [LINE, b">", None]],
    ),
    "no prompt inside a line": (b"a>\r\n", 0, b">", [[LINE, b"a>", None]]),
    "data after a colon and a comma": (
        b"+CIPRECVDATA:%d,%s\r\nOK\r\n" % (len(HOSTILE), HOSTILE),
        500,
        b">",
        [[DATA, HOSTILE, None], [FINAL, b"OK", True]],
    ),
    "data after a comma and a colon": (
        b"+CIPRECVDATA,%d:%sOK\r\n" % (len(HOSTILE), HOSTILE),
        len(HOSTILE),
        None,
        [[DATA, HOSTILE, None], [FINAL, b"OK", True]],
    ),
    "data that the modem pushes": (
        b"\r\n+IPD,2,%d:%s\r\n+IPD,1,1:x2,CLOSED\r\n" % (len(HOSTILE), HOSTILE),
        0,
        b">",
        [[DATA, HOSTILE, 2], [DATA, b"x", 1], [CODE, CLOSED, 2]],
    ),
    "data with the sender's address": (b'+IPD,0,2,"10.0.0.1",80:hi', 0, None, [[DATA, b"hi", 0]]),
    "no data": (b"+CIPRECVDATA:0,\r\nOK\r\n", 9, None, [[FINAL, b"OK", True]]),
    "noise before a line": (
        b"\x00\xff\xfe\x80\r\n\xf0\x9fready\r\n\x00\x00OK\r\n",
        0,
        None,
        [[CODE, RESTARTED, None], [FINAL, b"OK", True]],
    ),
    "an over-long line": (
        b"x" * 256 + b"\r\n" + b"x" * 257 + b"OK\r\n" + b"y" * 600 + b"\r\nOK\r\n",
        0,
        None,
        [[OVERLONG, None, None]] * 3 + [[FINAL, b"OK", True]],
    ),
    "a line that just fits": (
        b"x" * 256 + b"\nOK\r\n",
        0,
        None,
        [[LINE, b"x" * 256, None], [FINAL, b"OK", True]],
    ),
    "more data than asked for": (
        b"+CIPRECVDATA:6,OK\r\nOK\r\nOK\r\n",
        5,
        None,
        [[VIOLATION, b"+CIPRECVDATA:6", None], [FINAL, b"OK", True], [FINAL, b"OK", True]],
    ),
    "data asked for once and given twice": (
        b"+CIPRECVDATA:3,abc+CIPRECVDATA:3,abc\r\n",
        5,
        None,
        [[DATA, b"abc", None], [VIOLATION, b"+CIPRECVDATA:3", None]],
    ),
    "data that nobody asked for": (
        b"+CIPRECVDATA,1:x\r\n",
        0,
        None,
        [[VIOLATION, b"+CIPRECVDATA,1", None]],
    ),
    "more pushed data than a modem can hold": (
        b"+IPD,0,2921:\r\n",
        0,
        None,
        [[VIOLATION, b"+IPD,0,2921", None]],
    ),
    "lengths that are none": (
        b"+IPD,0,-1:\r\n+IPD,0,:\r\n+IPD,0,1e3:\r\n+IPD,,5:\r\n+IPD,5:\r\n+IPD,0,000001:\r\n",
        0,
        None,
        [
            [VIOLATION, line, None]
            for line in (
                b"+IPD,0,-1",
                b"+IPD,0,",
                b"+IPD,0,1e3",
                b"+IPD,,5",
                b"+IPD,5",
                b"+IPD,0,000001",
            )
        ],
    ),
    "a code with a garbled link": (b"+IPD,x,5\r\n", 0, None, [[LINE, b"+IPD,x,5", None]]),
}


def _events(
    device: Interpreter, chunks: list[bytes], asked: int, prompt: bytes | None
) -> list[Event]:
    return device.call("modem.scripted:events", chunks, asked, prompt)


@pytest.mark.parametrize("name", CASES)
def test_events(device: Interpreter, name: str) -> None:
    data, asked, prompt, expected = CASES[name]
    assert _events(device, [data], asked, prompt) == expected


@pytest.mark.parametrize("name", CASES)
def test_events_come_the_same_byte_by_byte(device: Interpreter, name: str) -> None:
    data, asked, prompt, expected = CASES[name]
    assert _events(device, [bytes([byte]) for byte in data], asked, prompt) == expected


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name][0]) < 200])
def test_events_come_the_same_split_at_every_position(device: Interpreter, name: str) -> None:
    data, asked, prompt, expected = CASES[name]
    for at in range(len(data) + 1):
        assert _events(device, [data[:at], data[at:]], asked, prompt) == expected, at


@pytest.mark.parametrize("name", CASES)
def test_trailing_data_wait_for_their_end(device: Interpreter, name: str) -> None:
    data, asked, prompt, expected = CASES[name]
    whole = data if data.endswith(b"\n") else data + b"\r\n"
    assert _events(device, [whole + b"+CIPMUX", b":1"], asked, prompt) == expected
    assert _events(device, [whole + b"+CIPMUX", b":1\n"], asked, prompt) == [
        *expected,
        [LINE, b"+CIPMUX:1", None],
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_payloads_come_out_exactly_however_they_are_split(
    device: Interpreter, data: st.DataObject
) -> None:
    pieces = st.sampled_from(
        [b"\r\nOK\r\n", b"+IPD,0,5:", b"> ", b"0,CLOSED\r\n", b"ready\r\n", b"x"]
    )
    payload = b"".join(data.draw(st.lists(pieces | st.binary(max_size=9), min_size=1)))[:2000]
    if not payload:
        payload = b"\n"
    stream = b"\r\n+IPD,0,%d\r\n+CIPRECVDATA:%d,%s\r\nOK\r\n" % (
        len(payload),
        len(payload),
        payload,
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert _events(device, chunks, len(payload), b">") == [
        [CODE, READABLE, 0],
        [DATA, payload, None],
        [FINAL, b"OK", True],
    ]


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(
        st.binary(max_size=40)
        | st.sampled_from(
            [b"+IPD,0,", b"+CIPRECVDATA:", b"9:", b"7,", b"\r\n", b"99999", b"OK", b">"]
        ),
        max_size=30,
    ),
    asked=st.integers(0, 50),
)
def test_garbage_raises_nothing_and_splits_alike(
    device: Interpreter, parts: list[bytes], asked: int
) -> None:
    together = _events(device, [b"".join(parts)], asked, b">")
    assert _events(device, parts, asked, b">") == together
    assert sum(len(value) for kind, value, _ in together if kind == DATA) <= len(b"".join(parts))


@pytest.mark.parametrize(
    "chunk",
    [
        b"x" * 1000,
        b"+IPD,0,99999:",
        b"+" + b"," * 100,
        b"+IPD,1,900:" + b"\n" * 899,
        b"OK\r\n" * 200,
    ],
    ids=["no line end", "headers", "commas", "data", "lines"],
)
def test_nothing_that_arrives_is_kept(device: Interpreter, chunk: bytes) -> None:
    assert device.call("modem.scripted:memory_kept", chunk, 100) < 500
