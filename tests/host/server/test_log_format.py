from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from birthkey_host.cli.common import Place
from birthkey_host.server.log_format import MESSAGE, TRACE, OneLine
from safe_text import HOSTILE, unsafe

FORGED = "x\n2026-11-30 12:00:00,000 INFO stored 1:1 from 192.0.2.1, device 00"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(OneLine())
    logger = logging.getLogger("birthkey_test_log_format")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


Log = tuple[logging.Logger, io.StringIO]


def test_plain_message(log: Log) -> None:
    log[0].warning("refused %s from %s", "seal: broken", "192.0.2.1")
    [line] = log[1].getvalue().splitlines()
    assert line.endswith(" WARNING refused seal: broken from 192.0.2.1")
    assert line[:4].isdecimal()


@pytest.mark.parametrize("text", [FORGED, HOSTILE, "\r" + FORGED, "\x1b[2J"])
def test_message_is_one_line_whatever_is_in_it(log: Log, text: str) -> None:
    log[0].warning("refused %s", text)
    written = log[1].getvalue()
    assert written.count("\n") == 1
    assert unsafe(written.rstrip("\n")) == []


def test_message_is_cut(log: Log) -> None:
    log[0].warning("refused %s", "\x1b" * 100_000)
    assert len(log[1].getvalue()) < MESSAGE + 60


@pytest.mark.parametrize("text", [FORGED, HOSTILE])
def test_trace_is_read_in_lines_that_no_record_begins_with(log: Log, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        log[0].exception("a frame got no answer", stack_info=True)
    first, *trace = log[1].getvalue().rstrip("\n").split("\n")
    assert first.endswith(" ERROR a frame got no answer")
    assert all(line.startswith("    | ") for line in trace)
    assert "    | Traceback (most recent call last):" in trace
    assert any("ValueError: " in line for line in trace)
    assert not any(unsafe(line) for line in trace)


def test_trace_is_cut_from_its_beginning(log: Log) -> None:
    try:
        raise ValueError("\n".join(map(str, range(10_000))))
    except ValueError:
        log[0].exception("no answer")
    lines = log[1].getvalue().rstrip("\n").split("\n")
    assert len(lines) == TRACE + 2
    assert lines[1].endswith(" lines are left out")
    assert lines[-1] == "    | 9999"


def test_other_handlers_get_the_record_as_it_was(log: Log) -> None:
    record = logging.makeLogRecord({"msg": "a\nb %s", "args": ("\x1b",), "exc_text": "c"})
    OneLine().format(record)
    assert (record.getMessage(), record.exc_text) == ("a\nb \x1b", "c")


def test_commands_in_any_message_are_fit_to_be_typed() -> None:
    place = Place(Path("/srv/b"), None, home_typed=True)
    formatter = OneLine(place.hint)
    for text in ("`birthkey upgrade` does", "`birthkey --home /srv/b upgrade` does"):
        record = logging.LogRecord("x", logging.ERROR, "", 1, "%s", (text,), None)
        assert formatter.format(record).endswith(" ERROR `birthkey --home /srv/b upgrade` does")
