"""The REPL of a board: MicroPython's Unix port behind a pty, as behind a cable."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from birthkey_host import repl as module
from birthkey_host.legible import legible
from birthkey_host.repl import BoardError, Repl, ReplError
from hostile_port import HostilePort
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
    with Repl(board.port) as repl, pytest.raises(ReplError, match='makes no sense: "hm"'):
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


class TestHostileBoards:
    """Whatever is on the port, there is one sentence, soon."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MARGIN", 1.0)

    @pytest.mark.usefixtures("short")
    @pytest.mark.parametrize("said", [b"x", b"\x1b[2J\n", b">", b"raw REPL; CTRL-B to exit\r\n"])
    def test_port_that_never_stops_talking(self, said: bytes) -> None:
        with (
            HostilePort(1000 * said, handshake=False) as port,
            pytest.raises(ReplError, match="does not stop talking: is it the right port"),
        ):
            Repl(port.name)

    @pytest.mark.parametrize(
        "answer",
        [b"OK" + 1000 * b"x", b"OK\x04" + 1000 * b"x", b"R\x01\x00\x00" + 1000 * b"\x01"],
        ids=["output", "error", "window of nothing"],
    )
    @pytest.mark.parametrize("pause", [0, 0.02], ids=["flood", "drip"])
    @pytest.mark.timeout(60)
    def test_answer_that_never_ends(self, answer: bytes, pause: float) -> None:
        with HostilePort(answer, pause=pause) as port, Repl(port.name) as repl:
            with pytest.raises(ReplError, match="does not stop talking") as caught:
                repl.ask("print(1)", patience=1)
            assert len(str(caught.value)) < 300

    @pytest.mark.timeout(60)
    def test_many_bytes_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not the time that ends this."""
        monkeypatch.setattr(module, "_MARGIN", 200.0)
        monkeypatch.setattr(module, "_MOST", 10_000)
        with (
            HostilePort(b"OK" + 1000 * b"x") as port,
            Repl(port.name) as repl,
            pytest.raises(ReplError, match="does not stop talking"),
        ):
            repl.ask("print(1)", patience=1)

    @pytest.mark.parametrize(
        "code",
        [
            "print('(' * 20000)",
            "print('[' * 90 + ']' * 90)",
            "print('-' * 20000 + '1')",
            "print('1' + '-1' * 20000)",
            "print('{[]: 1}')",
            "print('9' * 5000)",
            "print('__import__(\"os\").abort()')",
            "print('\\x1b[2J' * 10000)",
            "print(20000 * '\"\\\\d\"')",
        ],
    )
    def test_answer_that_is_no_value(self, board: StockBoard, code: str) -> None:
        with Repl(board.port) as repl, pytest.raises(ReplError, match="makes no sense: ") as caught:
            repl.ask(code)
        assert legible(str(caught.value)) == str(caught.value)
        assert len(str(caught.value)) < 1500

    def test_error_is_cut_and_legible(self, board: StockBoard) -> None:
        code = "class E(Exception): pass\nE.__name__\nraise E('\\x1b[2J' * 1000)"
        with Repl(board.port) as repl, pytest.raises(BoardError) as caught:
            repl.run(code)
        assert str(caught.value).startswith(r"the board says E: \u001b[2J\u001b[2J")
        assert len(str(caught.value)) < 400


def test_description_of_a_port_is_legible_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what a device on USB says of itself."""
    port = SimpleNamespace(device="/dev/ttyACM0", description="\x1b[2J\n" + 100 * "x")
    monkeypatch.setattr(module.list_ports, "comports", lambda: [port])
    [line] = module.ports()
    assert line.startswith(r"/dev/ttyACM0  \u001b[2J\u000axx")
    assert len(line) < 100
