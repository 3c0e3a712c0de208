"""The programs that build and run firmware, and nginx: Debian 12's, unpacked into the cache.

So every machine compiles with the same compiler, and gets the same images. On a machine that has
no Debian mirror the programs on PATH are taken instead.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

from boards.build import cache, debian
from boards.build.cache import BuildError

# Of the C library and the compiler's run-time only what Cortex-M boards are linked with.
_UNUSED = (
    "usr/share",
    "*/12.2.1/arm",
    "*/12.2.1/plugin",
    "*/newlib/arm",
    "*/thumb/v7",
    "*/thumb/v7+fp",
    "*/thumb/v7-a*",
    "*/thumb/v7-r*",
    "*/thumb/v7ve*",
    "*/thumb/v8*",
)
_ALL = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-arm": "qemu-user",
    "nginx": "nginx libnginx-mod-stream",
}
_PINNED_AS = {"qemu-arm": "qemu-user"}


def environment(program: str) -> dict[str, str]:
    """The environment in which `program` (a key of the table above) is on PATH."""
    if program not in _ALL:
        raise ValueError(program)
    name = _PINNED_AS.get(program, program)
    if os.environ.get("BIRTHKEY_TOOLS") != "path":
        key = f"{name}-{cache.key(*debian.pins(name).values(), *_UNUSED)}"
        if cache.has("tools", key) or debian.available():
            return debian.environment(cache.made("tools", key, functools.partial(_unpack, name)))
    path = os.environ.get("PATH", os.defpath)
    for where in (path, f"{path}:/usr/sbin"):  # servers are there, and not on everyone's PATH
        if shutil.which(program, path=where) is not None:
            return {**os.environ, "PATH": where}
    raise BuildError(
        f"{program} is not on PATH: install it (on Debian: apt install {_ALL[program]})"
    )


def _unpack(name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as today:
        for archive in _archives(name, Path(today)):
            debian.unpack(archive, folder, _UNUSED)
    newlib = folder / "usr/lib/arm-none-eabi"
    if newlib.exists():
        # Where a compiler that is not at home in /usr looks for its C library.
        (newlib / "include").symlink_to("../../include/newlib")
        (newlib / "lib").symlink_to("newlib")


def _archives(name: str, today: Path) -> list[Path]:
    if name == "nginx":  # no image and no count depends on which one it is
        return debian.fetch_to_run(name, "bookworm", "amd64", today)
    return debian.fetch_all(name)
