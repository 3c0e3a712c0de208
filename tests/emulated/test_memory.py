"""How much memory the whole job needs: first boot, enrolment, readings, a second boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boards.emulated.qemu import Mps2, Netduino2, Qemu

ERASED = b"\xff"

# Runs before the application, and keeps what it takes.
BALLAST = """
import gc
gc.collect()
heap = gc.mem_free() + gc.mem_alloc()
ballast = bytearray(%d)
"""
REPORT = """
import json, qemu
print(json.dumps({"heap": heap, "stack": qemu.stack_peak()}))
"""


class Trial:
    """A board that has so many bytes of heap less."""

    def __init__(self, kind: type[Qemu], folder: Path, **configuration: Any) -> None:
        self.kind, self.folder, self.configuration = kind, folder, configuration

    def works(self, ballast: int) -> bool:
        board = self.kind(self.folder, str(self.folder.parent / "uart"), **self.configuration)
        board.flash.write_bytes(ERASED * board.flash_area.end)
        with self.kind(self.folder) as blank:
            blank.switch_on()
            blank.says("there is no /birthkey.json")
        with board.filesystem() as flash, flash.open("boot.py", "w") as file:
            file.write(BALLAST % ballast)
        return self._runs(board) and self._runs(board)

    def _runs(self, board: Qemu) -> bool:
        with board:
            board.start()
            # It gives up, or says why it has to try again.
            return board.says(r"^all readings stored$|^>>> |queued; |starts anew", 60)[0][0] == "a"

    def most(self, low: int, high: int, step: int = 1024) -> int:
        """The largest ballast with which it works, to within a step."""
        assert self.works(low) and not self.works(high)
        while high - low > step:
            middle = (low + high) // 2
            low, high = (middle, high) if self.works(middle) else (low, middle)
        return low

    def report(self) -> dict[str, int]:
        """What the board says of itself after its work."""
        board = self.kind(self.folder, str(self.folder.parent / "uart"), **self.configuration)
        with board.filesystem() as flash, flash.open("boot.py", "w") as file:
            file.write(BALLAST % 0 + "import application\napplication.main()\n" + REPORT)
        with board:
            board.start()
            found: dict[str, int] = json.loads(board.says(r"^\{.*\}$", 60)[0])
        return found


def measured(kind: type[Qemu], folder: Path, configuration: dict[str, Any]) -> int:
    trial = Trial(kind, folder / "board", **configuration)
    assert trial.works(0)
    found = trial.report()
    needed = found["heap"] - trial.most(16 * 1024, found["heap"] - 8 * 1024)
    print(json.dumps({"board": kind.name, "heap needed": needed, **found}))
    assert found["stack"] < 7.5 * 1024  # stock firmware for the RP2040 has 8 KiB
    return needed


@pytest.mark.parametrize("kind", [Mps2, Netduino2], ids=lambda kind: kind.name)
def test_memory_that_the_whole_job_needs(
    kind: type[Qemu], installation: dict[str, Any], tmp_path: Path
) -> None:
    # 128 KiB of RAM leave 96 KiB of heap: the application has 40.
    assert measured(kind, tmp_path, installation) < 52 * 1024


@pytest.mark.parametrize(("kind", "most"), [(Mps2, 88), (Netduino2, 70)])
def test_memory_that_it_needs_through_tls(
    kind: type[Qemu], most: int, tls_installation: dict[str, Any], tmp_path: Path
) -> None:
    """With buffers for records of 16 and 4 KiB, and of 4 and 2."""
    installation = {**tls_installation, "client_certificate": True}
    assert measured(kind, tmp_path, installation) < most * 1024
