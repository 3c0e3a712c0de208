"""What a server takes of what boards and strangers send: their quotas, and room on the disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asking import ask, lines
from birthkey_host.enrolment import Approve, Open, Policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.room import Room
from birthkey_host.server.bucket import Rate
from birthkey_host.server.newcomers import NewcomerLimits
from birthkey_host.server.pipeline import Pipeline, Sender
from birthkey_host.server.quota import QuotaLimits
from birthkey_host.server.reserve import ReserveLimits
from birthkey_host.verifier import Verifier
from recording import Server, count, data, execute

NOW = 1_700_000_000.75


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


class TestQuota:
    @pytest.fixture
    def tight(self, server_key: ServerKey, registry: Registry) -> Pipeline:
        verifier = Verifier([server_key], registry.lookup)
        limits = QuotaLimits(messages=Rate(burst=2, rate=1.0), boots=Rate(burst=2, rate=0.1))
        return Pipeline(verifier, registry, Open(), quota=limits, clock=lambda: self.now)

    now = NOW

    def test_device_that_sends_too_much_is_told_busy(
        self,
        tight: Pipeline,
        registry: Registry,
        board: ReferenceDevice,
        log: pytest.LogCaptureFixture,
    ) -> None:
        ask(tight, board, board.enrol("pico", "1.0"))
        ask(tight, board, data(board))
        log.clear()
        message = data(board)
        assert ask(tight, board, message) == Message(
            Type.REFUSE, message.counter, {0: 1, 1: "busy"}
        )
        [(_, line)] = lines(log)
        assert line.startswith("refused policy: busy: it has sent too many messages from 192.0.2.1")
        assert count(registry, "messages") == 2

    def test_message_is_stored_when_it_comes_again_later(
        self, tight: Pipeline, board: ReferenceDevice
    ) -> None:
        messages = [board.enrol("pico", "1.0"), data(board), data(board)]
        kinds = [ask(tight, board, message).type for message in messages]
        assert kinds == [Type.ACKNOWLEDGE, Type.ACKNOWLEDGE, Type.REFUSE]
        self.now += 1
        assert ask(tight, board, messages[2]).type == Type.ACKNOWLEDGE

    def test_message_that_is_stored_is_acknowledged_again_at_any_rate(
        self, tight: Pipeline, board: ReferenceDevice
    ) -> None:
        messages = [board.enrol("pico", "1.0"), data(board)]
        for _ in range(5):
            for message in messages:
                assert ask(tight, board, message).type == Type.ACKNOWLEDGE

    def test_what_was_refused_does_not_count(
        self, tight: Pipeline, registry: Registry, board: ReferenceDevice
    ) -> None:
        ask(tight, board, board.enrol("pico", "1.0"))
        execute(registry, "UPDATE devices SET state = 'suspended'")
        for _ in range(5):
            assert ask(tight, board, data(board)).body == {0: 1, 1: "suspended"}
        execute(registry, "UPDATE devices SET state = 'active'")
        assert ask(tight, board, data(board)).type == Type.ACKNOWLEDGE

    def test_what_is_refused_for_good_is_not_put_off(
        self, tight: Pipeline, board: ReferenceDevice, log: pytest.LogCaptureFixture
    ) -> None:
        for message in (board.enrol("pico", "1.0"), data(board)):
            ask(tight, board, message)
        log.clear()
        assert ask(tight, board, board.message(9, {})).body == {0: 1, 1: "type"}
        [(_, line)] = lines(log)
        assert line.startswith("refused policy: type: ")

    def test_other_devices_are_not_told_busy(
        self, tight: Pipeline, boards: Callable[[int], list[ReferenceDevice]]
    ) -> None:
        for board in boards(3):
            for message in (board.enrol("pico", "1.0"), data(board)):
                assert ask(tight, board, message).type == Type.ACKNOWLEDGE

    def test_one_message_in_boot_after_boot_is_not_free(
        self, tight: Pipeline, registry: Registry, board: ReferenceDevice
    ) -> None:
        enrol = board.enrol("pico", "1.0")
        answers = [ask(tight, board, enrol)]
        for boot in range(2, 50):
            board.start(boot)
            answers.append(ask(tight, board, enrol))
        assert [answer.type for answer in answers].count(Type.ACKNOWLEDGE) == 2
        assert answers[-1].body == {0: 2, 1: "busy"}
        assert count(registry, "boots") == 2

    def test_board_that_restarts_all_the_time_loses_no_reading(
        self, tight: Pipeline, registry: Registry, board: ReferenceDevice
    ) -> None:
        """It tries once in each of its boots, of two seconds, with what it has kept so far."""
        ask(tight, board, board.enrol("pico", "1.0"))
        waiting, made = [], 0
        for boot in range(2, 42):
            self.now += 2
            board.start(boot)
            waiting.append(data(board, boot))
            made += 1
            while waiting and ask(tight, board, waiting[0]).type == Type.ACKNOWLEDGE:
                del waiting[0]
        self.now += 30
        while waiting:
            self.now += 1
            assert ask(tight, board, waiting.pop(0)).type == Type.ACKNOWLEDGE
        assert count(registry, "messages") == made + 1
        assert count(registry, "boots") <= 2 + 80 // 10 + 1


class TestNewcomers:
    """How many devices are taken that nobody approved."""

    now = NOW

    def pipeline(self, server_key: ServerKey, registry: Registry, policy: Policy) -> Pipeline:
        verifier = Verifier([server_key], registry.lookup)
        limits = NewcomerLimits(at_once=2, origins=2)
        return Pipeline(verifier, registry, policy, newcomers=limits, clock=lambda: self.now)

    @staticmethod
    def enrol(
        pipeline: Pipeline, board: ReferenceDevice, source: str, code: bytes | None = None
    ) -> str:
        served = pipeline.serve(board.frame(board.enrol("pico", "1.0", code)), Sender(source))
        body = board.open(served.answer or b"").body
        assert isinstance(body, dict)
        return str(body.get(1, "stored"))

    @pytest.mark.parametrize(("policy", "taken"), [(Open(), "stored"), (Approve(), "pending")])
    def test_few_of_one_address_and_few_of_all(
        self,
        server_key: ServerKey,
        registry: Registry,
        boards: Callable[[int], list[ReferenceDevice]],
        policy: Policy,
        taken: str,
        log: pytest.LogCaptureFixture,
    ) -> None:
        pipeline = self.pipeline(server_key, registry, policy)
        sources = ["192.0.2.1"] * 3 + ["192.0.2.2"] * 3 + ["192.0.2.3"]
        answers = [
            self.enrol(pipeline, board, source)
            for board, source in zip(boards(7), sources, strict=True)
        ]
        assert answers == [taken, taken, "busy"] * 2 + ["busy"]
        assert count(registry, "devices") == 4
        assert count(registry, "events") == 4
        [line] = [line for _, line in lines(log) if "came from 192.0.2.1 " in line]
        assert line.startswith("refused policy: busy: too many new devices came from 192.0.2.1 ")
        self.now += 2.5 * 3600
        assert self.enrol(pipeline, boards(1)[0], "192.0.2.1") == taken

    def test_device_that_is_known_may_enrol_as_often_as_it_likes(
        self, server_key: ServerKey, registry: Registry, board: ReferenceDevice
    ) -> None:
        pipeline = self.pipeline(server_key, registry, Approve())
        for _ in range(5):
            assert self.enrol(pipeline, board, "192.0.2.1") == "pending"

    def test_whoever_was_approved_or_has_a_code_is_no_stranger(
        self,
        server_key: ServerKey,
        registry: Registry,
        boards: Callable[[int], list[ReferenceDevice]],
    ) -> None:
        pipeline = self.pipeline(server_key, registry, Open())
        invited, holders, strangers = boards(5), boards(5), boards(3)
        codes = registry.issue_claims(5, who="ada", now=NOW)
        for board in invited:
            registry.approve(board.device_id, who="ada", why="", now=NOW)
        for _ in range(2):
            assert self.enrol(pipeline, strangers.pop(), "192.0.2.1") == "stored"
        assert self.enrol(pipeline, strangers.pop(), "192.0.2.1") == "busy"
        for board, code in zip(holders, codes, strict=True):
            assert self.enrol(pipeline, board, "192.0.2.1", code) == "stored"
        for board in invited:
            assert self.enrol(pipeline, board, "192.0.2.1") == "stored"


class TestReserve:
    """What is taken when the disk is nearly full."""

    room = Room(10**12, 0)
    now = NOW

    @pytest.fixture
    def short(
        self, server_key: ServerKey, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> Pipeline:
        def clock() -> float:
            self.now += 1
            return self.now

        monkeypatch.setattr(registry, "room", lambda: self.room)
        verifier = Verifier([server_key], registry.lookup)
        limits = ReserveLimits(growth=1000)
        return Pipeline(verifier, registry, Open(), reserve=limits, clock=clock)

    @pytest.fixture
    def known(self, short: Pipeline, board: ReferenceDevice) -> ReferenceDevice:
        ask(short, board, board.enrol("pico", "1.0"))
        return board

    def test_strangers_are_told_busy_first(
        self,
        short: Pipeline,
        registry: Registry,
        known: ReferenceDevice,
        boards: Callable[[int], list[ReferenceDevice]],
        log: pytest.LogCaptureFixture,
    ) -> None:
        stranger, approved = boards(2)
        registry.approve(approved.device_id, who="ada", why="", now=NOW)
        self.room = Room(1500, 0)
        log.clear()
        served = short.serve(stranger.frame(stranger.enrol("pico", "1.0")), Sender("192.0.2.1"))
        assert stranger.open(served.answer or b"").body == {0: 0, 1: "busy"}
        assert not served.charged
        assert ask(short, known, data(known)).type == Type.ACKNOWLEDGE
        assert ask(short, approved, approved.enrol("pico", "1.0")).type == Type.ACKNOWLEDGE
        assert [line for level, line in lines(log) if level == "ERROR"] == [
            "takes no new devices that nobody approved: 1.5 kB are left for the registry, less than"
            " 2 kB; `birthkey prune --before DATE` and `birthkey delete ID` make"
            " room, or start the server with a smaller --reserve"
        ]

    def test_then_nothing_new_is_stored(
        self,
        short: Pipeline,
        registry: Registry,
        known: ReferenceDevice,
        boards: Callable[[int], list[ReferenceDevice]],
    ) -> None:
        [approved] = boards(1)
        registry.approve(approved.device_id, who="ada", why="", now=NOW)
        message = data(known)
        ask(short, known, message)
        self.room = Room(999, 0)
        waits = data(known)
        served = short.serve(known.frame(waits), Sender("192.0.2.1"))
        assert known.open(served.answer or b"").body == {0: 1, 1: "busy"}
        assert not served.charged
        assert ask(short, approved, approved.enrol("pico", "1.0")).body == {0: 0, 1: "busy"}
        assert ask(short, known, message).type == Type.ACKNOWLEDGE  # it is stored
        known.start(2)
        assert ask(short, known, message).body == {0: 1, 1: "busy"}  # its boot is not
        assert (count(registry, "messages"), count(registry, "boots")) == (2, 1)
        self.room = Room(10**9, 0)
        assert ask(short, known, waits).type == Type.ACKNOWLEDGE
        assert ask(short, approved, approved.enrol("pico", "1.0")).type == Type.ACKNOWLEDGE

    @pytest.mark.parametrize("waited", [False, True])
    def test_code_that_is_not_spent_lets_nobody_in(
        self,
        short: Pipeline,
        server_key: ServerKey,
        registry: Registry,
        board: ReferenceDevice,
        waited: bool,
    ) -> None:
        if waited:
            strict = Pipeline(Verifier([server_key], registry.lookup), registry, Approve())
            ask(strict, board, board.enrol("pico", "1.0"))
        [code] = registry.issue_claims(1, who="ada", now=NOW)
        self.room = Room(0, 0)
        ask(short, board, board.enrol("pico", "1.0", code))
        device = registry.device(board.device_id)
        assert device is None or device.state is State.PENDING
        assert [row.spent for row in registry.claims()] == [None]

    def test_clone_is_caught_all_the_same(
        self, short: Pipeline, registry: Registry, known: ReferenceDevice
    ) -> None:
        self.room = Room(0, 0)
        known.start(1)
        assert ask(short, known, data(known)).body == {0: 1, 1: "cloned"}


def test_room_is_that_of_the_disk_and_of_what_was_deleted(
    server: Server, registry: Registry, enrolled: ReferenceDevice, tmp_path: Path
) -> None:
    for number in range(20):
        server(enrolled, enrolled.message(Type.DATA, {"n": bytes(3600 + number)}))
    before = registry.room()
    assert before is not None
    found = os.statvfs(tmp_path)
    assert before.disk == pytest.approx(found.f_bavail * found.f_frsize, rel=0.1)
    registry.delete(enrolled.device_id, who="ada", why="", now=NOW)
    after = registry.room()
    assert after is not None
    assert after.file - before.file > 20 * 7200
