"""firmware/native as files .mpy, for firmware that has it not compiled in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from boards.build import cache
from boards.build.cache import BuildError
from boards.build.firmware import ROOT, tools, version_of_compiler
from boards.build.sources import sources

BACKENDS = ("armv6m", "armv7m", "armv7em")
"""Those of birthkey.crypto.p256 that are native."""

_P256 = ROOT / "firmware" / "native" / "p256"


def name(backend: str) -> str:
    """Of the file, below a board's lib."""
    return f"birthkey_p256_{backend}.mpy"


def backends(arch: str) -> tuple[str, ...]:
    """Those that a board may need whose firmware is for that architecture of .mpy files.

    Firmware for Cortex-M3 calls itself armv7em: such a board gets both, and takes what it can run.
    """
    if arch in ("armv7emsp", "armv7emdp"):
        return ("armv7em",)
    return {"armv6m": ("armv6m",), "armv7m": ("armv7m",), "armv7em": ("armv7m", "armv7em")}.get(
        arch, ()
    )


def module(backend: str) -> bytes:
    """The content of a back end's file, made with MicroPython's own tools. Raises BuildError."""
    found = sources()
    programs = {**tools(found), "PYTHONDONTWRITEBYTECODE": "1"}
    # This Python, which has pyelftools, by a name that has no blanks in it.
    programs["PATH"] = f"{Path(sys.executable).parent}:{programs['PATH']}"

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "p256"
            shutil.copytree(_P256, work)
            command = ["make", "-C", str(work), f"BACKEND={backend}", f"MPY_DIR={found.top}"]
            command += ["PYTHON=python", f"MPY_CROSS={found.mpy_cross}"]
            ran = subprocess.run(command, env=programs, capture_output=True, text=True)
            if ran.returncode:
                raise BuildError(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")
            shutil.copy(work / name(backend), target)

    if found.key:
        compiler = version_of_compiler(programs)
        key = cache.key(cache.hash_of([_P256], ROOT), found.key, compiler)
        return (cache.made("native", f"{backend}-{key}", make) / name(backend)).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        return (Path(folder) / name(backend)).read_bytes()
