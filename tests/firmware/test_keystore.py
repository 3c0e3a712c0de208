"""Records on flash: whole or absent, and damage is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from device import DeviceError, Interpreter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _store(device: Interpreter, folder: Path):
    return device.call("birthkey.keystore:Keystore", str(folder))


def test_a_record_is_read_back_as_it_was_written(device: Interpreter, folder: Path) -> None:
    _store(device, folder).write("boot", b"\0\0\0\7")
    assert _store(device, folder).read("boot", 4) == b"\0\0\0\7"


def test_a_later_write_replaces_the_record(device: Interpreter, folder: Path) -> None:
    store = _store(device, folder)
    store.write("boot", b"\0\0\0\7")
    store.write("boot", b"\0\0\0\10")
    assert store.read("boot", 4) == b"\0\0\0\10"
    assert [path.name for path in folder.iterdir()] == ["boot"]


def test_an_absent_record_is_none(device: Interpreter, folder: Path) -> None:
    assert _store(device, folder).read("key", 96) is None


def test_what_a_power_cut_left_of_a_write_is_ignored(device: Interpreter, folder: Path) -> None:
    store = _store(device, folder)
    store.write("boot", b"\0\0\0\7")
    (folder / "boot.new").write_bytes(b"BKR1\0")
    assert store.read("boot", 4) == b"\0\0\0\7"
    store.write("boot", b"\0\0\0\10")
    assert store.read("boot", 4) == b"\0\0\0\10"


def test_a_flipped_bit_anywhere_is_damage(device: Interpreter, folder: Path) -> None:
    store = _store(device, folder)
    store.write("boot", b"\0\0\0\7")
    whole = (folder / "boot").read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        (folder / "boot").write_bytes(damaged)
        with pytest.raises(DeviceError, match="damaged"):
            store.read("boot", 4)


def test_a_record_of_another_length_is_damage(device: Interpreter, folder: Path) -> None:
    store = _store(device, folder)
    store.write("boot", b"\0\0\0\7")
    whole = (folder / "boot").read_bytes()
    for wrong in [whole[:cut] for cut in range(len(whole))] + [whole + b"\0", whole * 2]:
        (folder / "boot").write_bytes(wrong)
        with pytest.raises(DeviceError, match="damaged"):
            store.read("boot", 4)
    store.write("boot", b"five!")
    with pytest.raises(DeviceError, match="damaged"):
        store.read("boot", 4)


def test_flash_that_takes_no_file_is_said(device: Interpreter, folder: Path) -> None:
    store = _store(device, folder)
    (folder / "boot.new").mkdir(parents=True)
    with pytest.raises(DeviceError, match="cannot write"):
        store.write("boot", b"\0\0\0\7")
