"""Messages keep their counters and their order; a full outbox drops nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import pytest

from birthkey.keystore import Keystore, KeystoreError
from birthkey.outbox import Outbox, OutboxFull, Spool
from device import Handle, Interpreter


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
        spool = Spool(boot, 1000, store)
        for number in range(3):
            spool.append({"boot": boot, "n": number})
    spool = Spool(301, 1000, store)
    assert len(spool) == 9
    assert _drain(spool) == [{"boot": b, "n": n} for b in (1, 2, 300) for n in range(3)]
    assert len(Spool(302, 1000, store)) == 0


def test_a_spooled_reading_keeps_its_counter(store: Keystore) -> None:
    counter = Spool(7, 1000, store).append({"n": 1}).counter
    item = Spool(8, 1000, store).oldest()
    assert item is not None
    assert item.counter == counter == cbor2.loads(item.encoded)[1]


def test_the_room_of_a_spool_counts_what_earlier_boots_left(store: Keystore) -> None:
    Spool(1, 40, store).append({"n": 1})
    spool = Spool(2, 40, store)
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
    spool = Spool(1, 1000, store)
    for number in range(3):
        spool.append({"n": number})
    victim = sorted(tmp_path.iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
    again = Spool(2, 1000, store)
    assert _drain(again) == [{"n": 0}, {"n": 2}]
    assert again.damaged == 1
    assert victim.exists()


def test_what_a_cut_left_of_a_spooled_reading_is_cleared_away(
    store: Keystore, tmp_path: Path
) -> None:
    Spool(1, 1000, store).append({"n": 1})
    (tmp_path / "0000000100000001.new").write_bytes(b"BKR1")
    assert _drain(Spool(2, 1000, store)) == [{"n": 1}]
    assert list(tmp_path.iterdir()) == []


def test_flash_that_is_full_keeps_the_room_and_says_so(
    store: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str, payload: bytes) -> None:
        raise KeystoreError("cannot write to flash: no space left")

    spool = Spool(1, 20, store)
    monkeypatch.setattr(store, "write", full)
    for _ in range(3):
        with pytest.raises(KeystoreError, match="no space left"):
            spool.append({"n": 1})
    monkeypatch.undo()
    spool.append({"n": 2})
    assert _drain(spool) == [{"n": 2}]
