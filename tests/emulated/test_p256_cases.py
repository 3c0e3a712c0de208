"""All that tests/firmware/crypto/test_p256.py asks of P-256, asked of the native back ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from board_repl import BoardRepl
from boards.build import native
from boards.emulated.qemu import Mps2, Mps2CortexM4
from device import Interpreter
from firmware.crypto.test_p256 import *  # noqa: F403

BOARDS = {"armv7em": Mps2CortexM4, "armv7m": Mps2, "armv6m": Mps2}


class Native(Interpreter):
    """A board in QEMU that has the back end of that name, in its firmware or on its flash."""

    def _start(self, folder: Path, uart: str | None, heap: list[str]) -> BoardRepl:
        board = BOARDS[self.name](folder)
        with board.filesystem() as flash, flash.open(native.name(self.name), "wb") as file:
            file.write(native.module(self.name))
        return BoardRepl(board)


@pytest.fixture(scope="module", params=BOARDS)
def interpreter(request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    with closing(Native(request.param)) as interpreter:
        yield interpreter


@pytest.fixture
def device(interpreter: Interpreter) -> Interpreter:
    interpreter.call("birthkey.crypto.p256:use", interpreter.name)
    return interpreter
