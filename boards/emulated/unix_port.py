"""MicroPython's Unix port as a board: a pty is its UART, a file its flash.

Natively, and for Arm under QEMU's user emulation. There is no serial console: what the
firmware prints goes to `console.log`, and `repl` stays empty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boards.build import unix_arm
from boards.emulated.emulator import CONFIGURATION, Emulator, FlashArea

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
UNIX = ROOT / "boards" / "emulated" / "unix"


def micropython() -> str:
    """The MicroPython Unix port: `MICROPYTHON=`, or the one beside this interpreter."""
    return os.environ.get("MICROPYTHON") or str(Path(sys.executable).parent / "micropython")


def search_path(*folders: Path) -> str:
    """MICROPYPATH with the firmware, what it takes from micropython-lib, and these before it."""
    paths = [*folders, FIRMWARE, ROOT / "build" / "mpylib", ".frozen"]
    return ":".join(map(str, paths))


class UnixPort(Emulator):
    name = "UNIX"
    flash_area = FlashArea(0, 4096, 64)

    def __init__(
        self,
        folder: Path,
        uart: str | None = None,
        *,
        unique_id: bytes | None = None,
        board: Path = UNIX,
        **configuration: Any,
    ) -> None:
        """`board` is the folder with its board.py."""
        super().__init__(folder, uart, unique_id=unique_id, **configuration)
        self.path = search_path(board, UNIX)

    def interpreter(self) -> tuple[list[str], Mapping[str, str]]:
        """The command that runs MicroPython, and the environment that it needs."""
        return [micropython()], os.environ

    def wiring(self) -> dict[str, str]:
        """What the environment adds to it: the board's parts."""
        return {
            "MICROPYPATH": self.path,
            "BIRTHKEY_UART": self.uart or "",
            "BIRTHKEY_FLASH": str(self.flash),
            "BIRTHKEY_CONFIG": str(self.folder / CONFIGURATION),
            "BIRTHKEY_UNIQUE_ID": (self.unique_id or b"").hex(),
        }

    def configure(self, configuration: dict[str, Any]) -> None:
        """Write birthkey.json beside the flash: this board is told where it is."""
        text = json.dumps(configuration, indent=1)
        (self.folder / CONFIGURATION).write_text(text)

    def switch_on(self) -> None:
        command, environment = self.interpreter()
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                [*command, str(FIRMWARE / "main.py")],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**environment, **self.wiring()},
            )


class ArmUnixPort(UnixPort):
    """MicroPython 1.25 of Debian 13 for 32-bit Arm."""

    name = "UNIX_ARM"
    patience = 2.0

    def interpreter(self) -> tuple[list[str], Mapping[str, str]]:
        return unix_arm.command(), unix_arm.environment()
