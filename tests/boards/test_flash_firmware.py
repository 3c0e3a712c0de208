"""mpflash, called as `make flash` calls it.

A folder plays the drive of a board in its boot loader, and a list the USB device that speaks DFU:
entering the boot loader, finding the drive and the USB transfers themselves are not tested here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boards.flash import firmware
from boards.flash.firmware import FirmwareError, is_boot_loader, write

from .test_flash_image import dfu, program, write_uf2


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """As an RP2040 shows it."""
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nBoard-ID: RPI-RP2\n")
    return drive


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch, drive: Path) -> list[str]:
    """The ways into the boot loader that mpflash was told to go; the drive is there at once."""
    firmware._at_home()
    from mpflash.flash.builtins import uf2
    from mpflash.flash.services import FlashServices
    from mpflash.mpremoteboard import MPRemoteBoard

    ways: list[str] = []

    def enter(services: object, mcu: object, method: Any, *_: object, **__: object) -> bool:
        ways.append(method.value)
        return True

    monkeypatch.setattr(FlashServices, "enter_bootloader", enter)
    monkeypatch.setattr(uf2, "waitfor_uf2", lambda board_id, s_max=10: drive)
    monkeypatch.setattr(MPRemoteBoard, "wait_for_restart", lambda mcu, timeout=10: True)
    return ways


class TestUf2:
    def test_image_is_copied_onto_the_drive(
        self, tmp_path: Path, drive: Path, entered: list[str]
    ) -> None:
        image = write_uf2(tmp_path / "firmware.uf2", bytes(program()))
        assert write(image, "/dev/pts/99", "rp2", "RPI_PICO", "uf2") == "/dev/pts/99"
        assert (drive / "firmware.uf2").read_bytes() == image.read_bytes()
        assert entered == ["auto"]

    def test_board_that_is_in_its_boot_loader(
        self, tmp_path: Path, drive: Path, entered: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has no serial port yet: the new one that comes up is its."""
        image = write_uf2(tmp_path / "firmware.uf2", bytes(program()))
        comports = iter([["/dev/ttyS0"], ["/dev/ttyS0"], ["/dev/ttyACM0", "/dev/ttyS0"]])

        def ports() -> list[SimpleNamespace]:
            return [SimpleNamespace(device=name) for name in next(comports)]

        monkeypatch.setattr(firmware, "list_ports", SimpleNamespace(comports=ports))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        assert is_boot_loader(str(drive))
        assert write(image, str(drive), "rp2", "RPI_PICO", "uf2") == "/dev/ttyACM0"
        assert (drive / "firmware.uf2").read_bytes() == image.read_bytes()
        assert entered == ["none"]

    def test_no_port_comes_up(
        self, tmp_path: Path, drive: Path, entered: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(firmware, "PATIENCE", 0.0)
        image = write_uf2(tmp_path / "firmware.uf2", bytes(program()))
        with pytest.raises(FirmwareError, match="no new serial port came up: plug it in again"):
            write(image, str(drive), "rp2", "RPI_PICO", "uf2")

    def test_image_for_another_kind_of_board(self, tmp_path: Path, entered: list[str]) -> None:
        image = write_uf2(tmp_path / "firmware.uf2", bytes(program()))
        with pytest.raises(FirmwareError, match="uf2 does not support port 'stm32'"):
            write(image, "/dev/pts/99", "stm32", "NUCLEO_L476RG", "uf2")

    @pytest.mark.parametrize("port", ["/dev/ttyACM0", "/nowhere"])
    def test_port_that_is_no_drive(self, port: str, tmp_path: Path) -> None:
        assert not is_boot_loader(port)
        assert not is_boot_loader(str(tmp_path))


class TestDfu:
    @pytest.fixture
    def usb(self, entered: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What went over USB."""
        from mpflash.flash.builtins.dfu import stm32_dfu

        sent: list[Any] = []

        def record(name: str) -> Callable[..., None]:
            return lambda *arguments, **_: sent.append((name, *arguments[:2]))

        for name in ("list_dfu_devices", "init", "mass_erase", "exit_dfu", "write_elements"):
            monkeypatch.setattr(stm32_dfu.pydfu, name, record(name))
        return sent

    def test_only_what_the_image_holds_is_erased_and_written(
        self, tmp_path: Path, usb: list[Any]
    ) -> None:
        image = tmp_path / "firmware.dfu"
        image.write_bytes(dfu((0x08000000, b"vectors!")))
        write(image, "/dev/pts/99", "stm32", "NUCLEO_L476RG", "dfu")
        names = [name for name, *_ in usb]
        assert names == ["list_dfu_devices", "init", "write_elements", "exit_dfu"]
        elements, mass_erased = usb[2][1:]
        assert not mass_erased
        assert [(each["addr"], each["data"]) for each in elements] == [(0x08000000, b"vectors!")]


def test_data_base_of_mpflash_stays_in_the_build_folder(
    monkeypatch: pytest.MonkeyPatch, entered: list[str]
) -> None:
    from mpflash.config import config

    assert config.firmware_folder == firmware.OUT.parent / "mpflash"
