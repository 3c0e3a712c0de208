"""`Device` as an application uses it, against the real verifier and registry.

The transport between them is a stand-in (`device_network`); the modem and real sockets have their
own tests. Commands and the time are in test_device_commands.py and test_device_time.py.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from birthkey import Device, OutboxFull, Refused
from birthkey_host.enrolment import policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.verifier import Verifier
from device_network import Network, Transport

Start = Callable[..., Device]


def _bodies(registry: Registry) -> list[Any]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    return [message.body for message in messages if message.type == Type.DATA]


def test_a_new_board_enrols_and_its_reading_is_stored(start: Start, registry: Registry) -> None:
    device = start()
    assert device.born
    assert not device.enrolled
    assert device.send({"t": 21.5})
    assert device.enrolled
    assert _bodies(registry) == [{"t": 21.5}]
    assert [row.type for row in registry.messages()] == [Type.ENROL, Type.DATA]


def test_after_a_reboot_the_board_goes_on_without_enrolling(
    start: Start, registry: Registry, network: Network
) -> None:
    first = start()
    first.send({"n": 1})
    second = start()
    assert (second.boot, second.born, second.enrolled) == (2, False, True)
    assert second.device_id == first.device_id
    assert second.send({"n": 2})
    assert [row.type for row in registry.messages()] == [Type.ENROL, Type.DATA, Type.DATA]
    assert _bodies(registry) == [{"n": 1}, {"n": 2}]


def test_a_board_that_waits_for_approval_keeps_its_readings(
    start: Start, registry: Registry, network: Network
) -> None:
    network.pipeline = Pipeline(
        Verifier([network.key], registry.lookup), registry, policy("approve")
    )
    device = start()
    assert not device.send({"n": 1}, wait_ms=300)
    assert "pending" in device.problem
    assert device.queued == 1
    registry.approve(device.device_id, who="test", why="", now=time.time())
    assert device.deliver()
    assert device.problem is None
    assert _bodies(registry) == [{"n": 1}]


def test_readings_wait_while_the_server_is_out_of_reach(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start()
    network.reachable = False
    for number in range(3):
        assert not device.send({"n": number}, wait_ms=5)
    assert device.problem == "cannot reach the server"
    network.reachable = True
    assert device.deliver()
    assert _bodies(registry) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_lost_frame_is_sealed_anew_and_stored_once(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start()
    device.deliver()
    lost = iter([None])
    network.up = lambda frame: next(lost, frame)
    assert device.send({"n": 1})
    assert network.frames[-1] != network.frames[-2]
    assert _bodies(registry) == [{"n": 1}]


def test_a_lost_answer_makes_no_second_row(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start()
    device.deliver()
    lost = iter([None, None])
    network.down = lambda answer: next(lost, answer)
    assert device.send({"n": 1})
    assert len(network.frames) == 4
    assert _bodies(registry) == [{"n": 1}]


def test_garbage_from_the_network_does_not_hide_the_answer(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start()
    device.deliver()
    real = Transport.send

    def noisy(self: Transport, frame: bytes) -> Iterator[None]:
        self.answers += [b"\xd0", bytes(4096), frame]
        yield from real(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "send", noisy)
        assert device.send({"n": 1})
    assert device.unopened == 3


def test_a_server_with_another_key_is_not_believed(start: Start, network: Network) -> None:
    device = start(server_key=ServerKey.generate().public.hex())
    assert not device.send({"n": 1}, wait_ms=100)
    assert "is the server's key the right one?" in device.problem
    assert device.queued == 1


def test_short_waits_add_up_to_a_silence(start: Start) -> None:
    device = start(server_key=ServerKey.generate().public.hex())
    device.send({"n": 1}, wait_ms=25)
    assert device.problem == "the server has not answered yet"
    for _ in range(20):
        device.deliver(wait_ms=15)
    assert "is the server's key the right one?" in device.problem


def test_the_backup_key_is_tried_after_three_silences(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start(
        server_key=ServerKey.generate().public.hex(), backup_key=network.key.public.hex()
    )
    assert device.send({"n": 1})
    assert _bodies(registry) == [{"n": 1}]


def test_two_keys_take_turns_when_both_were_silent(start: Start, network: Network) -> None:
    """So when the server is back, at most one silence lies before it."""
    device = start(backup_key=ServerKey.generate().public.hex())
    assert device.deliver()
    network.up = lambda frame: b""
    network.frames.clear()
    assert not device.send({"n": 1}, wait_ms=2_000)
    keys = [frame[10:26] == network.key.server_id for frame in network.frames]
    assert keys[:9] == [True, True, True, False, True, False, True, False, True]
    network.up = lambda frame: frame
    assert device.deliver()


def test_a_server_that_lost_its_registry_is_enrolled_with_again(
    start: Start, network: Network, tmp_path: Path
) -> None:
    device = start()
    device.send({"n": 1})
    with Registry(f"sqlite:///{tmp_path}/fresh.sqlite3") as fresh:
        fresh.create()
        network.pipeline = Pipeline(Verifier([network.key], fresh.lookup), fresh, policy("open"))
        assert device.send({"n": 2})
        assert _bodies(fresh) == [{"n": 2}]


def test_a_refusal_for_good_is_raised_and_counted(
    start: Start, registry: Registry, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = start()
    device.deliver()
    # The application's own check is out of the way, so that the server's is seen.
    monkeypatch.setattr("birthkey.message.check_data", lambda body: None)
    with pytest.raises(Refused, match="malformed"):
        device.send(5)
    assert (device.queued, device.dropped) == (0, 1)
    assert device.send({"n": 1})


def test_a_full_outbox_is_the_callers_to_handle(
    start: Start, registry: Registry, network: Network
) -> None:
    device = start(outbox=50)
    network.reachable = False
    for number in range(3):
        assert not device.send({"n": number}, wait_ms=0)
    with pytest.raises(OutboxFull, match="3 readings wait"):
        device.send({"n": 3}, wait_ms=0)
    network.reachable = True
    assert device.deliver()
    assert _bodies(registry) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_what_is_no_reading_is_refused_before_it_is_queued(start: Start) -> None:
    device = start()
    for body in (5, "t", b"t", None, [], [1], {1.5: 1}, {"t": object()}, {"t": bytes(4000)}):
        with pytest.raises(ValueError, match=r"reading|CBOR|bytes"):
            device.send(body)
    assert device.queued == 0


def test_spooled_readings_are_delivered_after_reboots_in_order(
    start: Start, registry: Registry, network: Network
) -> None:
    start().deliver()
    network.reachable = False
    for boot in range(3):
        device = start(spool=1000)
        for number in range(2):
            assert not device.send({"boot": boot, "n": number}, wait_ms=0)
    assert device.queued == 6
    network.reachable = True
    assert start(spool=1000).deliver()
    assert _bodies(registry) == [{"boot": b, "n": n} for b in range(3) for n in range(2)]
    assert start(spool=1000).queued == 0


def test_a_board_tells_of_the_highest_boot_that_it_was_told_of(
    start: Start, registry: Registry, network: Network, tmp_path: Path
) -> None:
    genuine = start()
    genuine.send({"n": 1})
    shutil.copytree(tmp_path / "board", tmp_path / "clone")
    start(path=str(tmp_path / "clone")).send({"n": 2})
    # The status about boot 2 does not get through, and the clone goes on to boot 3.
    assert not genuine.send({"n": 3}, wait_ms=0)
    lost = iter([True])
    real = network.up
    network.up = lambda frame: real(frame) if next(lost, False) else None
    genuine.deliver(wait_ms=60)
    network.up = real
    start(path=str(tmp_path / "clone")).send({"n": 4})
    registry.prune(genuine.device_id, before=time.time(), who="test", now=time.time())
    with pytest.raises(Refused, match="cloned"):
        genuine.deliver(wait_ms=5000)
    device = registry.device(genuine.device_id)
    assert device is not None
    assert device.state == "cloned"


def test_a_modem_needs_a_server_to_connect_to(network: Network, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="server is missing"):
        Device(network, server_key=network.key.public.hex(), path=str(tmp_path / "board"))
    assert not (tmp_path / "board").exists()


GOOD = ServerKey.generate().public.hex()
OFF_CURVE = GOOD[:-1] + f"{int(GOOD[-1], 16) ^ 1:x}"


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ({"server_key": "00"}, "128 hex digits"),
        ({"server_key": "zz" * 64}, "128 hex digits"),
        ({"server_key": OFF_CURVE}, "no point of P-256: one of its digits may be mistyped"),
        ({"backup_key": OFF_CURVE}, "no point of P-256: one of its digits may be mistyped"),
        ({"server_key": GOOD, "backup_key": GOOD}, "backup_key is server_key again"),
        ({"server_key": GOOD, "backup_key": GOOD.upper()}, "backup_key is server_key again"),
        ({"claim": "1234"}, "32 hex digits"),
        ({"board": ""}, "printable ASCII"),
        ({"board": "x" * 33}, "printable ASCII"),
        ({"firmware": "1\n"}, "printable ASCII"),
    ],
)
def test_a_wrong_configuration_is_said(
    start: Start, option: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        start(**option)


def test_a_key_that_is_none_takes_no_boot_number(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no point"):
        start(backup_key=OFF_CURVE)
    assert not (tmp_path / "board").exists()
    assert start().boot == 1


@pytest.mark.parametrize("server", [("server", 0), ("server", 99999), ("my server", 1), ("", 1)])
def test_an_address_that_is_none_is_said_before_anything_is_written(
    network: Network, tmp_path: Path, server: tuple[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"host must|port must"):
        Device(
            network,
            server=server,
            server_key=network.key.public.hex(),
            path=str(tmp_path / "board"),
        )
    assert not (tmp_path / "board").exists()


def test_asyncio_programs_await_the_same_thing(start: Start, registry: Registry) -> None:
    assert asyncio.run(start().asend({"n": 1}))
    assert _bodies(registry) == [{"n": 1}]
