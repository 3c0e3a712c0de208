"""Packages of PyPI of which a build takes files, pinned by version and SHA-256.

They go into the cache, not into the environment that programs of this project run in.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from boards.build.cache import BuildError


class Pin(NamedTuple):
    """One file of one release."""

    requirement: str  # NAME==VERSION
    sha256: str


def unpack(pin: Pin, folder: Path) -> None:
    """Unpack a package into a folder, without what it depends on. Raises BuildError."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--require-hashes", "--target", str(folder), "-r", str(wanted)]
    ran = subprocess.run(pip, capture_output=True, text=True)
    wanted.unlink()
    if ran.returncode:
        raise BuildError(f"pip cannot install {pin.requirement}:\n{ran.stderr[-4000:]}")
