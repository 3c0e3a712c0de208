"""An operation on flash that fails, or memory that is short, leaves all as it was."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import birthkey.keystore
import birthkey.outbox
from birthkey import message
from birthkey.crypto.entropy import SOURCES
from birthkey.identity import Identity
from birthkey.keystore import Keystore, KeystoreError
from birthkey.outbox import Item, Outbox, OutboxFull, Spool
from device import TESTS, device_environment, micropython

SERVER = [bytes(16)]


class Faults:
    """Counts what is asked of flash and of memory; the one at `position` fails."""

    def __init__(self, error: Exception, after: bool) -> None:
        """`after`: flash does what it was asked to, and the error comes all the same."""
        self.error, self.after = error, after
        self.position: int | None = None
        self.count = 0
        self.hit = ""

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            fails = self.count - 1 == self.position
            if fails:
                self.hit = getattr(function, "__name__", repr(function))
                if not self.after:
                    raise self.error
            result = function(*arguments, **options)
            if fails:
                raise self.error
            return result

        return wrapped

    def open(self, *arguments: Any) -> Any:
        return File(self, open(*arguments))


class File:
    def __init__(self, faults: Faults, file: Any) -> None:
        self._file = file
        for name in ("read", "write", "close", "flush"):
            setattr(self, name, faults.wrap(getattr(file, name)))
        self.fileno = file.fileno

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self._file.close()

    close: Callable[[], None]


@pytest.fixture(
    params=[
        (OSError(5, "EIO"), False),
        (OSError(28, "ENOSPC"), False),
        (OSError(5, "EIO"), True),
        (MemoryError(), False),
    ],
    ids=["EIO", "ENOSPC", "EIO when it is done", "MemoryError"],
)
def faults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Faults:
    faults = Faults(*request.param)
    wrapped_open = faults.wrap(faults.open)
    monkeypatch.setattr(birthkey.keystore, "open", wrapped_open, raising=False)
    for name in ("rename", "remove", "mkdir", "statvfs", "fsync"):
        monkeypatch.setattr(os, name, faults.wrap(getattr(os, name)))
    monkeypatch.setattr(birthkey.keystore, "listing", faults.wrap(birthkey.keystore.listing))
    if isinstance(faults.error, MemoryError):
        for module, name in (
            (birthkey.keystore, "sha256"),
            (birthkey.outbox, "Item"),
            (birthkey.outbox, "_name"),
            (message, "encode"),
        ):
            monkeypatch.setattr(module, name, faults.wrap(getattr(module, name)))
    return faults


def each(faults: Faults, prepare: Callable[[], Any], act: Callable[[Any], Any]) -> Iterator[Any]:
    """What `prepare` gave, for each operation of `act` that made it fail."""
    position = 0
    while True:
        faults.position = None
        prepared = prepare()
        faults.count, faults.position, faults.hit = 0, position, ""
        try:
            act(prepared)
        except (KeystoreError, OutboxFull, MemoryError):
            pass
        else:
            if not faults.hit:
                assert position >= 3
                return
            faults.position = None
            position += 1
            continue
        faults.position = None
        yield prepared
        position += 1


def files(folder: Path) -> dict[str, bytes]:
    """All whole records."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".new")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def bodies(outbox: Outbox) -> list[bytes]:
    found = []
    while item := outbox.oldest():
        found.append(item.encoded)
        outbox.remove(item)
    return found


class Fresh:
    """A spool in a folder of its own with two readings, and a third that was removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Keystore(str(folder))
        self.spool = Spool(1, 100, self.store, SERVER)
        self.items = [self.spool.append({"n": number}) for number in range(3)]
        self.spool.remove(self.items.pop(0))
        self.before = files(folder)

    def state(self) -> tuple[int, int]:
        """Room, and what the next counter is."""
        return self.spool._room, self.spool._sequence


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Fresh]:
    number = iter(range(10**6))
    return lambda: Fresh(tmp_path / str(next(number)))


def test_an_append_that_fails_has_changed_nothing(
    faults: Faults, fresh: Callable[[], Fresh]
) -> None:
    whole = (100 - 2 * 15, 3)
    hit = set()
    for board in each(faults, fresh, lambda board: board.spool.append({"n": 3})):
        hit.add(faults.hit)
        assert len(board.spool) == 2, faults.hit
        assert board.state() == whole, faults.hit
        assert files(board.folder) == board.before, faults.hit
        kept = [item.encoded for item in board.items]
        assert bodies(Spool(2, 1000, board.store, SERVER)) == kept, faults.hit
    assert {"write", "rename"} <= hit
    # And once more, where it goes on.
    for board in each(faults, fresh, lambda board: board.spool.append({"n": 3})):
        item = board.spool.append({"n": 4})
        assert item.counter == 1 << 32 | 3
        assert bodies(board.spool) == [each.encoded for each in [*board.items, item]]


def test_the_room_is_what_it_says(fresh: Callable[[], Fresh]) -> None:
    spool = fresh().spool
    assert (spool._room, spool._sequence) == (100 - 2 * 15, 3)


def test_a_reading_that_could_not_be_taken_out_is_given_again(
    faults: Faults, fresh: Callable[[], Fresh]
) -> None:
    for board in each(faults, fresh, lambda board: board.spool.remove(board.items[0])):
        assert len(board.spool) == 2
        assert board.state() == (100 - 2 * 15, 3)
        assert board.spool.has(board.items[0])
        assert bodies(board.spool) == [item.encoded for item in board.items]
        assert board.spool._room == 100


def test_a_look_that_fails_has_changed_nothing(faults: Faults, fresh: Callable[[], Fresh]) -> None:
    def look(board: Fresh) -> Item | None:
        spool = Spool(2, 100, board.store, SERVER)
        return spool.oldest()

    for board in each(faults, fresh, look):
        assert files(board.folder) == board.before
    for board in each(faults, fresh, lambda board: board.spool.oldest()):
        assert (board.spool.damaged, len(board.spool)) == (0, 2)
        assert bodies(board.spool) == [item.encoded for item in board.items]


def test_a_record_that_cannot_be_replaced_stays(faults: Faults, tmp_path: Path) -> None:
    if faults.after:
        pytest.skip("the record is the new one then")
    number = iter(range(10**6))

    def prepare() -> Keystore:
        store = Keystore(str(tmp_path / str(next(number))))
        store.write("a/record", b"old")
        return store

    for store in each(faults, prepare, lambda store: store.write("a/record", b"new")):
        assert store.read("a/record", 3) == b"old", faults.hit
        store.write("a/record", b"new")
        assert store.read("a/record", 3) == b"new"


def test_what_flash_did_not_keep_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Keystore(str(tmp_path))
    store.write("record", b"old")
    for lost in (-1, 1):
        monkeypatch.setattr(
            birthkey.keystore, "sync", lambda file, lost=lost: file.truncate(lost % 20)
        )
        with pytest.raises(KeystoreError, match="did not keep"):
            store.write("record", b"new")
        assert store.read("record", 3) == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_start_that_fails_gives_no_boot_number_twice(faults: Faults, tmp_path: Path) -> None:
    """Nor another identity: the first start of each board may fail, or the third."""
    number = iter(range(10**6))
    for starts in (0, 2):

        def prepare(starts: int = starts) -> tuple[Keystore, list[Identity]]:
            store = Keystore(str(tmp_path / str(next(number))))
            return store, [start(store) for _ in range(starts)]

        def start(store: Keystore) -> Identity:
            return Identity(store, SOURCES)

        for store, before in each(faults, prepare, lambda prepared: start(prepared[0])):
            after = [start(store), start(store)]
            assert len({identity.public for identity in [*before, *after]}) == 1
            boots = [identity.boot for identity in [*before, *after]]
            assert boots == sorted(set(boots))


def test_memory_that_ends_at_each_allocation() -> None:
    """On MicroPython, with real littlefs."""
    ran = subprocess.run(
        [micropython(), "-X", "heapsize=500K", str(TESTS / "faults" / "no_memory.py")],
        env=device_environment(),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout)
    assert found["append"]["failed"] > 20
    assert found["append"]["done"] > 2
    assert found["remove"]["failed"] > 5


class TestOnce:
    """What flash does not do once, it may do the next time."""

    def test_a_record_that_cannot_be_read_is_read_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Keystore(str(tmp_path))
        store.write("key", b"key")
        opened = open
        failures = 1

        def failing(*arguments: Any) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError(5, "EIO")
            return opened(*arguments)

        monkeypatch.setattr(birthkey.keystore, "open", failing, raising=False)
        assert store.read("key", 3) == b"key"
        failures = 2
        with pytest.raises(KeystoreError, match="cannot read") as failed:
            store.read("key", 3)
        assert not failed.value.lasting

    def test_damage_lasts(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"damaged")
        with pytest.raises(KeystoreError) as failed:
            Keystore(str(tmp_path)).read("key", 3)
        assert failed.value.lasting

    def test_full_flash_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where the folder above is what could not be made."""

        def full(path: str) -> None:
            if Path(path).parent.exists():
                raise OSError(28, "ENOSPC")
            raise OSError(2, "ENOENT")

        monkeypatch.setattr(birthkey.keystore.os, "mkdir", full)
        with pytest.raises(KeystoreError, match=r"copy on flash: flash is full$"):
            Keystore(f"{tmp_path}/state").write("copy/key", b"key")
