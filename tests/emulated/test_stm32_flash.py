"""boards/stm32/internal_flash.c on a Cortex-M3 in QEMU, over a model of the chip's flash.

ports/stm32 cannot be built here. What can: its driver for the flash, with birthkey on it, and the
power cut in the middle of each operation.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from birthkey_host.repl import Repl
from boards.build import cache, firmware
from boards.build.sources import sources
from boards.emulated.qemu import Mps2

HERE = Path(__file__).parent / "stm32"
DRIVER = firmware.BOARDS / "stm32" / "internal_flash.c"


def elf() -> Path:
    """QEMU's own firmware, with the driver and the model in it."""
    found = sources()
    tools = firmware.tools(found)
    inputs = [HERE, DRIVER, firmware.BOARDS / "emulated/qemu", firmware.ROOT / "firmware"]

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            modules = Path(work) / "modules"
            modules.mkdir()
            qemu = firmware.folder_for_make(firmware.BOARDS / "emulated/qemu")
            (modules / "qemu").symlink_to(qemu)
            shutil.copytree(HERE, modules / "stm32")
            shutil.copy(DRIVER, modules / "stm32")
            board = firmware.folder_for_make(firmware.BOARDS / Mps2.name)
            command = ["make", "-j2", "-C", str(found.top / "ports/qemu"), f"BOARD={board.name}"]
            command += [f"BOARD_DIR={board}", f"BUILD={work}/build", f"USER_C_MODULES={modules}"]
            command += [f"MPY_LIB_DIR={found.library}", f"MICROPY_MPYCROSS={found.mpy_cross}"]
            command += ["MPY_LIB_SUBMODULE_DIR="]
            ran = subprocess.run(command, env=tools, capture_output=True, text=True)
            assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
            shutil.copy(Path(work) / "build/firmware.elf", folder)

    key = cache.key(cache.hash_of(inputs, firmware.ROOT), found.key)
    return cache.made("images", f"stm32-flash-{key}", make) / "firmware.elf"


@pytest.fixture
def repl(tmp_path: Path) -> Iterator[Repl]:
    with Mps2(tmp_path, elf=elf()) as board:
        board.start()
        with Repl(board.repl) as repl:
            repl.run((HERE / "on_board.py").read_text())
            yield repl


def test_block_device(repl: Repl) -> None:
    assert repl.ask("print(device())") == 32768


def test_power_is_cut_in_each_operation(repl: Repl) -> None:
    assert repl.ask("print(cuts())", 120) > 500
