"""Which program a board with frozen birthkey starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2
from boards.emulated.rp2040 import Rp2040

# The host of a console on USB takes its time to be there.
MAIN = """
import time
from birthkey import __version__
time.sleep_ms(500)
print(__name__, "runs", __version__)
"""


@pytest.mark.parametrize("kind", [Mps2, Rp2040], ids=lambda kind: kind.name)
def test_main_py_on_flash_comes_before_the_frozen_application(
    kind: type[Emulator], tmp_path: Path
) -> None:
    with kind(tmp_path) as board:
        board.switch_on()
        board.says("^stopped: there is no /birthkey.json")
    with board.filesystem() as flash, flash.open("main.py", "w") as file:
        file.write(MAIN)
    with board:
        board.switch_on()
        board.says(r"^__main__ runs \d")
        board.says("^>>> ")
        assert "stopped" not in board.said
