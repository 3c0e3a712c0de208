"""MicroPython's Unix port for 32-bit Arm: Debian's own, with its libraries, in the cache.

Nothing is compiled and nothing installed; QEMU's user emulation runs it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from boards.build import cache, debian, toolchain

_SUITE = "trixie"
_UNUSED = ("usr/share", "*/gconv/*")


def command() -> list[str]:
    """The command that runs this MicroPython, in the environment that `environment` gives."""
    root = _sysroot()
    # The libraries of QEMU itself are not those of the program in it.
    options = ["-U", "LD_LIBRARY_PATH", "-L", str(root)]
    return ["qemu-arm", *options, str(root / "usr/bin/micropython")]


def environment() -> dict[str, str]:
    return toolchain.environment("qemu-arm")


def _sysroot() -> Path:
    pins = debian.pins("unix-arm")

    def unpack(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as name:
            for archive in debian.fetch_to_run("unix-arm", _SUITE, "armhf", Path(name)):
                debian.unpack(archive, folder, _UNUSED)
        # Debian's packages count on /lib being a link.
        (folder / "lib").symlink_to("usr/lib")

    return cache.made("sysroots", f"unix-arm-{cache.key(*pins.values(), *_UNUSED)}", unpack)
