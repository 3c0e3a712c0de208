"""The REPL of a board: MicroPython's Unix port behind a pty, as behind a cable."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from birthkey_host import repl as module
from birthkey_host.repl import BoardError, Repl, ReplError
from stock_board import StockBoard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[StockBoard]:
    with StockBoard(tmp_path / "board") as board:
        yield board


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience with what does not answer."""
    monkeypatch.setattr(module, "_ATTEMPTS", (0.2, 0.2))


def test_runs_code_and_takes_what_it_prints(board: StockBoard) -> None:
    with Repl(board.port) as repl:
        assert repl.run("print('a')\nprint(1 << 70)") == f"a\n{1 << 70}\n"
        assert repl.ask("print('noise')\nprint(repr((1, b'\\x00', None)))") == (1, b"\0", None)


def test_code_that_raises(board: StockBoard) -> None:
    with Repl(board.port) as repl:
        with pytest.raises(BoardError, match="the board says ValueError: too bad") as caught:
            repl.run("raise ValueError('too bad')")
        assert (caught.value.kind, caught.value.text) == ("ValueError", "too bad")
        assert repl.run("print('goes on')") == "goes on\n"


def test_answer_that_makes_no_sense(board: StockBoard) -> None:
    with Repl(board.port) as repl, pytest.raises(ReplError, match="makes no sense: 'hm'"):
        repl.ask("print('hm')")


ENDLESS = "print('up')\nwhile True: pass"


def test_program_is_stopped_and_started_again(board: StockBoard) -> None:
    with Repl(board.port) as repl:
        repl.run(f"with open('main.py', 'w') as file:\n file.write({ENDLESS!r})\nx = 1")
        repl.reset()
        with pytest.raises(BoardError, match="NameError"):
            repl.run("x")
        assert b"\nup" not in board.output
    wait_for(board, b"\nup")
    with Repl(board.port) as repl:  # which now runs for ever
        assert repl.run("print('stopped')") == "stopped\n"


def wait_for(board: StockBoard, said: bytes) -> None:
    for _ in range(100):
        if said in board.output:
            return
        threading.Event().wait(0.05)
    pytest.fail(f"it said {board.output!r}")


def test_port_that_is_not_there() -> None:
    with pytest.raises(ReplError, match="there is no serial port /dev/ttyNONE; there is"):
        Repl("/dev/ttyNONE")


def test_port_that_another_program_has(board: StockBoard) -> None:
    with Repl(board.port), pytest.raises(ReplError, match="another program has it: close"):
        Repl(board.port)


def test_port_that_another_program_is_just_letting_go_of(board: StockBoard) -> None:
    first = Repl(board.port)
    threading.Timer(0.3, first.close).start()
    with Repl(board.port) as repl:
        assert repl.run("print('mine')") == "mine\n"


def test_port_that_this_user_may_not_open(
    board: StockBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReplError, match=r"this user may not: .* dialout"):
        Repl(board.port)


@pytest.mark.parametrize("port", ["modem://x", "/etc/passwd"])
def test_port_that_is_none(port: str) -> None:
    with pytest.raises(ReplError, match="is no serial port"):
        Repl(port)


@pytest.mark.usefixtures("short")
def test_no_micropython_on_it() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        with pytest.raises(ReplError, match="does not answer as MicroPython: is it the right port"):
            Repl(os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def test_board_that_is_unplugged(board: StockBoard) -> None:
    repl = Repl(board.port)
    board.close()
    with pytest.raises(ReplError, match=r"fell silent .*: was it unplugged"):
        repl.run("print(1)")
    repl.close()


def test_code_that_takes_too_long(board: StockBoard) -> None:
    with Repl(board.port) as repl, pytest.raises(ReplError, match="fell silent"):
        repl.run("import time\ntime.sleep(30)", patience=0.5)
