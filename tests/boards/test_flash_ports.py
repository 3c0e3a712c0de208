"""`make flash` without a port, and `--list`: what is there."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from birthkey_host.factory import prove
from birthkey_host.repl import Repl
from boards.build import dist
from boards.flash import ports
from boards.flash.__main__ import app
from boards.flash.session import Session
from flashing import Flash
from stock_board import StockBoard

from .conftest import MakeBoard


class Port(SimpleNamespace):
    def __lt__(self, other: Port) -> bool:
        return bool(self.device < other.device)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch, board: StockBoard) -> None:
    """A board on USB, and a port that nobody knows what is on."""
    found = [
        Port(device=board.port, description="Board in FS mode", vid=0x2E8A),
        Port(device="/dev/ttyS0", description="n/a", vid=None),
    ]
    monkeypatch.setattr(ports.list_ports, "comports", lambda: found)


@pytest.fixture
def board(boards: MakeBoard, folder: Path) -> StockBoard:
    return boards(dist.FIRMWARE, folder)


@pytest.mark.usefixtures("plugged")
def test_list_asks_what_is_on_usb(board: StockBoard) -> None:
    with Repl(board.port) as repl:
        device_id = prove(repl, 0.0).device_id
    said = CliRunner().invoke(app, ["--list"])
    assert said.exit_code == 0
    asked, unknown = sorted(said.output.splitlines(), key=lambda line: "ttyS0" in line)
    assert asked.startswith(f"{board.port}  Board in FS mode  linux ")
    assert asked.endswith(f", birthkey 0.1.0, device {device_id.hex(' ', 2)}")
    assert unknown == "/dev/ttyS0  n/a"


@pytest.mark.usefixtures("plugged")
def test_list_says_what_does_not_answer(board: StockBoard) -> None:
    with Repl(board.port):
        said = CliRunner().invoke(app, ["--list"]).output
    assert "another program has it" in said


@pytest.mark.usefixtures("plugged")
def test_port_is_missing(flash: Flash, board: StockBoard) -> None:
    """Nothing is asked: it would stop what runs there."""
    before = board.output
    result = flash.run()
    assert result.exit_code == 2
    assert f"{board.port}  Board in FS mode\n" in result.stdout
    assert result.stderr == (
        "flash: say which board is on which port: make flash BOARD=NAME PORT=PORT\n"
    )
    assert board.output == before


def test_nothing_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports.list_ports, "comports", list)
    said = CliRunner().invoke(app, ["--list"]).output
    assert said == "no serial ports: plug a board in\n"


def test_what_a_port_and_a_board_say_is_legible(
    monkeypatch: pytest.MonkeyPatch, board: StockBoard
) -> None:
    said = "\x1b[2J\u202e[red]"
    monkeypatch.setattr(
        ports.list_ports, "comports", lambda: [Port(device="/dev/x", description=said, vid=1)]
    )
    monkeypatch.setattr(ports, "_asked", lambda port: said)
    listed = CliRunner().invoke(app, ["--list"]).output
    assert listed == r"/dev/x  \u001b[2J\u202e[red]  \u001b[2J\u202e[red]" + "\n"
    written = io.StringIO()
    Session("STOCK", "/dev/x", Console(file=written))._say(said)
    assert written.getvalue() == r"\u001b[2J\u202e[red]" + "\n"
