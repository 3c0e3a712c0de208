"""The birth key is made once, and no boot number serves twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from birthkey.identity import BOOT, KEY, KEY_SIZE, MAGIC, boot_record
from birthkey.keystore import Keystore, Twins
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
    private = int.from_bytes((board.folder / "key").read_bytes()[6:38], "big")
    numbers = ec.derive_private_key(private, ec.SECP256R1()).public_key().public_numbers()
    assert public == numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def test_two_boards_have_two_keys(device: Interpreter, tmp_path: Path) -> None:
    boards = [Board(device, tmp_path / name) for name in ("a", "b")]
    assert boards[0].start().public != boards[1].start().public


def test_the_id_begins_the_key_thumbprint(board: Board) -> None:
    start = board.start()
    key = {1: 2, -1: 1, -2: start.public[:32], -3: start.public[32:]}
    assert start.device_id == hashlib.sha256(cbor2.dumps(key)).digest()[:16]


COPIES = (".", "copy")


def put_boot(folder: Path, number: int) -> None:
    """Write both copies of the boot record."""
    records = Twins(Keystore(str(folder), MAGIC))
    records.write(BOOT, boot_record(records.read(KEY, KEY_SIZE), number))


def test_a_key_that_has_never_booted_is_gone_on_with(board: Board) -> None:
    public = board.start().public
    for copy in COPIES:
        (board.folder / copy / "boot").unlink()
    start = board.start()
    assert (start.public, start.boot, start.born) == (public, 1, False)


@pytest.mark.parametrize("left", [("copy",), (".",)])
def test_a_first_boot_that_was_cut_between_the_keys_goes_on_with_the_one(
    board: Board, left: tuple[str]
) -> None:
    public = board.start().public
    for copy in COPIES:
        (board.folder / copy / "boot").unlink()
        if copy not in left:
            (board.folder / copy / "key").unlink()
    assert board.start().public == public
    assert (board.folder / "key").read_bytes() == (board.folder / "copy/key").read_bytes()


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_copy_of_the_key_is_repaired_from_the_other(board: Board, copy: str, damage: str) -> None:
    public = board.start().public
    key = board.folder / copy / "key"
    whole = key.read_bytes()
    if damage == "gone":
        key.unlink()
    else:
        key.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    start = board.start()
    assert (start.public, start.boot, start.born) == (public, 2, False)
    assert key.read_bytes() == whole


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("damage", ["gone", "damaged", "of an earlier boot"])
def test_a_boot_number_never_goes_back_with_one_of_its_copies(
    board: Board, copy: str, damage: str
) -> None:
    board.start()
    boot = board.folder / copy / "boot"
    earlier = boot.read_bytes()
    assert [board.start().boot for _ in range(3)] == [2, 3, 4]
    if damage == "gone":
        boot.unlink()
    else:
        boot.write_bytes(earlier if damage.startswith("of") else b"BKI1")
    assert [board.start().boot for _ in range(2)] == [5, 6]


def test_a_boot_record_of_another_key_does_not_count(
    board: Board, device: Interpreter, tmp_path: Path
) -> None:
    other = Board(device, tmp_path / "other")
    other.start()
    put_boot(other.folder, 1000)
    board.start()
    (board.folder / "boot").write_bytes((other.folder / "boot").read_bytes())
    assert board.start().boot == 2


def test_two_different_keys_stop_the_board(
    board: Board, device: Interpreter, tmp_path: Path
) -> None:
    other = Board(device, tmp_path / "other")
    other.start()
    board.start()
    key = (other.folder / "key").read_bytes()
    (board.folder / "key").write_bytes(key)
    with pytest.raises(DeviceError, match="two different birth keys"):
        board.start()
    assert (board.folder / "key").read_bytes() == key


def test_a_lost_key_is_not_papered_over_with_a_new_one(board: Board) -> None:
    board.start()
    for copy in COPIES:
        (board.folder / copy / "key").unlink()
    with pytest.raises(DeviceError, match="birth key is gone"):
        board.start()
    assert not list(board.folder.rglob("key*"))


def test_a_board_that_has_enrolled_is_not_born_again(board: Board) -> None:
    board.start()
    for record in [*board.folder.rglob("key"), *board.folder.rglob("boot")]:
        record.unlink()
    board.store.write("enrolled", bytes(16))
    with pytest.raises(DeviceError, match="has enrolled before"):
        board.start()


def test_a_damaged_key_is_not_papered_over_with_a_new_one(board: Board) -> None:
    board.start()
    for copy in COPIES:
        (board.folder / copy / "key").write_bytes(b"BKI1")
    with pytest.raises(DeviceError, match="damaged"):
        board.start()
    assert (board.folder / "key").read_bytes() == b"BKI1"


def test_a_start_that_is_refused_writes_nothing(board: Board) -> None:
    board.start()
    for copy in COPIES:
        (board.folder / copy / "key").unlink()
    before = {path: path.read_bytes() for path in board.folder.rglob("*") if path.is_file()}
    with pytest.raises(DeviceError):
        board.start()
    after = {path: path.read_bytes() for path in board.folder.rglob("*") if path.is_file()}
    assert after == before


def test_used_up_boot_numbers_stop_the_board(board: Board) -> None:
    board.start()
    put_boot(board.folder, 0xFFFFFFFE)
    assert board.start().boot == 0xFFFFFFFF
    with pytest.raises(DeviceError, match="used up"):
        board.start()


class TestErased:
    def erase(self, board: Board) -> None:
        board.device.call("birthkey.erasure:erase", str(board.folder))

    def test_the_next_start_makes_another_key(self, board: Board) -> None:
        ids = []
        for _ in range(3):
            starts = [board.start() for _ in range(2)]
            assert [start.boot for start in starts] == [1, 2]
            ids.append(starts[0].device_id)
            self.erase(board)
        assert len(set(ids)) == 3

    def test_nothing_is_left_but_a_note_of_whom_it_was(self, board: Board) -> None:
        start = board.start()
        board.store.write("enrolled", bytes(16))
        board.store.write("spool-00000000/0000000100000000", b"reading")
        board.store.write("copy/command-00000000", bytes(16))
        self.erase(board)
        files = [path for path in board.folder.rglob("*") if path.is_file()]
        assert sorted(files) == [board.folder / "copy/erased", board.folder / "erased"]
        for file in files:
            assert file.read_bytes()[6:-16] == b"\1" + start.device_id
        assert sorted(path.name for path in board.folder.iterdir()) == ["copy", "erased"]

    @pytest.mark.parametrize("copies", [COPIES, (".",), ("copy",)])
    def test_what_comes_back_of_it_is_nobody(self, board: Board, copies: tuple[str, ...]) -> None:
        """littlefs may fall back to a folder's state before the erasure."""
        device_id = board.start().device_id
        kept = {
            f"{copy}/{name}": (board.folder / copy / name).read_bytes()
            for copy in copies
            for name in ("key", "boot")
        }
        self.erase(board)
        for path, content in kept.items():
            (board.folder / path).write_bytes(content)
        start = board.start()
        assert (start.boot, start.born) == (1, True)
        assert start.device_id != device_id
        assert board.start().device_id == start.device_id

    def test_a_damaged_one(self, board: Board) -> None:
        board.start()
        for record in board.folder.rglob("key"):
            record.write_bytes(b"BKI1")
        self.erase(board)
        assert board.start().born


def test_each_boot_seeds_another_ephemeral_key(board: Board) -> None:
    assert len({board.start().seed() for _ in range(3)}) == 3
