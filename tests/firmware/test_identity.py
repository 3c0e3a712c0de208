"""The birth key is made once, and no boot number serves twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device import DeviceError, Interpreter


class Board:
    """A board that can be switched on: its flash is a folder."""

    def __init__(self, device: Interpreter, folder: Path) -> None:
        self.device, self.folder = device, folder

    @property
    def store(self):
        return self.device.call("birthkey.keystore:Keystore", str(self.folder))

    def start(self):
        sources = self.device.get("birthkey.crypto.entropy:SOURCES")
        return Started(
            self.device, self.device.call("birthkey.identity:Identity", self.store, sources)
        )


class Started:
    def __init__(self, device: Interpreter, identity) -> None:
        self._device, self._identity = device, identity

    def __getattr__(self, name: str):
        return self._device.get(f"#{self._identity._number}:{name}")

    def seed(self) -> bytes:
        return self._identity.ephemeral_seed()


@pytest.fixture
def board(device: Interpreter, tmp_path: Path) -> Board:
    return Board(device, tmp_path / "state")


def test_the_key_is_born_once_and_the_boot_number_rises(board: Board) -> None:
    starts = [board.start() for _ in range(3)]
    assert [start.boot for start in starts] == [1, 2, 3]
    assert [start.born for start in starts] == [True, False, False]
    assert len({start.public for start in starts}) == 1


def test_the_public_key_is_that_of_the_private_key_on_flash(board: Board) -> None:
    public = board.start().public
    private = int.from_bytes(board.store.read("key", 96)[:32], "big")
    numbers = ec.derive_private_key(private, ec.SECP256R1()).public_key().public_numbers()
    assert public == numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def test_two_boards_have_two_keys(device: Interpreter, tmp_path: Path) -> None:
    boards = [Board(device, tmp_path / name) for name in ("a", "b")]
    assert boards[0].start().public != boards[1].start().public


def test_the_id_begins_the_key_thumbprint(board: Board) -> None:
    start = board.start()
    key = {1: 2, -1: 1, -2: start.public[:32], -3: start.public[32:]}
    assert start.device_id == hashlib.sha256(cbor2.dumps(key)).digest()[:16]


def test_a_first_boot_that_was_cut_before_the_key_begins_anew(board: Board) -> None:
    board.store.write("boot", bytes(4))
    start = board.start()
    assert (start.boot, start.born) == (1, True)


def test_a_lost_key_is_not_papered_over_with_a_new_one(board: Board) -> None:
    board.start()
    (board.folder / "key").unlink()
    with pytest.raises(DeviceError, match="birth key is gone"):
        board.start()
    assert not (board.folder / "key").exists()


def test_a_damaged_key_is_not_papered_over_with_a_new_one(board: Board) -> None:
    board.start()
    (board.folder / "key").write_bytes(b"BKR1")
    with pytest.raises(DeviceError, match="damaged"):
        board.start()
    assert (board.folder / "key").read_bytes() == b"BKR1"


def test_a_key_without_a_boot_record_refuses_to_run(board: Board) -> None:
    board.start()
    (board.folder / "boot").unlink()
    with pytest.raises(DeviceError, match="boot record is gone"):
        board.start()


def test_used_up_boot_numbers_stop_the_board(board: Board) -> None:
    board.start()
    board.store.write("boot", b"\xff\xff\xff\xfe")
    assert board.start().boot == 0xFFFFFFFF
    with pytest.raises(DeviceError, match="used up"):
        board.start()


def test_each_boot_seeds_another_ephemeral_key(board: Board) -> None:
    assert len({board.start().seed() for _ in range(3)}) == 3
