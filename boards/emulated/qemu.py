"""Boards that QEMU plays: MicroPython's ports/qemu with birthkey, on a Cortex-M3 or M4."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from boards.build import firmware
from boards.build.toolchain import environment
from boards.emulated.emulator import BoardStopped, Emulator, FlashArea

_ERASED = b"\xff"

# A board must not go on when whoever switched it on was killed: it keeps a core busy.
_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []

# An instruction takes 8 ns of virtual time (-icount shift=3), a tick of time.ticks_cpu 40 ns.
_SHIFT = 3
INSTRUCTIONS_PER_TICK = 5

EXACT_SHIFT = 7
"""With this, an instruction takes 128 ns, so that ticks tell the number of instructions exactly."""


def exact_instructions(ticks: int) -> int:
    """How many they were, on a board with EXACT_SHIFT."""
    return round(ticks * 40 / (1 << EXACT_SHIFT))


class Qemu(Emulator):
    """A board with a UART for the REPL, one for the modem, and flash in a file."""

    machine: str  # as QEMU calls it
    variant = ""  # of the firmware
    flash_area = FlashArea(0, 4096, 64)
    patience = 2.0

    def __init__(
        self,
        folder: Path,
        uart: str | None = None,
        *,
        unique_id: bytes | None = None,
        elf: Path | None = None,
        random: Path | None = None,
        journal: Path | None = None,
        shift: int = _SHIFT,
        **configuration: Any,
    ) -> None:
        """`random` plays the random number generator; `journal` gets all flash operations.

        An instruction takes 2^shift ns of virtual time.
        """
        super().__init__(folder, uart, unique_id=unique_id, **configuration)
        self._shift = shift
        self._elf = elf or firmware.image(self.name, self.variant).elf
        self._options = [f"unique_id={(unique_id or bytes(8)).hex()}"]
        for option, path in (("random", random), ("journal", journal)):
            if path is not None:
                self._options.append(f"{option}={self._seen_from_inside(path)}")

    def _seen_from_inside(self, path: Path) -> str:
        """The path as the firmware gets it: on a command line that blanks and commas divide."""
        found = os.path.relpath(path, self.folder)
        if " " in found or "," in found:
            raise ValueError(f"no blank or comma can be in {found}")
        return found

    def switch_on(self) -> None:
        if not self.flash.exists():
            self.flash.write_bytes(_ERASED * self.flash_area.end)
        semihosting = "enable=on,target=native,arg=birthkey"
        for option in self._options:
            semihosting += f",arg={option}"
        modem = f"serial,path={self.uart}" if self.uart else "null"
        self.console.write_bytes(b"")
        self.process = subprocess.Popen(
            [*_WITH_US, "qemu-system-arm", "-machine", self.machine, "-display", "none"]
            + ["-monitor", "none", "-icount", f"shift={self._shift}", "-kernel", str(self._elf)]
            + ["-semihosting-config", semihosting]
            + [
                "-chardev",
                f"pty,id=repl,logfile={self.console.resolve()}",
                "-serial",
                "chardev:repl",
            ]
            + ["-chardev", f"{modem},id=modem", "-serial", "chardev:modem"],
            cwd=self.folder,
            env=environment("qemu-system-arm"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        told = b""
        for line in self.process.stdout:
            told += line
            if found := re.search(rb"redirected to (\S+) \(label repl\)", line):
                self.repl = found[1].decode()
                return
        raise BoardStopped(f"QEMU did not start: {told.decode(errors='replace')}")


class Mps2(Qemu):
    """Arm's MPS2 board, with as much heap as an RP2040 has."""

    name = "QEMU_MPS2_AN385"
    machine = "mps2-an385"


class Mps2CortexM4(Mps2):
    """The same board, and the same firmware, on a Cortex-M4."""

    machine = "mps2-an386"


class Mps2ArmV6M(Mps2):
    """The same board, with firmware of no other instructions than a Cortex-M0+ has."""

    variant = "ARMV6M"


class Netduino2(Qemu):
    """A board of 128 KiB RAM: STM32F205."""

    name = "QEMU_NETDUINO2"
    machine = "netduino2"
