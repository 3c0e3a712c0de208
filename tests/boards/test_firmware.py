"""Firmware images: reproducible, also from a checkout of the user's, and measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from boards.build import firmware, sources
from boards.build.cache import BuildError
from boards.build.sizes import sizes


@pytest.mark.parametrize("board", ["QEMU_NETDUINO2", "RPI_PICO"])
def test_a_build_elsewhere_gives_the_same_bytes(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From copies of this project and of the source, as a user's checkouts, in other folders.

    Blanks and a letter that is not ASCII are in their names.
    """
    image = firmware.image(board)
    pinned = sources.sources()
    checkout = tmp_path / "MicroPython für mich"
    shutil.copytree(pinned.top, checkout, symlinks=True)
    monkeypatch.setenv("MICROPYTHON_DIR", str(checkout))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", pinned.environment["SOURCE_DATE_EPOCH"])
    own = sources.sources()
    assert own.top.resolve() == checkout
    project = tmp_path / "my bïrthkey"
    for name in ("boards", "firmware"):
        shutil.copytree(firmware.ROOT / name, project / name)
    monkeypatch.setattr(firmware, "ROOT", project)
    monkeypatch.setattr(firmware, "BOARDS", project / "boards")
    target = tmp_path / "image"
    target.mkdir()
    tools = firmware.tools(own)
    firmware.build(board, tmp_path / "work", target, own, tools)
    made = target / image.flashable.name
    assert made.read_bytes() == image.flashable.read_bytes()


def test_sizes_of_an_image() -> None:
    image = firmware.image("QEMU_NETDUINO2")
    found = sizes(image.map)
    names = {
        path.relative_to(firmware.ROOT / "firmware").with_suffix("").as_posix().replace("/", ".")
        for path in (firmware.ROOT / "firmware/birthkey").rglob("*.py")
    }
    assert names <= found.modules.keys()
    assert {"board", "_boot"} <= found.modules.keys()
    assert 0 < found.birthkey < 64 * 1024
    rom, ram = found.regions
    assert (rom.name, ram.name) == ("ROM", "RAM")
    # All parts together are the image, but for what the linker fills in between them.
    total = sum(found.modules.values()) + sum(found.parts.values())
    assert rom.used * 0.99 < total <= rom.used
    assert ram.left > 16 * 1024  # for the stack


def test_unknown_board_is_named_and_the_known_ones_too() -> None:
    with pytest.raises(BuildError, match=r"there is no board NONE: boards/ has .*QEMU_MPS2_AN385"):
        firmware.image("NONE")


def test_a_folder_that_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPYTHON_DIR", str(tmp_path))
    with pytest.raises(BuildError, match="is not a checkout of MicroPython"):
        firmware.image("QEMU_NETDUINO2")


def test_stm32_without_its_hal() -> None:
    with pytest.raises(BuildError, match="give MICROPYTHON_DIR="):
        firmware.image("NUCLEO_L476RG")


def test_a_machine_without_cmake(tmp_path: Path) -> None:
    found = sources.sources()
    with pytest.raises(BuildError, match="cmake is not on PATH: install it"):
        firmware.build("RPI_PICO", tmp_path / "work", tmp_path, found, {"PATH": str(tmp_path)})
