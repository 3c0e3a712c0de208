"""MicroPython's source: the user's checkout (MICROPYTHON_DIR=), or Debian's, put together.

Debian's source package has no submodules, so mbed TLS, the Pico SDK and TinyUSB come from
packages of their own, and micropython-lib's `senml` from PyPI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from boards.build import cache, debian, pypi
from boards.build.cache import BuildError

_VERSION = "1.25.0"
_RELEASED = 1744675200  # 2025-04-15, for the banner: an image tells no time of its own
_SENML = pypi.Pin(
    "micropython-senml==0.1.1", "6e65877a8b0b0efd548c0f539be02477a7026bbce7399b5c578deb501e89450a"
)
_LIBRARY = """metadata(version="0.1.1")
package("senml")
"""


@dataclass(frozen=True)
class Sources:
    """A MicroPython source tree with its libraries; `key` names its content, "" is not known."""

    top: Path
    library: Path  # micropython-lib
    mpy_cross: Path
    key: str
    environment: dict[str, str]


def sources() -> Sources:
    """The source tree to build from. Raises BuildError."""
    cache.check()
    own = os.environ.get("MICROPYTHON_DIR")
    return _checkout(Path(own).resolve()) if own else _debian()


def _checkout(top: Path) -> Sources:
    if not (top / "py/mpconfig.h").exists():
        raise BuildError(f"MICROPYTHON_DIR={top} is not a checkout of MicroPython")
    library = Path(os.environ.get("MICROPY_LIB_DIR") or top / "lib/micropython-lib")
    if not (library / "micropython/senml").exists():
        raise BuildError(
            f"micropython-lib is not at {library}: run `make -C ports/rp2 submodules` in {top}, "
            "or give MICROPY_LIB_DIR="
        )
    top, library = cache.without_blanks(top), cache.without_blanks(library.resolve())
    return Sources(top, library, _mpy_cross(top), "", _date(top))


def _date(top: Path) -> dict[str, str]:
    """The date in the banner: that of the commit, so that two builds give the same bytes."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return {}
    git = ["git", "-C", str(top), "log", "-1", "--format=%ct"]
    ran = subprocess.run(git, capture_output=True, text=True)
    return {"SOURCE_DATE_EPOCH": ran.stdout.strip() or str(_RELEASED)}


def _debian() -> Sources:
    pins = debian.pins("micropython")
    key = cache.key(_VERSION, _SENML.sha256, _LIBRARY, *pins.values())
    top = cache.made("sources", f"micropython-{_VERSION}-{key}", _assemble)
    environment = {"MICROPY_GIT_TAG": f"v{_VERSION}", "SOURCE_DATE_EPOCH": str(_RELEASED)}
    library = top / "lib/micropython-lib"
    return Sources(top, library, top / "mpy-cross/build/mpy-cross", key, environment)


def _assemble(top: Path) -> None:
    micropython, mbedtls, pico_sdk, tinyusb = debian.fetch_all("micropython")
    debian.unpack(micropython, top, strip=1)
    (top / "lib/mbedtls").mkdir(exist_ok=True)
    debian.unpack(mbedtls, top / "lib/mbedtls", strip=1)
    for archive, name in ((pico_sdk, "pico-sdk"), (tinyusb, "tinyusb")):
        folder = top / "lib" / name
        folder.mkdir(exist_ok=True)
        debian.unpack(archive, folder, exclude=("usr/share",), strip=3)
        (folder / "README.md").touch()  # what upstream's makefiles look for in a submodule
    library = top / "lib/micropython-lib"
    for part in ("micropython/senml", "python-stdlib", "python-ecosys"):
        (library / part).mkdir(parents=True)
    (library / "README.md").touch()
    (library / "micropython/senml/manifest.py").write_text(_LIBRARY)
    pypi.unpack(_SENML, library / "micropython/senml")
    _mpy_cross(top)


def _mpy_cross(top: Path) -> Path:
    program = top / "mpy-cross/build/mpy-cross"
    if not program.exists():
        _run(["make", "-C", str(top / "mpy-cross"), "-j2"])
    return program


def _run(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise BuildError(
            f"{command[0]} is not on PATH: install it (on Debian: apt install make gcc)"
        )
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{(ran.stdout + ran.stderr)[-4000:]}")
