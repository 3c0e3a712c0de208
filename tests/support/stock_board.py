"""A stock board without hardware: MicroPython's Unix port behind a pty, as on a cable.

Its root is littlefs in a file, so that nothing of this machine is seen from it. A soft reset starts
the interpreter anew, as on a board: in the raw REPL without main.py, else with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import tty
from pathlib import Path
from typing import Any

from littlefs import LittleFS

from boards.emulated.unix_port import micropython

_BLOCK = 4096

BOARD_PY = '''\
"""A board for tests: the Unix port, behind a pty."""

from birthkey.crypto import entropy

NAME = "stock"
CONFIG = "birthkey.json"
STATE = "/birthkey.id"
ENTROPY = (entropy.Source("urandom", entropy.urandom, 4),)
UNIQUE_ID = b""


def uart():
    raise ValueError("there is no modem")


def mount():
    pass


def temperature():
    return 21
'''
"""A board.py for it."""

_START = """\
import sys, vfs
class _Flash:
    def __init__(self):
        self.file = open({flash!r}, "r+b")
    def readblocks(self, number, buffer, offset=0):
        self.file.seek(number * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, number, buffer, offset=None):
        self.file.seek(number * 4096 + (offset or 0))
        self.file.write(buffer)
        self.file.flush()
    def ioctl(self, request, argument):
        if request == 4:
            return {blocks}
        if request == 5:
            return 4096
        return 0
_flash = _Flash()
_extra = [vfs.VfsPosix(path) for path in {folders!r}]
try:
    _root = vfs.VfsLfs2(_flash)
except OSError:
    vfs.VfsLfs2.mkfs(_flash)
    _root = vfs.VfsLfs2(_flash)
vfs.umount("/")
vfs.mount(_root, "/")
sys.path[:] = ["", ".frozen", "/lib"]
for _number, _folder in enumerate(_extra):
    vfs.mount(_folder, "/extra%d" % _number)
    sys.path.append("/extra%d" % _number)
{before}
if {main}:
    try:
        import os
        os.stat("main.py")
    except OSError:
        pass
    else:
        exec(open("main.py").read())
"""
_RAW = b"raw REPL; CTRL-B to exit\r\n>"


class StockBoard:
    """Switched on until `close`. `port` is its serial port, `output` what it printed so far, and
    `flash` the file with its flash.

    `folders` are on its module path, read from this machine; `before` runs at each start, so that
    a test can take something away from the firmware.
    """

    def __init__(
        self, folder: Path, *folders: Path, before: str = "", blocks: int = 128, main: bool = True
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.flash = folder / "flash.bin"
        if not self.flash.exists():
            self.flash.write_bytes(b"\xff" * _BLOCK * blocks)
        self._settings: dict[str, Any] = {
            "flash": str(self.flash),
            "blocks": blocks,
            "folders": [str(each) for each in folders],
            "before": before,
        }
        self._script = folder / "start.py"
        self._main = main
        self.output = b""
        self._outer, self._slave = os.openpty()  # its end of the cable, and the person's
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stop = os.pipe()
        self._raw = False
        self._start()
        self._thread: threading.Thread | None = threading.Thread(target=self._carry)
        self._thread.start()

    def files(self) -> dict[str, bytes]:
        """{path: content} of all that is on its flash; while nothing writes to it."""
        flash = LittleFS(block_size=_BLOCK, block_count=self._settings["blocks"], mount=False)
        flash.context.buffer = bytearray(self.flash.read_bytes())
        flash.mount()
        found = {}
        for folder, _, names in flash.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with flash.open(path, "rb") as file:
                    found[path] = file.read()
        return found

    def close(self) -> None:
        if self._thread is None:
            return
        os.write(self._stop[1], b".")
        self._thread.join()
        self._thread = None
        self._process.kill()
        self._process.wait()
        for descriptor in (self._outer, self._slave, self._inner, *self._stop):
            os.close(descriptor)

    def __enter__(self) -> StockBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        main = self._main and not self._raw
        self._script.write_text(_START.format(**self._settings, main=main))
        self._inner, slave = os.openpty()
        tty.setraw(slave)
        self._process = subprocess.Popen(
            [micropython(), "-i", str(self._script)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "MICROPYPATH": ".frozen"},
        )
        os.close(slave)
        if self._raw:
            self._until_raw()
        else:
            self._until_prompt()

    def _until_raw(self) -> None:
        """Bring a fresh interpreter into the raw REPL, as a soft reset in it leaves a board."""
        said = b""
        while not said.endswith(b">>> "):
            said += os.read(self._inner, 1024)
        os.write(self._inner, b"\x01")
        said = b""
        while _RAW not in said:
            said += os.read(self._inner, 1024)
        self._say(_RAW)

    def _until_prompt(self) -> None:
        """Until it is ready, or its program has begun."""
        while not self.output.endswith(b">>> ") and select.select([self._inner], [], [], 0.5)[0]:
            self._say(os.read(self._inner, 1024))

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._outer, self._inner, self._stop[0]], [], [])
            if self._stop[0] in ready:
                return
            if self._inner in ready:
                self._pass_on()
            elif self._outer in ready:
                self._hear(os.read(self._outer, 1024))

    def _pass_on(self) -> None:
        try:
            self._say(os.read(self._inner, 1024))
        except OSError:  # it has ended: a soft reset
            self._process.wait()
            os.close(self._inner)
            self._raw = self._was_raw()
            self._say(b"MPY: soft reboot\r\n")
            self._start()

    def _hear(self, data: bytes) -> None:
        if b"\x03" in data and not self.output.endswith((b">>> ", b">")):
            self._process.send_signal(signal.SIGINT)  # there is no terminal that would send it
        reset = data.endswith(b"\x04") and self.output.endswith(b"\r\n>>> ")
        os.write(self._inner, data)
        if reset:
            # Whoever calls next finds the fresh one: no port is as fast as a pty.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)

    def _was_raw(self) -> bool:
        return self.output.rfind(_RAW[:8]) > self.output.rfind(b">>> ")

    def _say(self, data: bytes) -> None:
        self.output += data
        os.write(self._outer, data)
