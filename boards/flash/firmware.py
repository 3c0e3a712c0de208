"""The firmware itself: compared with what is in flash, and written by mpflash.

mpflash brings the board into its boot loader and copies a UF2 onto the drive that appears, or
speaks DFU. Neither touches the file system: that is checked before, and the identity after.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from serial.tools import list_ports  # type: ignore[import-untyped]

from birthkey_host.repl import Repl, ReplError
from boards.build.firmware import OUT
from boards.flash.image import Image, pico_file_system
from boards.flash.probe import Found

PATIENCE = 20.0  # seconds until a board that was flashed is back

METHODS = ("uf2", "dfu", "pyocd")
"""mpflash's ways to write a firmware that leave alone what is not in it."""

_HASHES = """\
import hashlib, uctypes
print(repr([hashlib.sha256(uctypes.bytearray_at(*area)).digest() for area in AREAS]))
"""
_WORDS = """\
import struct, uctypes
print(repr(struct.unpack("<%dI" % COUNT, uctypes.bytearray_at(ADDRESS, 4 * COUNT))))
"""


class FirmwareError(Exception):
    """The firmware cannot be written; the text says why, and what to do about it."""


def same(repl: Repl, image: Image) -> bool:
    """Whether the board's flash holds all of the image already: its own hash of it says so."""
    areas = [(segment.address, len(segment.data)) for segment in image.segments]
    hashes = repl.ask(f"AREAS = {areas!r}\n{_HASHES}", patience=60)
    return bool(hashes == [segment.sha256 for segment in image.segments])


def file_system(repl: Repl, found: Found) -> tuple[int, int] | None:
    """(address, bytes) of the file system in the flash of a board; None if it does not say."""
    if found.platform != "rp2":
        return found.area

    def words(address: int, count: int) -> Sequence[int]:
        answer = repl.ask(f"ADDRESS, COUNT = {address}, {count}\n{_WORDS}")
        return answer if isinstance(answer, tuple) else ()

    return pico_file_system(words)


def check(image: Image, area: tuple[int, int] | None) -> str:
    """Refuse an image that would not leave the file system alone; else a sentence that it does.

    `area` is where the board's file system is.
    """
    if area is None:
        raise FirmwareError(
            "the board does not say where in its flash the file system is, so nobody can tell"
            " whether this image leaves it alone, and an identity is on it"
        )
    address, size = area
    if image.touches(address, size):
        raise FirmwareError(
            f"{image.path} would overwrite the file system at 0x{address:08x}, and the identity on"
            " it: the image is too large, or for another board"
        )
    if image.file_system not in (None, area):
        raise FirmwareError(
            f"{image.path} has its file system at 0x{image.file_system[0]:08x}, and the board's is"
            f" at 0x{address:08x}: the identity would not be found there. Build it with the same"
            " MICROPY_HW_FLASH_STORAGE_BYTES"
        )
    return (
        f"the image ends at 0x{image.segments[-1].end:08x}, and the file system at"
        f" 0x{address:08x} stays as it is"
    )


def write(image: Path, port: str, platform: str, board: str, method: str) -> str:
    """Flash the board on a port, or the one whose boot loader is the drive `port`.

    `method` is one of METHODS. Gives the port that the board is on afterwards.
    """
    _at_home()
    from mpflash.common import BootloaderMethod, FlashMethod
    from mpflash.errors import MPFlashError
    from mpflash.flash import flash_mcu
    from mpflash.mpremoteboard import MPRemoteBoard

    in_boot_loader = is_boot_loader(port)
    before = {each.device for each in list_ports.comports()}
    mcu = MPRemoteBoard(port)
    mcu.port, mcu.board_id = platform, board
    way_in = BootloaderMethod.NONE if in_boot_loader else BootloaderMethod.AUTO
    try:
        flash_mcu(mcu, fw_file=image, bootloader=way_in, method=FlashMethod(method), erase=False)
    except MPFlashError as error:
        raise FirmwareError(f"mpflash could not flash the board: {error}") from None
    return _new_port(before) if in_boot_loader else port


def is_boot_loader(port: str) -> bool:
    """Whether `port` is the drive that a board in its boot loader shows."""
    return (Path(port) / "INFO_UF2.TXT").is_file()


def wait_for(port: str) -> Repl:
    """The REPL of a board that was flashed, as soon as it is back."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Repl(port)
        except ReplError as error:
            if time.monotonic() > deadline:
                raise FirmwareError(
                    f"the board did not come back within {PATIENCE:.0f} s: {error}. Repeat the"
                    " command when it is there again"
                ) from None
            time.sleep(0.5)


def _new_port(before: set[str]) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found: list[str] = sorted({each.device for each in list_ports.comports()} - before)
        if len(found) == 1:
            return found[0]
        time.sleep(0.5)
    raise FirmwareError(
        "the board was flashed, but no new serial port came up: plug it in again, and repeat the"
        " command with its PORT"
    )


def _at_home() -> None:
    """Give mpflash a place for its data base, which is not the user's folder for downloads."""
    from loguru import logger

    folder = OUT.parent / "mpflash"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MPFLASH_FIRMWARE", str(folder))
    logger.remove()
    logger.add(sys.stderr, level="INFO", format="mpflash: {message}")
