"""Messages keep their counters and their order; a full outbox drops nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cbor2
import pytest

import birthkey.keystore
from birthkey import message
from birthkey.keystore import DamagedRecord, Keystore, KeystoreError
from birthkey.outbox import Outbox, OutboxFull, Spool
from device import Handle, Interpreter

SERVER = [b"\x17\x51\x80\xc5" + bytes(12)]
FOLDER = "spool-175180c5"
OTHER = [bytes(16)]


def test_messages_are_counted_within_their_boot() -> None:
    outbox = Outbox(7, 1000)
    first, second = outbox.append({"t": 1}), outbox.append({"t": 2})
    assert (first.counter, second.counter) == (7 << 32, 7 << 32 | 1)
    assert cbor2.loads(second.encoded) == [1, 7 << 32 | 1, {"t": 2}]


def test_the_oldest_comes_first_and_leaves_only_when_removed() -> None:
    outbox = Outbox(1, 1000)
    items = [outbox.append({"t": number}) for number in range(3)]
    assert outbox.oldest() is items[0]
    assert outbox.oldest() is items[0]
    outbox.remove(items[0])
    assert outbox.oldest() is items[1]
    assert len(outbox) == 2


def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    outbox = Outbox(1, 40)
    kept = [outbox.append({"t": number}) for number in range(2)]
    with pytest.raises(OutboxFull):
        outbox.append({"t": 3})
    assert outbox.oldest() is kept[0]
    outbox.remove(kept[0])
    outbox.append({"t": 3})
    assert len(outbox) == 2


def test_a_message_over_its_limit_is_refused_and_takes_no_counter() -> None:
    outbox = Outbox(1, 10000)
    with pytest.raises(ValueError, match="at most 3800 bytes"):
        outbox.append({"t": bytes(3800)})
    assert outbox.append({}).counter == 1 << 32


@pytest.fixture
def backoff(device: Interpreter, ticks: None) -> Handle:
    made: Handle = device.call("ticks:Timed", "birthkey.outbox:Backoff", 1000, 4000)
    return made


def test_waits_double_up_to_the_most_and_are_never_less_than_half(backoff: Handle) -> None:
    for wait in (1000, 2000, 4000, 4000):
        assert backoff.call("ready")
        backoff.call("fail")
        backoff.wait(wait // 2 - 1)
        assert not backoff.call("ready")
        backoff.wait(wait // 2 + 1)
    assert backoff.call("ready")


def test_a_success_forgets_the_wait(backoff: Handle) -> None:
    backoff.call("fail")
    backoff.call("reset")
    assert backoff.call("ready")
    backoff.call("fail")
    backoff.wait(1000)
    assert backoff.call("ready")


@pytest.mark.parametrize("days", [0.01, 0.5, 6.3, 9, 12, 12.5, 100, 400.25])
def test_no_pause_makes_a_wait_longer(backoff: Handle, days: float) -> None:
    """Not even one of which the ticks say that it went back in time."""
    backoff.call("fail")
    backoff.wait(int(days * 24 * 3600 * 1000))
    for _ in range(11):
        if backoff.call("ready"):
            break
        backoff.wait(100)
    assert backoff.call("ready")


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(str(tmp_path))


def _drain(outbox: Outbox) -> list[Any]:
    bodies = []
    while (item := outbox.oldest()) is not None:
        bodies.append(cbor2.loads(item.encoded)[2])
        outbox.remove(item)
    return bodies


def test_spooled_readings_outlive_reboots_in_their_order(store: Keystore) -> None:
    for boot in (1, 2, 300):
        spool = Spool(boot, 1000, store, SERVER)
        for number in range(3):
            spool.append({"boot": boot, "n": number})
    spool = Spool(301, 1000, store, SERVER)
    assert len(spool) == 9
    assert _drain(spool) == [{"boot": b, "n": n} for b in (1, 2, 300) for n in range(3)]
    assert len(Spool(302, 1000, store, SERVER)) == 0


def test_a_spooled_reading_keeps_its_counter(store: Keystore) -> None:
    counter = Spool(7, 1000, store, SERVER).append({"n": 1}).counter
    item = Spool(8, 1000, store, SERVER).oldest()
    assert item is not None
    assert item.counter == counter == cbor2.loads(item.encoded)[1]


def test_the_room_of_a_spool_counts_what_earlier_boots_left(store: Keystore) -> None:
    Spool(1, 40, store, SERVER).append({"n": 1})
    spool = Spool(2, 40, store, SERVER)
    kept = spool.append({"n": 2})
    with pytest.raises(OutboxFull):
        spool.append({"n": 3})
    assert [cbor2.loads(kept.encoded)[2], len(spool)] == [{"n": 2}, 2]
    first = spool.oldest()
    assert first is not None
    spool.remove(first)
    spool.append({"n": 3})
    assert _drain(spool) == [{"n": 2}, {"n": 3}]


def test_a_damaged_reading_is_counted_and_holds_up_no_other(
    store: Keystore, tmp_path: Path
) -> None:
    spool = Spool(1, 1000, store, SERVER)
    for number in range(3):
        spool.append({"n": number})
    victim = sorted(tmp_path.glob(f"{FOLDER}/*"))[1]
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
    again = Spool(2, 1000, store, SERVER)
    assert _drain(again) == [{"n": 0}, {"n": 2}]
    assert again.damaged == 1
    assert victim.exists()


def test_what_a_cut_left_of_a_spooled_reading_is_cleared_away(
    store: Keystore, tmp_path: Path
) -> None:
    Spool(1, 1000, store, SERVER).append({"n": 1})
    (tmp_path / FOLDER / "0000000100000001.new").write_bytes(b"BKR1")
    assert _drain(Spool(2, 1000, store, SERVER)) == [{"n": 1}]
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_flash_that_is_full_keeps_the_room_and_says_so(
    store: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str, payload: bytes) -> None:
        raise KeystoreError("cannot write to flash: no space left")

    spool = Spool(1, 20, store, SERVER)
    monkeypatch.setattr(store, "write", full)
    for _ in range(3):
        with pytest.raises(KeystoreError, match="no space left"):
            spool.append({"n": 1})
    monkeypatch.undo()
    spool.append({"n": 2})
    assert _drain(spool) == [{"n": 2}]


@pytest.fixture(params=["RAM", "flash"])
def outbox(request: pytest.FixtureRequest, store: Keystore) -> Outbox:
    return Outbox(1, 100) if request.param == "RAM" else Spool(1, 100, store, SERVER)


def test_what_waits_and_what_does_not_is_known(outbox: Outbox) -> None:
    items = [outbox.append({"n": number}) for number in range(3)]
    status = outbox.make(message.STATUS, {})
    assert [outbox.has(item) for item in [*items, status]] == [True, True, True, False]
    for gone in range(3):
        oldest = outbox.oldest()
        assert oldest is not None
        assert oldest.counter == items[gone].counter
        outbox.remove(oldest)
        assert [outbox.has(item) for item in items] == [number > gone for number in range(3)]


def test_only_the_oldest_of_a_spool_leaves(store: Keystore) -> None:
    spool = Spool(1, 1000, store, SERVER)
    first, second = spool.append({"n": 1}), spool.append({"n": 2})
    with pytest.raises(ValueError, match="waits the longest"):
        spool.remove(second)
    spool.remove(first)
    with pytest.raises(ValueError, match="waits the longest"):
        spool.remove(first)
    assert _drain(spool) == [{"n": 2}]


def test_a_message_that_is_refused_takes_no_counter(outbox: Outbox) -> None:
    for body, refusal in (({"t": bytes(3800)}, "at most 3800"), ({"t": object()}, "cannot encode")):
        with pytest.raises(ValueError, match=refusal):
            outbox.append(body)
    with pytest.raises(OutboxFull):
        outbox.append({"t": bytes(100)})
    assert outbox.append({}).counter == 1 << 32
    with pytest.raises(OutboxFull):
        outbox.append({"t": bytes(99)})
    assert outbox.make(message.STATUS, {}).counter == 1 << 32 | 1
    assert outbox.append({}).counter == 1 << 32 | 2


class TestManyRecords:
    """More than are held in RAM at a time."""

    @pytest.fixture(params=[False, True])
    def backwards(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Folders that are listed in an order that is not that of names."""
        listing = birthkey.keystore.listing
        monkeypatch.setattr(
            birthkey.keystore,
            "listing",
            lambda path: iter(sorted(listing(path), reverse=request.param)),
        )

    @pytest.mark.usefixtures("backwards")
    def test_all_are_given_in_their_order(self, store: Keystore) -> None:
        for boot in (1, 2):
            spool = Spool(boot, 10000, store, SERVER)
            for number in range(60):
                spool.append({"boot": boot, "n": number})
        spool = Spool(3, 10000, store, SERVER)
        assert len(spool) == 120
        assert _drain(spool) == [{"boot": b, "n": n} for b in (1, 2) for n in range(60)]
        assert len(spool) == 0

    @pytest.mark.usefixtures("backwards")
    def test_what_is_added_while_others_leave_comes_last(self, store: Keystore) -> None:
        spool = Spool(1, 10000, store, SERVER)
        added = [spool.append({"n": number}) for number in range(40)]
        given = []
        for number in range(40, 140):
            added.append(spool.append({"n": number}))
            item = spool.oldest()
            assert item is not None
            spool.remove(item)
            given.append({"n": number - 40})
            assert len(spool) == 40
            assert not spool.has(added[number - 40])
            assert spool.has(added[number - 39])
        assert [*given, *_drain(spool)] == [{"n": number} for number in range(140)]

    def test_few_names_are_in_ram(self, store: Keystore) -> None:
        spool = Spool(1, 100_000, store, SERVER)
        for number in range(300):
            spool.append({"n": number})
        assert len(spool._names) <= 32
        assert len(Spool(2, 100_000, store, SERVER)._names) <= 32

    def test_damaged_ones_are_passed_over_once(self, store: Keystore, tmp_path: Path) -> None:
        spool = Spool(1, 10000, store, SERVER)
        for number in range(100):
            spool.append({"n": number})
        for victim in sorted(tmp_path.glob(f"{FOLDER}/*"))[20:60]:
            victim.write_bytes(b"BKR1")
        spool = Spool(2, 10000, store, SERVER)
        assert _drain(spool) == [{"n": number} for number in [*range(20), *range(60, 100)]]
        assert (spool.damaged, len(spool)) == (40, 0)

    def test_a_record_of_another_counter_is_damaged(self, store: Keystore, tmp_path: Path) -> None:
        Spool(1, 1000, store, SERVER).append({"n": 1})
        (record,) = (tmp_path / FOLDER).iterdir()
        record.rename(record.with_name("0000000100000007"))
        (tmp_path / FOLDER / "not hex, 16 long").write_bytes(b"")
        spool = Spool(2, 1000, store, SERVER)
        assert _drain(spool) == []
        assert spool.damaged == 2


class TestReadErrors:
    def test_what_cannot_be_read_now_is_tried_again(
        self, store: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = Spool(1, 1000, store, SERVER)
        for number in range(3):
            spool.append({"n": number})

        def fail(*arguments: Any) -> None:
            raise OSError(5, "EIO")

        spool = Spool(2, 1000, store, SERVER)
        with monkeypatch.context() as broken:
            broken.setattr("builtins.open", fail)
            for _ in range(2):
                with pytest.raises(KeystoreError, match="cannot read") as raised:
                    spool.oldest()
                assert not isinstance(raised.value, DamagedRecord)
        assert (spool.damaged, len(spool)) == (0, 3)
        assert _drain(spool) == [{"n": number} for number in range(3)]

    def test_what_was_misread_once_is_not_damaged(
        self, store: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Spool(1, 1000, store, SERVER).append({"n": 1})
        payload = Keystore._payload
        times = iter(range(100))
        monkeypatch.setattr(
            Keystore, "_payload", lambda *all: payload(*all) if next(times) else None
        )
        spool = Spool(2, 1000, store, SERVER)
        assert _drain(spool) == [{"n": 1}]
        assert spool.damaged == 0

    def test_a_folder_that_cannot_be_listed_stops_the_start(
        self, store: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(path: str) -> None:
            raise OSError(5, "EIO")

        monkeypatch.setattr(birthkey.keystore, "listing", fail)
        with pytest.raises(KeystoreError, match="cannot list"):
            Spool(1, 1000, store, SERVER)

    def test_a_listing_that_never_ends_stops_the_start(
        self, store: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So MicroPython lists a folder that littlefs cannot read on in."""
        names = itertools.repeat(("0000000100000000", 40))
        monkeypatch.setattr(birthkey.keystore, "listing", lambda path: names)
        with pytest.raises(KeystoreError, match="cannot list"):
            Spool(1, 1000, store, SERVER)


class TestOtherServers:
    def test_readings_are_for_the_server_that_they_were_meant_for(self, store: Keystore) -> None:
        spool = Spool(1, 1000, store, SERVER)
        for number in range(3):
            spool.append({"n": number})
        other = Spool(2, 1000, store, OTHER)
        assert (len(other), other.oldest(), other.others) == (0, None, 3)
        other.append({"other": 1})
        assert _drain(other) == [{"other": 1}]
        assert _drain(Spool(3, 1000, store, SERVER)) == [{"n": number} for number in range(3)]

    def test_another_key_of_the_same_server_is_no_other_server(self, store: Keystore) -> None:
        [one], [two] = SERVER, OTHER
        Spool(1, 1000, store, [one]).append({"n": 1})
        for boot, keys in enumerate(([two, one], [one, two], [two, one]), 2):
            spool = Spool(boot, 1000, store, keys)
            assert (len(spool), spool.others) == (boot - 1, 0)
            spool.append({"n": boot})
        assert _drain(Spool(9, 1000, store, [two])) == [{"n": number} for number in range(1, 5)]

    def test_they_take_room_until_they_are_removed(self, store: Keystore, tmp_path: Path) -> None:
        for server in (SERVER, [b"\1" * 16]):
            Spool(1, 60, store, server).append({"n": 1})
        spool = Spool(2, 45, store, OTHER)
        spool.append({"n": 2})
        with pytest.raises(OutboxFull):
            spool.append({"n": 3})
        assert spool.remove_others() == 2
        assert spool.others == 0
        spool.append({"n": 4})
        assert _drain(spool) == [{"n": 2}, {"n": 4}]
        assert [path.name for path in tmp_path.iterdir()] == ["spool-00000000"]
        assert spool.remove_others() == 0

    def test_they_can_be_removed_a_few_at_a_time(self, store: Keystore) -> None:
        for server in (SERVER, [b"\1" * 16]):
            spool = Spool(1, 1000, store, server)
            for number in range(20):
                spool.append({"n": number})
        spool = Spool(2, 1000, store, OTHER)
        counts = []
        while spool.others:
            counts.append(spool.remove_others(7))
        assert (sum(counts), max(counts)) == (40, 7)
        assert spool.remove_others(7) == 0
        assert Spool(3, 1000, store, OTHER).others == 0

    def test_one_that_flash_keeps_for_now_is_counted_once(
        self, store: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = Spool(1, 1000, store, SERVER)
        for number in range(20):
            spool.append({"n": number})
        spool = Spool(2, 1000, store, OTHER)
        room = spool._room
        removals = 0
        remove = Keystore.remove

        def failing(self: Keystore, name: str) -> None:
            nonlocal removals
            removals += 1
            if removals == 5:
                raise KeystoreError("cannot remove it from flash: EIO")
            remove(self, name)

        monkeypatch.setattr(Keystore, "remove", failing)
        with pytest.raises(KeystoreError):
            spool.remove_others(7)
        removed = 0
        while spool.others:
            removed += spool.remove_others(7)
        assert removed == 20
        assert spool._room > room
        assert spool._room == Spool(3, 1000, store, OTHER)._room

    def test_the_records_of_the_identity_stay(self, store: Keystore) -> None:
        store.write("key", b"key")
        store.write("copy/key", b"key")
        Spool(1, 1000, store, SERVER).append({"n": 1})
        assert Spool(2, 1000, store, OTHER).remove_others() == 1
        assert store.read("key", 3) == store.read("copy/key", 3) == b"key"


def test_flash_is_not_asked_for_its_space_at_each_reading(
    store: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    free = 500

    def space(self: Keystore) -> tuple[int, int]:
        asked.append(free)
        return free, 4096

    monkeypatch.setattr(Keystore, "space", space)
    spool = Spool(1, 10_000, store, SERVER)
    for _ in range(100):
        spool.append({"n": 1})
        free -= 4  # more than a reading takes
    assert len(asked) < 5
    while free >= 4:
        spool.append({"n": 1})
        free -= 4
    with pytest.raises(OutboxFull, match="flash is full"):
        spool.append({"n": 1})
