"""A Device whose readings wait on flash: what flash does not give, and what a setting leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birthkey import Device, Refused
from birthkey._port import run
from birthkey.keystore import Keystore, KeystoreError
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from device_network import Network

Start = Callable[..., Device]


def bodies(registry: Registry) -> list[Any]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    return [message.body for message in messages if message.type == Type.DATA]


def records(folder: Path) -> list[Path]:
    """Of the readings that wait there, the oldest first."""
    return sorted(path for path in folder.glob("board/spool-*/*") if len(path.name) == 16)


def waiting(start: Start, network: Network, count: int = 3, **options: Any) -> Device:
    """A device that has enrolled, with so many readings that wait."""
    device = start(spool=1000, **options)
    assert device.deliver()
    network.reachable = False
    device._conversation._transport.connected = False
    for number in range(count):
        device.send({"n": number}, wait_ms=0)
    network.reachable = True
    assert device.queued == count
    return device


def test_a_read_that_fails_is_tried_again_and_said(
    start: Start, registry: Registry, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error is not a damaged record: nothing is passed over, and the order stays."""
    device = waiting(start, network)
    read = Keystore.read

    def failing(self: Keystore, name: str, *sizes: int) -> bytes | None:
        if name.startswith("spool-"):
            raise KeystoreError(f"cannot read {name} from flash: EIO")
        found: bytes | None = read(self, name, *sizes)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "read", failing)
        assert device.send({"n": 3}, wait_ms=50) is False
        assert "cannot read spool-" in device.problem
    assert (device.queued, device.damaged) == (4, 0)
    assert device.deliver()
    assert bodies(registry) == [{"n": number} for number in range(4)]
    assert device.problem is None


def test_a_reading_that_is_damaged_is_said_by_its_own_send(
    start: Start, registry: Registry, network: Network, tmp_path: Path
) -> None:
    device = waiting(start, network, count=0)
    steps = device.send_steps({"lost": True}, 10_000)
    next(steps)
    [record] = records(tmp_path)
    record.write_bytes(record.read_bytes()[:-1] + b"\0")
    device._outbox._present = None  # as it is when others wait before it
    device._conversation._steps = None
    assert run(steps) is False
    assert "damaged on flash" in device.problem
    assert device.damaged == 1
    assert device.send({"n": 1})
    assert bodies(registry) == [{"n": 1}]


@pytest.mark.parametrize("spool", [0, 60])
def test_what_a_spool_holds_is_delivered_when_it_is_switched_off_or_smaller(
    start: Start, registry: Registry, network: Network, spool: int
) -> None:
    waiting(start, network)
    device = start(spool=spool)
    assert device.queued == 3
    assert device.send({"n": 3})
    assert bodies(registry) == [{"n": number} for number in range(4)]
    assert start().queued == 0


def test_readings_for_another_server_are_never_given_to_this_one(
    start: Start, registry: Registry, network: Network, tmp_path: Path
) -> None:
    waiting(start, network)
    other = Network(registry, ServerKey.generate())
    network.pipeline, here = other.pipeline, network.pipeline
    device = start(spool=1000, server_key=other.key.public.hex())
    network.reachable = False
    assert device.send({"new": True}, wait_ms=20) is False
    assert len(records(tmp_path)) == 4  # until that server has let it in
    network.reachable = True
    assert device.deliver()
    assert device.send({"new": 2})
    assert bodies(registry) == [{"new": True}, {"new": 2}]
    assert device.dropped == 3
    assert records(tmp_path) == []
    network.pipeline = here


def test_keys_that_change_places_lose_nothing(
    start: Start, registry: Registry, network: Network
) -> None:
    """The step after a server has got another key."""
    new = ServerKey.generate().public.hex()
    waiting(start, network)
    device = start(spool=1000, server_key=new, backup_key=network.key.public.hex())
    assert (device.queued, device.enrolled) == (3, True)
    assert device.deliver(wait_ms=60_000)
    assert bodies(registry) == [{"n": number} for number in range(3)]
    assert device.dropped == 0


def test_a_board_that_is_set_back_to_its_server_in_time_has_lost_nothing(
    start: Start, registry: Registry, network: Network
) -> None:
    waiting(start, network)
    network.reachable = False
    elsewhere = start(spool=1000, server_key=ServerKey.generate().public.hex())
    elsewhere.send({"new": True}, wait_ms=20)
    network.reachable = True
    device = start(spool=1000)
    assert device.deliver()
    assert bodies(registry) == [{"n": number} for number in range(3)]


def removing(monkeypatch: pytest.MonkeyPatch, *fails: bool) -> None:
    """Flash that refuses to remove a record when `fails` says so; it goes on with the last."""
    remove, script = Keystore.remove, list(fails)

    def refuses(self: Keystore, name: str) -> None:
        if name.startswith("spool-") and (script.pop(0) if len(script) > 1 else script[0]):
            raise KeystoreError(f"cannot remove {name} from flash")
        remove(self, name)

    monkeypatch.setattr(Keystore, "remove", refuses)


def moved(start: Start, registry: Registry, network: Network) -> tuple[Device, Network]:
    """A board with three readings for another server."""
    waiting(start, network)
    other = Network(registry, ServerKey.generate())
    network.pipeline = other.pipeline
    return start(spool=1000, server_key=other.key.public.hex()), other


def test_readings_of_another_server_that_stay_on_flash_hold_up_nothing(
    start: Start, registry: Registry, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _ = moved(start, registry, network)
    clear = Keystore.clear
    monkeypatch.setattr(Keystore, "clear", lambda *_: (_ for _ in ()).throw(KeystoreError("no")))
    assert device.deliver()
    network.reachable = True
    assert device.send({"new": True})
    assert device.dropped == 0
    monkeypatch.setattr(Keystore, "clear", clear)
    assert bodies(registry) == [{"new": True}]


def test_a_refused_reading_that_stays_on_flash_is_counted_once(
    start: Start, registry: Registry, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birthkey.message.check_data", lambda body: None)
    device = waiting(start, network, count=0)
    device.send(5, wait_ms=0)
    removing(monkeypatch, True, True, False)
    with pytest.raises(Refused, match="malformed"):
        device.deliver(wait_ms=5_000)
    assert (device.dropped, device.queued) == (1, 0)
    assert device.deliver()


def test_a_reading_that_memory_does_not_suffice_for_waits_behind_the_others(
    start: Start, registry: Registry, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = waiting(start, network, count=0)
    seal = device._conversation._session.seal

    def cramped(counter: int, encoded: bytes, now: int) -> bytes:
        if len(encoded) > 100:
            raise MemoryError
        return bytes(seal(counter, encoded, now))

    monkeypatch.setattr(device._conversation._session, "seal", cramped)
    assert device.send({"large": os.urandom(100)}, wait_ms=50) is False
    for number in range(40):  # more than RAM holds names of
        assert device.send({"n": number}, wait_ms=500)
    assert device.queued == 1
    assert bodies(registry) == [{"n": number} for number in range(40)]
    monkeypatch.undo()
    assert device.deliver(wait_ms=500) or device.deliver()
    assert len(bodies(registry)) == 41
