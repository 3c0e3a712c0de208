"""Builds MicroPython with birthkey frozen in, for a folder of `boards/`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boards.build import cache
from boards.build.cache import BuildError
from boards.build.sources import Sources, sources
from boards.build.toolchain import environment

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
OUT = ROOT / "build" / "firmware"

Build = Callable[[Path, Sources, Path, dict[str, str]], None]


@dataclass(frozen=True)
class Image:
    """What a build made: files named firmware.*, beside them sizes and the linker's map."""

    board: str
    """And its variant, as in `labels`."""
    folder: Path

    @property
    def elf(self) -> Path:
        return self.folder / "firmware.elf"

    @property
    def map(self) -> Path:
        """The linker's."""
        return next(self.folder.glob("firmware*.map"))

    @property
    def flashable(self) -> Path:
        """What goes onto the board, or into its emulator."""
        uf2 = self.folder / "firmware.uf2"
        return uf2 if uf2.exists() else self.elf


def folder_for_make(folder: Path) -> Path:
    """A folder of this project as upstream's makefiles can take it, whatever its name is."""
    return cache.without_blanks(ROOT) / folder.relative_to(ROOT)


def names() -> list[str]:
    """The boards that there are folders for."""
    return sorted(path.parent.name for path in BOARDS.glob("*/board.json"))


def labels() -> list[str]:
    """The boards, and BOARD-VARIANT for each variant of one."""
    files = BOARDS.glob("*/mpconfigvariant_*.mk")
    variants = [f"{path.parent.name}-{path.stem.split('_', 1)[1]}" for path in files]
    return sorted([*names(), *variants])


def port(board: str) -> str:
    """The folder of MicroPython's `ports` that a board belongs to."""
    folder = BOARDS / board
    if not (folder / "board.json").exists():
        raise BuildError(f"there is no board {board}: boards/ has {', '.join(names())}")
    if (folder / "mpconfigboard.cmake").exists():
        return "rp2"
    return "qemu" if board.startswith("QEMU_") else "stm32"


def storage(board: str) -> int:
    """Bytes at the end of flash that the board keeps files in, as far as its folder says so."""
    header = BOARDS / board / "mpconfigboard.h"
    text = header.read_text() if header.exists() else ""
    found = re.search(r"MICROPY_HW_FLASH_STORAGE_BYTES\s+\((\d+) \* 1024\)", text)
    return int(found[1]) * 1024 if found else 0


def image(board: str, variant: str = "") -> Image:
    """The image for a board, built if it is not in the cache. Raises BuildError.

    `variant` is one of the board's, as MicroPython's builds call what mpconfigvariant_NAME.mk says.
    """
    port(board)
    found = sources()
    programs = tools(found)
    inputs = [BOARDS / board, BOARDS / "emulated/qemu", BOARDS / "rp2", BOARDS / "stm32"]
    inputs += [*BOARDS.glob("*.h"), Path(__file__)]
    compiler = version_of_compiler(programs)
    # Makefiles know what follows from a changed source, but not from a changed option: a folder
    # to build in serves for one set of options.
    options = [path for item in inputs for path in item.rglob("*") if path.suffix != ".py"]
    # And for one checkout: upstream's tool compiles a module again only if its file is newer.
    folders = str(ROOT), str(found.top)
    label = f"{board}-{variant}" if variant else board
    place = f"{label}-{cache.key(cache.hash_of(options, ROOT), *folders, compiler)}"

    def make(target: Path) -> None:
        work = cache.home() / "work" / place
        with cache.locked(f"work-{place}"):
            build(board, work, target, found, programs, variant)

    if found.key:
        key = cache.key(cache.hash_of([*inputs, ROOT / "firmware"], ROOT), found.key, compiler)
        return Image(label, cache.made("images", f"{label}-{key}", make))
    # Nobody knows what is in a checkout that somebody works in: make decides.
    target = OUT / label / "image"
    target.mkdir(parents=True, exist_ok=True)
    make(target)
    return Image(label, target)


def tools(found: Sources) -> dict[str, str]:
    """The environment to build these sources in."""
    # Upstream's scripts write tables in the order of sets, which is another in every process.
    repeatable = {"PYTHONHASHSEED": "0"}
    return {**environment("arm-none-eabi-gcc"), **found.environment, **repeatable}


def build(
    board: str,
    work: Path,
    target: Path,
    found: Sources,
    tools: dict[str, str],
    variant: str = "",
) -> None:
    """Build in the folder `work`, which may hold an earlier build; the image goes to `target`."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "build.log").unlink(missing_ok=True)
    tools = {**tools, "BOARD_VARIANT": variant}  # whoever has one in his environment
    _BUILDS[port(board)](folder_for_make(BOARDS / board), found, work, tools)
    for made in work.glob("firmware.*"):
        shutil.copy(made, target)


def version_of_compiler(tools: dict[str, str]) -> str:
    """What the C compiler says of itself."""
    command = ["arm-none-eabi-gcc", "--version"]
    return subprocess.run(command, env=tools, capture_output=True, text=True).stdout


def _qemu(folder: Path, found: Sources, work: Path, tools: dict[str, str]) -> None:
    _run(
        ["make", "-j2", "-C", str(found.top / "ports/qemu"), f"BOARD={folder.name}"]
        + [f"BOARD_DIR={folder}", f"BUILD={work}", f"MPY_LIB_DIR={found.library}"]
        + [f"MICROPY_MPYCROSS={found.mpy_cross}", "MPY_LIB_SUBMODULE_DIR="]
        + [f"CFLAGS_EXTRA={_without_paths(found)}"],
        tools,
        work,
    )


def _rp2(folder: Path, found: Sources, work: Path, tools: dict[str, str]) -> None:
    # In the environment: -DCMAKE_C_FLAGS= would replace what the Pico SDK says of the processor.
    flags = dict.fromkeys(("CFLAGS", "CXXFLAGS", "ASMFLAGS"), _without_paths(found))
    tools = {**tools, **flags}
    _run(
        ["cmake", "-S", str(found.top / "ports/rp2"), "-B", str(work)]
        + [f"-DMICROPY_BOARD={folder.name}", f"-DMICROPY_BOARD_DIR={folder}"]
        + [f"-DMICROPY_LIB_DIR={found.library}", f"-DMICROPY_MPYCROSS={found.mpy_cross}"]
        + ["-DPICO_NO_PICOTOOL=1", "-DPICO_CLIB=newlib"],
        tools,
        work,
    )
    _run(["make", "-j2", "-C", str(work)], tools, work)
    _run(
        [sys.executable, str(found.top / "tools/uf2conv.py"), "--convert"]
        + ["--family=0xe48bff56"]  # RP2040
        + ["--base=0x10000000", f"--output={work}/firmware.uf2", str(work / "firmware.bin")],
        tools,
        work,
    )


def _stm32(folder: Path, found: Sources, work: Path, tools: dict[str, str]) -> None:
    if not (found.top / "lib/stm32lib/CMSIS").exists():
        raise BuildError(
            "ports/stm32 needs ST's HAL, which is not in Debian: give MICROPYTHON_DIR=, a checkout "
            "of MicroPython in which `make -C ports/stm32 submodules` was run"
        )
    _run(
        ["make", "-j2", "-C", str(found.top / "ports/stm32"), f"BOARD={folder.name}"]
        + [f"BOARD_DIR={folder}", f"BUILD={work}", f"MPY_LIB_DIR={found.library}"]
        + [f"MICROPY_MPYCROSS={found.mpy_cross}"],
        tools,
        work,
    )


_BUILDS: dict[str, Build] = {"qemu": _qemu, "rp2": _rp2, "stm32": _stm32}


def _without_paths(found: Sources) -> str:
    """Options that keep the names of this machine's folders out of the image."""
    project = folder_for_make(ROOT)
    return f"-ffile-prefix-map={found.top}=micropython -ffile-prefix-map={project}=birthkey"


def _run(command: list[str], tools: dict[str, str], work: Path) -> None:
    if shutil.which(command[0], path=tools["PATH"]) is None:
        raise BuildError(
            f"{command[0]} is not on PATH: install it (on Debian: apt install {command[0]})"
        )
    log = work / "build.log"
    with log.open("ab") as output:
        ran = subprocess.run(command, env=tools, stdout=output, stderr=subprocess.STDOUT)
    if ran.returncode:
        end = log.read_text(errors="replace")[-3000:]
        raise BuildError(f"{' '.join(command)} failed; {log} ends with:\n{end}")
