"""An RP2040 on a cable: stock firmware, birthkey's firmware, and the identity through both.

mpflash is real. A folder plays the drive of the boot loader, and whoever enters it cuts the
emulator's power; what lands on the drive is what the emulator then starts from. The flash behind
it, file system and all, is the same before and after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.repl import Repl
from boards.build import dist
from boards.build import firmware as builder
from boards.emulated.rp2040 import Rp2040
from boards.flash import firmware
from boards.flash.image import load
from boards.flash.probe import Found, probe
from command import Command
from flashing import Flash
from stock_images import pico

ELSEWHERE = (0x100B0000, 0x150000)

flash = Flash(Rp2040.name)


class Cable:
    """A Pico and the names that it has on this machine: a port, and a drive in its boot loader."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = str(folder / "ttyACM0")
        self.drive = folder / "RPI-RP2"
        self.drive.mkdir(parents=True)
        (self.drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nBoard-ID: RPI-RP2\n")
        self.board: Rp2040 | None = None

    def plug_in(self, image: Path) -> Rp2040:
        self.unplug()
        self.board = Rp2040(self._folder / "board", image=image)
        self.board.start()
        Path(self.port).unlink(missing_ok=True)
        os.symlink(self.board.repl, self.port)
        return self.board

    def unplug(self) -> None:
        if self.board:
            self.board.kill()

    def found(self) -> Found:
        with Repl(self.port) as repl:
            return probe(repl)


@pytest.fixture
def cable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
    firmware._at_home()
    from mpflash.flash.builtins import uf2
    from mpflash.flash.services import FlashServices
    from mpflash.mpremoteboard import MPRemoteBoard

    cable = Cable(tmp_path)

    def enter(*_: object, **__: object) -> bool:
        cable.unplug()
        return True

    def restart(mcu: Any, timeout: int = 10) -> bool:
        [image] = cable.drive.glob("*.uf2")
        cable.plug_in(image)
        return True

    monkeypatch.setattr(FlashServices, "enter_bootloader", enter)
    monkeypatch.setattr(uf2, "waitfor_uf2", lambda board_id, s_max=10: cable.drive)
    monkeypatch.setattr(MPRemoteBoard, "wait_for_restart", restart)
    yield cable
    cable.unplug()


@pytest.fixture
def way() -> list[str]:
    """What a fresh board is told; there is no such server."""
    key = ServerKey.generate().public.hex()
    return ["--server", "192.0.2.1:7155", "--server-key", key, "--modem", "esp_at"]


def test_stock_board_gets_the_application_and_then_the_firmware(
    cable: Cable, way: list[str]
) -> None:
    board = cable.plug_in(pico())
    said = flash("--port", cable.port, "--app", *way)
    assert "TLS: no\n" in said
    assert "birthkey  none\n" in said
    assert f"application: {len(dist.modules()) + 4} files written, 0 the same\n" in said
    born = board.says("^device ([0-9a-f]{32}), boot 1, new key$", 30)[1]
    shown = bytes.fromhex(born).hex(" ", 2)
    # From power on, with the identity's folder there.
    board = cable.plug_in(pico())
    board.says(f"^device {born}, boot 2$", 30)
    said = flash("--port", cable.port, "--app", *way)
    assert said.endswith("is who it was\neverything was there already: nothing was written\n")
    assert backends(cable) == ("armv6m", "python")

    said = flash("--port", cable.port)
    assert "and the file system at 0x100a0000 stays as it is\n" in said
    assert "bytes written, and read back the same\n" in said
    assert f"device {shown} is who it was\n" in said
    found = cable.found()
    assert found.frozen
    assert backends(cable) == ("armv6m", "python")
    assert found.identity is not None
    assert found.identity.device_id.hex() == born
    assert cable.drive.joinpath("firmware.uf2").read_bytes() == image().read_bytes()


def backends(cable: Cable) -> tuple[str, ...]:
    """Of P-256, on the board."""
    with Repl(cable.port) as repl:
        found: tuple[str, ...] = repl.ask(
            "from birthkey.crypto import p256\nprint(repr(p256.BACKENDS))"
        )
    return found


def image() -> Path:
    return builder.image(Rp2040.name).flashable


def test_firmware_that_is_there_is_not_written_again(cable: Cable, way: list[str]) -> None:
    cable.plug_in(image())
    said = flash("--port", cable.port, *way)
    assert f"firmware: the same {load(image()).size} bytes are in flash already\n" in said
    assert not (cable.drive / "firmware.uf2").exists()
    sentence = flash.fails("--port", cable.port, "--app")
    assert sentence.startswith("birthkey is part of this board's firmware")


def replaced(uf2: bytes, old: bytes, new: bytes) -> bytes:
    """The same UF2 file with other content, which its blocks of 256 bytes may cut in two."""
    blocks = [bytearray(uf2[at : at + 512]) for at in range(0, len(uf2), 512)]
    content = b"".join(block[32:288] for block in blocks)
    assert content.count(old) == 1
    content = content.replace(old, new)
    for number, block in enumerate(blocks):
        block[32:288] = content[256 * number : 256 * (number + 1)]
    return b"".join(blocks)


def test_firmware_with_its_files_elsewhere_is_refused(cable: Cable, tmp_path: Path) -> None:
    """The identity would be out of its sight, or under it."""
    server = Command(tmp_path / "home")
    server("init")
    cable.plug_in(image())
    listed = json.loads(server("factory", "--port", cable.port, "--json"))
    other = tmp_path / "other.uf2"
    other.write_bytes(
        replaced(
            image().read_bytes(),
            b"\x00\x00\x0a\x10\x00\x00\x16\x00",
            b"\x00\x00\x0b\x10\x00\x00\x15\x00",
        )
    )
    assert load(other).file_system == ELSEWHERE
    sentence = flash.fails("--port", cable.port, "--firmware", str(other))
    assert "has its file system at 0x100b0000, and the board's is at 0x100a0000" in sentence
    assert not list(cable.drive.glob("*.uf2"))
    found = cable.found()
    assert found.identity is not None
    assert found.identity.device_id.hex() == listed["device"]


def test_package_is_installed_by_mip(cable: Cable, tmp_path: Path) -> None:
    """What a person does without `make flash`: the same files land in the same place."""
    cable.plug_in(pico())
    out = dist.build(tmp_path / "dist")
    command = [sys.executable, "-m", "mpremote", "connect", cable.port, "mip", "install"]
    ran = subprocess.run(
        [*command, str(out / "package-armv6m.json")], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert cable.found().birthkey == dist.version()
    assert backends(cable) == ("armv6m", "python")
    cable.unplug()
    assert cable.board is not None
    with cable.board.filesystem() as files:
        for name, data in dist.modules().items():
            with files.open(f"lib/{name}", "rb") as file:
                assert file.read() == data
