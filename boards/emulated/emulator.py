"""What every emulated board has in common: a folder, a console, flash and a UART for the modem."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from littlefs import LittleFS

CONFIGURATION = "birthkey.json"


class BoardStopped(Exception):
    """The emulator ended before the board said what was waited for; the text has all it said."""


@dataclass(frozen=True)
class FlashArea:
    """Where in the flash file the board's littlefs is: bytes, bytes, blocks."""

    offset: int
    block_size: int
    blocks: int

    @property
    def end(self) -> int:
        return self.offset + self.block_size * self.blocks


class Emulator(ABC):
    """One board, switched off until `start`. Its folder outlives it.

    `flash.bin` in the folder is the flash, `console.log` what the board printed since it was
    switched on. `repl` is what `mpremote connect` takes, while the board is on.
    """

    name: str  # as in BOARD=
    flash_area: FlashArea
    patience = 1.0  # how much longer than UNIX it takes for what a test or the demo waits for

    def __init__(
        self,
        folder: Path,
        uart: str | None = None,
        *,
        unique_id: bytes | None = None,
        **configuration: Any,
    ) -> None:
        """`uart` is the tty that the board's modem is on; `unique_id` what its chip says it is.

        `configuration` is what birthkey.json will hold; without any the board has none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration = configuration
        self.folder, self.uart, self.unique_id = folder, uart, unique_id
        self.flash = folder / "flash.bin"
        self.console = folder / "console.log"
        self.repl = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: Any) -> None:
        """Switch it off and on, with these options of its configuration changed for good.

        `repl` and the UART are there when this returns.
        """
        self.kill()
        self.configuration.update(changes)
        if self.configuration:
            self.configure(self.configuration)
        self.switch_on()

    @abstractmethod
    def switch_on(self) -> None:
        """Give power to a board that is off; `repl` and the UART are there when this returns."""

    def kill(self) -> None:
        """Cut its power."""
        if self.process:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def configure(self, configuration: dict[str, Any]) -> None:
        """Write birthkey.json to the flash of a board that is off."""
        with self.filesystem() as flash, flash.open(CONFIGURATION, "w") as file:
            json.dump(configuration, file)

    @contextlib.contextmanager
    def filesystem(self) -> Iterator[LittleFS]:
        """The littlefs on the flash of a board that is off; changes are kept."""
        if self.process:
            raise RuntimeError("the board is on: its flash is its own")
        if not self.flash.exists():
            # The firmware makes the file system when it first runs, and asks for its settings.
            self.switch_on()
            self.says("^stopped: there is no ")
            self.kill()
        area = self.flash_area
        image = bytearray(self.flash.read_bytes())
        flash = LittleFS(block_size=area.block_size, block_count=area.blocks, mount=False)
        flash.context.buffer = image[area.offset : area.end]
        flash.mount()
        yield flash
        flash.unmount()
        image[area.offset : area.end] = flash.context.buffer
        self.flash.write_bytes(image)

    @property
    def said(self) -> str:
        """What it has printed since it was switched on."""
        return self.console.read_text(errors="replace").replace("\r\n", "\n")

    def says(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Wait until it has printed this; TimeoutError when that takes too long.

        `$` is the end of a line, and not of what has been printed of one so far. `seconds` are
        those of UNIX; slower boards are given more.
        """
        whole_lines = pattern.replace("$", r"(?=\n)")
        seconds *= self.patience
        deadline = time.monotonic() + seconds
        while True:
            status = self.process.poll() if self.process else "switched off"
            if found := re.search(whole_lines, self.said, re.MULTILINE):
                return found
            if status is not None:
                raise BoardStopped(f"{pattern!r}: it ended ({status}), and had said:\n{self.said}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{pattern!r}: not within {seconds} s; it said:\n{self.said}")
            time.sleep(0.05)
