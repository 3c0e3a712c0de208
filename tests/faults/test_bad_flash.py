"""No bad bit and no lost block of flash makes another device, or takes a boot number again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from boards.emulated.boards import BOARDS
from device import device_environment, micropython

SCRIPT = Path(__file__).with_name("bad_flash.py")

KEPT = "identity kept"
STOPPED = {
    "stopped: flash holds data, but no file system that can be read",
    "stopped: the birth key is gone, but this board has booted before",
}
KINDS = {
    "bad bit",
    "block erased",
    "first half of a block erased",
    "second half of a block erased",
}


def outcomes(*arguments: int) -> dict[str, dict[str, int]]:
    """What came of each kind of damage, and how often."""
    ran = subprocess.run(
        [micropython(), "-X", "heapsize=32M", str(SCRIPT), *map(str, arguments)],
        env=device_environment(),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    print(ran.stdout)
    found: dict[str, Any] = json.loads(ran.stdout)["found"]
    assert set(found) == KINDS
    for counts in found.values():
        assert set(counts) <= {KEPT, *STOPPED}, counts
    return found


@pytest.mark.timeout(900)  # 1,500 starts before the first bad bit
def test_folders_that_have_moved() -> None:
    """littlefs moves a folder when its blocks have been erased for long enough. Bad bits in the
    root let it find the folder where it was before, with all that was in it then.
    """
    found = outcomes(64, 256, 1500, 1, 2)
    assert found["bad bit"][KEPT] > 300


@pytest.mark.parametrize("boots", [1, 5, 60])
@pytest.mark.parametrize(
    ("names", "progsize"), [(("QEMU_MPS2_AN385", "QEMU_NETDUINO2"), 32), (("RPI_PICO",), 256)]
)
def test_any_damage_keeps_the_identity_or_is_said(
    names: tuple[str, ...], progsize: int, boots: int
) -> None:
    """With the flash that each board has, and what littlefs is told to program at once there."""
    (area,) = {
        (BOARDS[name].flash_area.block_size, BOARDS[name].flash_area.blocks) for name in names
    }
    size, blocks = area
    assert size == 4096
    found = outcomes(blocks, progsize, boots, 23, blocks)
    assert found["bad bit"][KEPT] > 9 * sum(found["bad bit"][said] for said in STOPPED)
    assert found["block erased"][KEPT] >= 3
