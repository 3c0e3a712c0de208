from __future__ import annotations

import logging
import threading

import pytest

from birthkey_host.server.lines import LineLimits, Lines

log = logging.getLogger("birthkey_host.test")


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> Lines:
    limits = LineLimits(burst=6, rate=1.0, source_burst=3, source_rate=0.5, sources=3)
    return Lines(log, limits, clock=clock)


def write(lines: Lines, source: str, count: int = 1, what: str = "seal") -> None:
    for _ in range(count):
        lines.write(logging.WARNING, source, what, "refused %s from %s", what, source)


def written(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = caplog.messages
    caplog.clear()
    return messages


def test_few_lines_are_written(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    write(lines, "a", 3)
    assert written(caplog) == ["refused seal from a"] * 3
    lines.sum_up()
    assert written(caplog) == []


def test_many_lines_are_counted(
    lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(lines, "a", 10)
    write(lines, "b", 4, "cbor")
    assert len(written(caplog)) == 6
    clock.now += 20
    lines.sum_up()
    assert written(caplog) == [
        "8 more in the last 20 s, not listed one by one: seal 7, cbor 1; most from a, 7"
    ]
    lines.sum_up()
    assert written(caplog) == []


def test_summed_up_no_more_often_than_asked_for(
    lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(lines, "a", 10)
    written(caplog)
    clock.now += 9
    lines.sum_up(every=10)
    assert written(caplog) == []
    clock.now += 1
    lines.sum_up(every=10)
    assert len(written(caplog)) == 1


def test_source_is_heard_again_after_a_while(
    lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(lines, "a", 5)
    clock.now += 2
    write(lines, "a", 5)
    assert len(written(caplog)) == 4


def test_sources_together_are_limited(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        write(lines, f"source {number}")
    assert len(written(caplog)) == 6
    lines.sum_up()
    [summary] = written(caplog)
    assert summary.startswith("94 more in the last 0 s")


def test_noisy_source_leaves_lines_for_others(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    write(lines, "noisy", 1000)
    write(lines, "quiet")
    assert written(caplog) == ["refused seal from noisy"] * 3 + ["refused seal from quiet"]


def test_few_sources_are_remembered(lines: Lines) -> None:
    for number in range(100):
        write(lines, f"source {number}", 2)
    assert len(lines._wrong._sources) == 3
    assert len(lines._wrong._held_from) == 3


def test_trace_of_an_error_is_written(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    lines.write(logging.ERROR, "a", "error", "it failed", error=RuntimeError("a bug"))
    assert "a bug" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


def test_traces_are_few(lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        clock.now += 1
        bug = RuntimeError("a bug")
        lines.write(logging.ERROR, f"source {number}", "error", "it failed", error=bug)
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 11
    assert caplog.messages[50] == "it failed: RuntimeError('a bug')"
    assert len(caplog.records) == 100


def test_what_is_usual_and_what_is_wrong_do_not_drive_each_other_out(
    lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(100):
        lines.write(logging.INFO, "a", "stored", "stored one")
    write(lines, "a", 100)
    assert written(caplog) == ["stored one"] * 3 + ["refused seal from a"] * 3
    clock.now += 10
    lines.sum_up()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert written(caplog) == [
        f"97 more in the last 10 s, not listed one by one: {what} 97; most from a, 97"
        for what in ("seal", "stored")
    ]


def test_who_logs_himself_may_ask(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    assert [lines.may(logging.WARNING, "a", "asyncio") for _ in range(5)] == [True] * 3 + [
        False
    ] * 2
    lines.sum_up()
    assert written(caplog)[0].startswith("2 more in the last 0 s, not listed one by one: asyncio 2")


def test_no_line_is_lost_between_threads(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines(log, LineLimits(burst=10, source_burst=10), clock=clock)
    threads = [threading.Thread(target=write, args=(lines, "a", 500)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written(caplog)) == 10
    lines.sum_up()
    assert written(caplog)[0].startswith("1990 more")
