from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from birthkey_host.keys import ServerKey
from boards.build import firmware as builder
from boards.flash.__main__ import PASSWORD
from flashing import Flash
from stock_board import BOARD_PY, StockBoard

MakeBoard = Callable[..., StockBoard]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a board STOCK, in place of boards/."""
    folder = tmp_path / "boards" / "STOCK"
    folder.mkdir(parents=True)
    (folder / "board.json").write_text(json.dumps({"mcu": "linux"}))
    (folder / "board.py").write_text(BOARD_PY)
    (folder / "mpconfigboard.cmake").touch()
    monkeypatch.setattr(builder, "BOARDS", folder.parent)
    monkeypatch.delenv(PASSWORD, raising=False)
    return folder


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[MakeBoard]:
    """Makes boards that are switched off at the end."""
    made = []

    def make(*folders: Path, name: str = "flash", **settings: object) -> StockBoard:
        settings = {"main": False, **settings}
        board = StockBoard(tmp_path / name, *folders, **settings)  # type: ignore[arg-type]
        made.append(board)
        return board

    yield make
    for board in made:
        board.close()


@pytest.fixture
def board(boards: MakeBoard) -> StockBoard:
    """A stock board with an empty file system."""
    return boards()


@pytest.fixture
def key() -> str:
    """A server's public key."""
    return ServerKey.generate().public.hex()


@pytest.fixture
def flash(folder: Path) -> Flash:
    return Flash("STOCK")
