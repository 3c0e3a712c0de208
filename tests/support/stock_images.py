"""Firmware as upstream makes it, without birthkey: built from the pinned sources, and cached."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from boards.build import cache
from boards.build.sources import Sources, sources
from boards.build.toolchain import environment

# What upstream freezes without micropython-lib, which is not there.
_RP2_MANIFEST = 'freeze("$(PORT_DIR)/modules")\ninclude("$(MPY_DIR)/extmod/asyncio")\n'


def pico() -> Path:
    """The UF2 of a Raspberry Pi Pico: upstream's RPI_PICO."""

    def build(found: Sources, work: Path) -> Path:
        manifest = work / "manifest.py"
        manifest.write_text(_RP2_MANIFEST)
        run(
            "cmake",
            *("-S", found.top / "ports/rp2", "-B", work / "build", "-DMICROPY_BOARD=RPI_PICO"),
            f"-DMICROPY_FROZEN_MANIFEST={manifest}",
            f"-DMICROPY_LIB_DIR={found.library}",
            f"-DMICROPY_MPYCROSS={found.mpy_cross}",
            *("-DPICO_NO_PICOTOOL=1", "-DPICO_CLIB=newlib"),
            found=found,
        )
        run("make", "-j2", "-C", work / "build", found=found)
        uf2 = work / "build" / "firmware.uf2"
        run(
            *(sys.executable, found.top / "tools/uf2conv.py", "--convert", "--family=0xe48bff56"),
            *("--base=0x10000000", f"--output={uf2}", work / "build" / "firmware.bin"),
            found=found,
        )
        return uf2

    return image("RPI_PICO", build)


def mps2() -> Path:
    """The ELF file of a Cortex-M3 in QEMU: upstream's MPS2_AN385."""

    def build(found: Sources, work: Path) -> Path:
        manifest = work / "manifest.py"
        manifest.touch()
        run(
            *("make", "-j2", "-C", found.top / "ports/qemu", "BOARD=MPS2_AN385"),
            *(f"BUILD={work / 'build'}", f"FROZEN_MANIFEST={manifest}"),
            *(f"MPY_LIB_DIR={found.library}", "MPY_LIB_SUBMODULE_DIR="),
            f"MICROPY_MPYCROSS={found.mpy_cross}",
            found=found,
        )
        return work / "build" / "firmware.elf"

    return image("MPS2_AN385", build)


def image(name: str, build: Callable[[Sources, Path], Path]) -> Path:
    found = sources()

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            made = build(found, Path(work))
            shutil.copy(made, folder / f"firmware{made.suffix}")

    [made] = cache.made("images", f"stock-{name}-{found.key or 'checkout'}", make).iterdir()
    return made


def run(*command: str | Path, found: Sources) -> None:
    tools = {**environment("arm-none-eabi-gcc"), **found.environment}
    ran = subprocess.run([str(word) for word in command], env=tools, capture_output=True, text=True)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]


if __name__ == "__main__":
    for make in (pico, mps2):
        print(f"{make.__name__}, stock: {make()}")
