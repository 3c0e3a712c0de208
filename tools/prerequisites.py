"""What make needs of this machine and does not install: looked for before anything is downloaded.

    python3 -m tools.prerequisites [--board BOARD] [--packages] GOAL...

It runs on the machine's own Python, which may be too old for the rest of the project, and names
what is missing by Debian package. With --packages it prints all packages that the goals need.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]

Check = Callable[[], Optional[str]]  # what is wrong, None if nothing is


class Need(NamedTuple):
    """Something that has to be on the machine."""

    packages: tuple[str, ...]  # Debian's
    what_for: str
    wrong: Check


def versions() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first version of Python that will do and the first one that is too new."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    low, high = re.findall(r'^requires-python = ">=([\d.]+),<([\d.]+)"', text, re.MULTILINE)[0]
    return tuple(map(int, low.split("."))), tuple(map(int, high.split(".")))


def python() -> str | None:
    low, high = versions()
    if low <= sys.version_info < high:
        return None
    mine, first, last = sys.version_info, ".".join(map(str, low)), f"{high[0]}.{high[1] - 1}"
    return (
        f"{sys.executable} is Python {mine[0]}.{mine[1]}, and it takes {first} to {last}: name"
        " another with PYTHON="
    )


def machine() -> str | None:
    if platform.machine() == "x86_64" and sys.platform == "linux":
        return None
    return f"this is {sys.platform} on {platform.machine()}, and it takes Linux on x86_64"


def modules() -> str | None:
    names = ("venv", "ensurepip", "ssl", "sqlite3", "zlib", "bz2", "lzma")
    missing = [name for name in names if not importlib.util.find_spec(name)]
    return f"{sys.executable} has no module {', '.join(missing)}" if missing else None


def programs(*names: str) -> Check:
    def wrong() -> str | None:
        missing = [name for name in names if shutil.which(name) is None]
        return f"there is no {' and no '.join(missing)}" if missing else None

    return wrong


def compiler() -> str | None:
    wrong = programs("gcc")()
    if wrong is None:
        ran = subprocess.run(
            ["gcc", "-E", "-x", "c", "-"],
            input=b"#include <stdio.h>\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wrong = "gcc finds no headers of the C library" if ran.returncode else None
    return wrong


def node() -> str | None:
    wrong = programs("node", "npm")()
    if wrong is None:
        told = subprocess.run(["node", "--version"], stdout=subprocess.PIPE).stdout.decode()
        if int((re.findall(r"^v(\d+)", told) or ["0"])[0]) < 18:
            wrong = f"node is {told.strip()}, and it takes version 18"
    return wrong


def archive() -> str | None:
    if "MICROPYTHON_DIR" in os.environ and os.environ.get("BIRTHKEY_TOOLS") == "path":
        return None
    return programs("apt-get", "dpkg-deb")()


def cache() -> str | None:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    if not any(character.isspace() for character in base):
        return None
    return f"{base} has blanks in its name: set XDG_CACHE_HOME to a folder that has none"


MACHINE = Need((), "MicroPython and compilers come ready-made for that", machine)
PYTHON = Need(("python3-venv",), "runs all of it", python)
MODULES = Need(("python3-venv",), "runs all of it", modules)
COMPILER = Need(("gcc", "libc6-dev"), "compiles MicroPython's own tools", compiler)
CMAKE = Need(("cmake",), "builds firmware for the RP2040", programs("cmake"))
NODE = Need(("nodejs", "npm"), "the emulated RP2040 runs in it", node)
OPENSSL = Need(("openssl",), "other software that the tests compare with", programs("openssl"))
ARCHIVE = Need((), "compilers and sources come from Debian's archive", archive)
CACHE = Need((), "firmware is built there", cache)

ALWAYS = [MACHINE, PYTHON, MODULES]
FIRMWARE = [CACHE, ARCHIVE, COMPILER]
ALL = [*FIRMWARE, CMAKE, NODE, OPENSSL]


def needs(goal: str, board: str = "") -> list[Need]:
    """What a goal of the Makefile needs, for a board where it takes one."""
    if goal in ("test", "emulators", "soak", "bench", "mutations"):
        return [*ALWAYS, *ALL]
    if goal == "dist":
        return [*ALWAYS, *FIRMWARE]
    if goal not in ("demo", "emulate", "firmware", "flash") or board in ("", "UNIX"):
        return ALWAYS
    if board == "UNIX_ARM":
        return [*ALWAYS, CACHE, ARCHIVE]
    found = [*ALWAYS, *FIRMWARE]
    if board.startswith("RPI_"):
        found += [CMAKE] if goal in ("firmware", "flash") else [CMAKE, NODE]
    return found


def packages(wanted: list[Need]) -> list[str]:
    """The names of Debian's packages, each once."""
    return list(dict.fromkeys(name for need in wanted for name in need.packages))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goals", metavar="GOAL", nargs="*")
    parser.add_argument("--board", default="")
    parser.add_argument("--packages", action="store_true")
    given = parser.parse_args()
    wanted = [need for goal in given.goals or ["help"] for need in needs(goal, given.board)]
    wanted = list(dict.fromkeys(wanted))
    if given.packages:
        print(*packages(wanted))
        return 0
    missing = []
    for need in wanted:
        wrong = need.wrong()
        if wrong is not None:
            missing.append(need)
            print(f"{wrong} ({need.what_for})", file=sys.stderr)
    if packages(missing):
        print(f"On Debian: sudo apt install {' '.join(packages(missing))}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
