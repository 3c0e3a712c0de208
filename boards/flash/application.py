"""The application beside a firmware that has no birthkey: what it consists of, and where."""

from __future__ import annotations

from birthkey_host.repl import Repl
from boards.build import dist, native
from boards.build import firmware as builder
from boards.flash.probe import Found

# All files below folders.
_STALE = """\
import os
def _walk(path):
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        each = path + "/" + name
        if os.stat(each)[0] & 0x4000:
            for item in _walk(each):
                yield item
        else:
            yield each
print(repr([path for folder in FOLDERS for path in _walk(folder)]))
"""


def files(board: str, found: Found) -> dict[str, bytes]:
    """{path on the board: content} of the application."""
    root = found.root.rstrip("/")
    chosen = {f"{found.library}/{name}": data for name, data in dist.modules().items()}
    if found.platform != "linux":
        for backend in native.backends(found.arch):
            chosen[f"{found.library}/{native.name(backend)}"] = native.module(backend)
    chosen[f"{root}/board.py"] = (builder.BOARDS / board / "board.py").read_bytes()
    program = "application.py"
    chosen[f"{root}/application.mpy"] = dist.compiled(dist.FIRMWARE / program, program)
    chosen[f"{root}/main.py"] = (dist.FIRMWARE / "main.py").read_bytes()
    return chosen


def foreign(ours: bytes, present: bytes) -> bool:
    """Whether a person's own program is where one of ours is to go: it begins with another line."""
    return present.partition(b"\n")[0] != ours.partition(b"\n")[0]


def stale(repl: Repl, found: Found, wanted: dict[str, bytes]) -> list[str]:
    """Files in the packages' folders that are no part of them (any more).

    They have to go: MicroPython takes a module's .py before its .mpy.
    """
    folders = [f"{found.library}/{package}" for package in ("birthkey", "senml")]
    present = repl.ask(f"FOLDERS = {folders!r}\n{_STALE}")
    return [path for path in present if path not in wanted]
