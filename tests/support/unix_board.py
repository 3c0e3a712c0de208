"""The firmware as it ships, in MicroPython's Unix port: a board to switch on and off."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from device import FIRMWARE, ROOT, device_environment, micropython

UNIX = ROOT / "boards" / "emulated" / "unix"


class BoardStopped(Exception):
    """The firmware ended before it said what was waited for; the text is all that it said."""


class UnixBoard:
    """One board: a folder holds its flash, its configuration and what it prints."""

    def __init__(
        self, folder: Path, uart: str, *, board: Path = UNIX, **configuration: Any
    ) -> None:
        """`board` is the folder with its board.py, `configuration` what birthkey.json holds."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.uart = folder, uart
        self.path = f"{board}:{UNIX}"
        self.configuration = configuration
        self.flash = folder / "flash.bin"
        self.log = folder / "board.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **configuration: Any) -> None:
        """Switch it off and on, with the options that are given changed for good."""
        self.kill()
        self.configuration.update(configuration)
        settings = self.folder / "birthkey.json"
        settings.write_text(json.dumps(self.configuration, indent=1))
        environment = device_environment()
        environment["MICROPYPATH"] = f"{self.path}:{environment['MICROPYPATH']}"
        environment["BIRTHKEY_UART"] = self.uart
        environment["BIRTHKEY_FLASH"] = str(self.flash)
        environment["BIRTHKEY_CONFIG"] = str(settings)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [micropython(), str(FIRMWARE / "main.py")],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def said(self) -> str:
        """What it has printed since it was started."""
        return self.log.read_text(errors="replace")

    def says(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Wait until it has printed this; TimeoutError when that takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process
            stopped = self.process.poll() is not None
            if found := re.search(pattern, self.said, re.MULTILINE):
                return found
            if stopped:
                raise BoardStopped(self.said)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{pattern!r}: not within {seconds} s; it said:\n{self.said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Cut its power."""
        if self.process:
            self.process.kill()
            self.process.wait()
