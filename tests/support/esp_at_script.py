"""What a board and an ESP-AT modem say to each other, as scripts for `modem.scripted`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from device import DeviceError, Handle

Make = Callable[..., Handle]
Script = list[tuple[Any, ...]]

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
AT = (b"AT\r\n", OK)
SILENT_AT = (b"AT\r\n", b"")
PADDING = (b" " * 512 + b"\r\n", b"")
HOSTILE = b'\r\nOK\r\n+IPD,0,5:> CLOSED\r\n0,CLOSED\r\nready\r\n\x00\xff+CIPRECVDATA:3,"'


def setup(*receive_mode: tuple[bytes, bytes], join: Script | None = None) -> Script:
    return [
        *BEGUN,
        *(join or []),
        (b"AT+CIPMUX=1\r\n", OK),
        *(receive_mode or [(b"AT+CIPRECVMODE=1\r\n", OK)]),
    ]


# What comes before the network is joined, and what answers a modem that takes no CIPMUX.
BEGUN: Script = [
    (b"ATE0\r\n", b"ATE0\r\r\n" + OK),
    (b"AT+CIPMODE=0\r\n", OK),
    (b"AT+CIPDINFO=0\r\n", ERROR),
    (b"AT+CIPCLOSE=5\r\n", b"0,CLOSED\r\n" + OK),
    (b"AT+SYSSTORE=0\r\n", OK),
    (b"AT+CWMODE=1\r\n", OK),
]
STUCK: Script = [
    *BEGUN,
    (b"AT+CIPMUX=1\r\n", b"link is builded\r\n" + ERROR),
    (b"AT+CIPCLOSE\r\n", ERROR),
    (b"AT+CIPMUX=1\r\n", b"link is builded\r\n" + ERROR),
]
ESCAPE = (b"+++", b"")
PUSH = ((b"AT+CIPRECVMODE=1\r\n", ERROR), (b"AT+CIPRECVTYPE=5,1\r\n", ERROR))
RESET = (b"AT+RST\r\n", OK + b"\x00\xfe\x80\r\nready\r\n")


def start(link: int = 0) -> tuple[bytes, bytes]:
    command = b'AT+CIPSTART=%d,"TCP","example.org",7000,120\r\n' % link
    return (command, b"%d,CONNECT\r\n" % link + OK)


def send(data: bytes, link: int = 0, before: bytes = b"", after: bytes = b"") -> Script:
    return [
        (b"AT+CIPSEND=%d,%d\r\n" % (link, len(data)), before + OK + b"\r\n> "),
        (data, after + b"\r\nRecv %d bytes\r\n\r\nSEND OK\r\n" % len(data)),
    ]


def read(asked: int, data: bytes, link: int = 0, after: bytes = b"") -> tuple[bytes, bytes]:
    answer = b"+CIPRECVDATA:%d,%s" % (len(data), data) + OK if data else ERROR
    return (b"AT+CIPRECVDATA=%d,%d\r\n" % (link, asked), answer + after)


@contextmanager
def refused(kind: str, *words: str) -> Iterator[None]:
    """Expect an error of this class, of the one family, whose sentence has these words."""
    with pytest.raises(DeviceError) as caught:
        yield
    error = caught.value
    assert error.name == kind, error
    assert error.bases == (["OSError"] if kind == "ModemError" else ["ModemError"])
    for word in words:
        assert word in error.text
