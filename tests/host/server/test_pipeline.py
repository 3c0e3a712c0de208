from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from asking import ask, lines
from birthkey_host.enrolment import Approve, Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.bucket import Rate
from birthkey_host.server.lines import Lines
from birthkey_host.server.pipeline import Pipeline, Sender, Served
from birthkey_host.server.quota import QuotaLimits
from birthkey_host.verifier import Verifier
from recording import count, data, execute

NOW = 1_700_000_000.75


@pytest.fixture
def pipeline(server_key: ServerKey, registry: Registry) -> Pipeline:
    verifier = Verifier([server_key], registry.lookup)
    return Pipeline(verifier, registry, Open(), clock=lambda: NOW)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def enrolled(pipeline: Pipeline, board: ReferenceDevice) -> ReferenceDevice:
    ask(pipeline, board, board.enrol("pico", "1.0"))
    return board


def test_stored_message_is_acknowledged(
    pipeline: Pipeline, registry: Registry, enrolled: ReferenceDevice
) -> None:
    message = data(enrolled)
    answer = ask(pipeline, enrolled, message)
    assert answer == Message(Type.ACKNOWLEDGE, message.counter, {0: 1})
    assert [row.received for row in registry.messages()] == [NOW, NOW]


def test_repeated_message_is_acknowledged_again(
    pipeline: Pipeline, registry: Registry, enrolled: ReferenceDevice
) -> None:
    message = data(enrolled)
    frame = enrolled.frame(message)
    answers = [pipeline.handle(frame, "192.0.2.1") for _ in range(3)]
    assert {enrolled.open(answer or b"").type for answer in answers} == {Type.ACKNOWLEDGE}
    assert len(set(answers)) == 3  # each sealed under its own nonce
    assert count(registry, "messages") == 2


def test_refusal_names_its_reason(
    server_key: ServerKey, registry: Registry, board: ReferenceDevice
) -> None:
    verifier = Verifier([server_key], registry.lookup)
    strict = Pipeline(verifier, registry, Approve())
    message = board.enrol("pico", "1.0")
    answer = ask(strict, board, message)
    assert answer == Message(Type.REFUSE, message.counter, {0: 0, 1: "pending"})


def test_whole_life(server_key: ServerKey, registry: Registry, board: ReferenceDevice) -> None:
    strict = Pipeline(Verifier([server_key], registry.lookup), registry, Approve())
    reading = data(board)
    enrol = board.enrol("pico", "1.0")
    assert ask(strict, board, reading).body == {0: 0, 1: "unknown-device"}
    assert ask(strict, board, enrol).body == {0: 0, 1: "pending"}
    assert ask(strict, board, reading).body == {0: 0, 1: "pending"}
    registry.approve(board.device_id, who="ada", why="", now=NOW)
    assert ask(strict, board, enrol).type == Type.ACKNOWLEDGE
    assert ask(strict, board, reading).type == Type.ACKNOWLEDGE
    thief = ReferenceDevice(board.private, server_key.public, boot=2)
    assert ask(strict, thief, data(thief)).body == {0: 2}
    answer = ask(strict, board, data(board))
    assert answer.body == {0: 2, 1: "stale-boot"}
    status = board.message(Type.STATUS, Status(newest=2).body())
    assert ask(strict, board, status).body == {0: 2, 1: "cloned"}
    assert ask(strict, thief, data(thief)).body == {0: 2, 1: "cloned"}


def test_time_is_told_after_its_question_is_stored(
    pipeline: Pipeline, registry: Registry, enrolled: ReferenceDevice
) -> None:
    answer = ask(pipeline, enrolled, enrolled.message(Type.STATUS, {3: True}))
    assert (answer.type, answer.body) == (Type.TIME, {0: 1, 1: int(NOW)})
    assert count(registry, "messages") == 2


@pytest.mark.parametrize("frame", [b"", b"\x00", b"\xd0" * 40, bytes(5000)])
def test_rubbish_gets_silence(pipeline: Pipeline, frame: bytes) -> None:
    assert pipeline.handle(frame, "192.0.2.1") is None


def test_stored_message_is_one_line(
    pipeline: Pipeline, enrolled: ReferenceDevice, log: pytest.LogCaptureFixture
) -> None:
    log.clear()
    ask(pipeline, enrolled, data(enrolled))
    [(level, line)] = lines(log)
    assert level == "INFO"
    assert line == f"stored 1:1 from 192.0.2.1, device {enrolled.device_id.hex()}"


def test_repeated_message_is_no_line(
    pipeline: Pipeline, enrolled: ReferenceDevice, log: pytest.LogCaptureFixture
) -> None:
    message = data(enrolled)
    ask(pipeline, enrolled, message)
    log.clear()
    ask(pipeline, enrolled, message)
    assert lines(log) == []


def test_every_refusal_is_one_line_with_layer_reason_source_and_device(
    pipeline: Pipeline,
    registry: Registry,
    server_key: ServerKey,
    board: ReferenceDevice,
    log: pytest.LogCaptureFixture,
) -> None:
    name = board.device_id.hex()
    ask(pipeline, board, data(board))
    [(level, line)] = lines(log)
    assert level == "WARNING"
    assert line.startswith("refused policy: unknown-device: ")
    assert line.endswith(f" from 192.0.2.1, device {name}")

    ask(pipeline, board, board.enrol("pico", "1.0"))
    log.clear()
    execute(registry, "UPDATE devices SET state = 'suspended'")
    ask(pipeline, board, data(board))
    [(_, line)] = lines(log)
    assert line == f"refused policy: suspended from 192.0.2.1, device {name}"

    execute(registry, "UPDATE devices SET state = 'active', newest = 9")
    ask(pipeline, board, data(board))
    [(_, line)] = lines(log)
    assert line == f"refused replay: stale-boot from 192.0.2.1, device {name}"

    frame = bytearray(board.frame(data(board)))
    frame[-1] ^= 1
    assert pipeline.handle(bytes(frame), "192.0.2.1") is None
    [(_, line)] = lines(log)
    assert line.startswith("refused seal: ")
    assert line.endswith(" from 192.0.2.1")


def test_message_that_could_not_be_stored_is_not_acknowledged(
    pipeline: Pipeline,
    registry: Registry,
    enrolled: ReferenceDevice,
    log: pytest.LogCaptureFixture,
) -> None:
    execute(
        registry,
        "CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    message = data(enrolled)
    log.clear()
    answer = ask(pipeline, enrolled, message)
    assert answer.body == {0: 0, 1: Reason.BUSY}
    assert [level for level, _ in lines(log)] == ["ERROR"]
    execute(registry, "DROP TRIGGER full")
    assert ask(pipeline, enrolled, message).type == Type.ACKNOWLEDGE


def test_database_that_cannot_be_read_means_silence(
    pipeline: Pipeline,
    registry: Registry,
    enrolled: ReferenceDevice,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    registry.close()
    (tmp_path / "registry.sqlite3").write_bytes(b"no database at all, but long enough" * 100)
    log.clear()
    assert pipeline.handle(enrolled.frame(data(enrolled)), "192.0.2.1") is None
    [(level, line)] = lines(log)
    assert level == "ERROR"
    assert "192.0.2.1" in line


def test_restart_forgets_nothing(
    pipeline: Pipeline,
    server_key: ServerKey,
    registry: Registry,
    url: str,
    enrolled: ReferenceDevice,
) -> None:
    message = data(enrolled)
    ask(pipeline, enrolled, message)
    registry.close()
    with Registry(url) as reopened:
        again = Pipeline(Verifier([server_key], reopened.lookup), reopened, Open())
        assert ask(again, enrolled, message).type == Type.ACKNOWLEDGE
        assert count(reopened, "messages") == 2


class TestServed:
    """What a listener learns of a frame besides its answer."""

    @staticmethod
    def serve(pipeline: Pipeline, frame: bytes) -> Served:
        return pipeline.serve(frame, Sender("192.0.2.1"))

    def test_stored_message_names_its_device(
        self, pipeline: Pipeline, enrolled: ReferenceDevice
    ) -> None:
        served = self.serve(pipeline, enrolled.frame(data(enrolled)))
        assert (served.device_id, served.charged) == (enrolled.device_id, False)

    def test_message_that_is_stored_already_names_its_device(
        self, pipeline: Pipeline, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        for _ in range(2):
            served = self.serve(pipeline, enrolled.frame(message))
        assert (served.device_id, served.charged) == (enrolled.device_id, False)

    def test_whoever_does_not_know_the_server_is_charged(self, pipeline: Pipeline) -> None:
        assert self.serve(pipeline, b"rubbish") == Served(None, charged=True)

    def test_device_that_is_not_active_is_charged(
        self, server_key: ServerKey, registry: Registry, board: ReferenceDevice
    ) -> None:
        strict = Pipeline(Verifier([server_key], registry.lookup), registry, Approve())
        for message in (data(board), board.enrol("pico", "1.0")):
            served = self.serve(strict, board.frame(message))
            assert served.answer is not None
            assert (served.device_id, served.charged) == (None, True)

    def test_too_many_enrols_are_their_senders_fault(
        self, server_key: ServerKey, registry: Registry, url: str, board: ReferenceDevice
    ) -> None:
        with Registry(url, pending_limit=0) as full:
            strict = Pipeline(Verifier([server_key], full.lookup), full, Approve())
            served = self.serve(strict, board.frame(board.enrol("pico", "1.0")))
        assert board.open(served.answer or b"").body == {0: 0, 1: "busy"}
        assert (served.device_id, served.charged) == (None, True)

    def test_fault_of_the_registry_is_nobody_elses(
        self, pipeline: Pipeline, registry: Registry, enrolled: ReferenceDevice
    ) -> None:
        frame = enrolled.frame(data(enrolled))
        execute(registry, "ALTER TABLE messages RENAME TO gone")
        served = self.serve(pipeline, frame)
        assert enrolled.open(served.answer or b"").body == {0: 0, 1: "busy"}
        assert (served.device_id, served.charged) == (None, False)
        execute(registry, "ALTER TABLE devices RENAME TO gone_too")
        assert self.serve(pipeline, enrolled.frame(data(enrolled))) == Served(None)

    def test_device_that_sends_too_much_has_done_so_itself(
        self, server_key: ServerKey, registry: Registry, board: ReferenceDevice
    ) -> None:
        limits = QuotaLimits(messages=Rate(burst=1, rate=1.0))
        strict = Pipeline(
            Verifier([server_key], registry.lookup),
            registry,
            Open(),
            quota=limits,
            clock=lambda: NOW,
        )
        first, second, third = (
            self.serve(strict, board.frame(message))
            for message in (board.enrol("pico", "1.0"), data(board), board.enrol("pico", "1.0"))
        )
        assert (first.device_id, first.stored, first.charged) == (board.device_id, True, False)
        assert (second.device_id, second.stored, second.charged) == (board.device_id, False, False)
        assert (third.device_id, third.stored, third.charged) == (None, False, True)

    def test_device_that_has_used_up_its_place_in_the_registry_has_done_so_itself(
        self, server_key: ServerKey, registry: Registry, url: str, board: ReferenceDevice
    ) -> None:
        with Registry(url, quota=1000) as small:
            strict = Pipeline(Verifier([server_key], small.lookup), small, Open())
            self.serve(strict, board.frame(board.enrol("pico", "1.0")))
            served = self.serve(strict, board.frame(data(board)))
        assert board.open(served.answer or b"").body == {0: 1, 1: "busy"}
        assert (served.device_id, served.stored) == (board.device_id, False)


def test_no_line_of_a_full_disk_is_written_for_each_frame(
    pipeline: Pipeline,
    registry: Registry,
    enrolled: ReferenceDevice,
    log: pytest.LogCaptureFixture,
) -> None:
    execute(
        registry,
        "CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    pipeline.lines = Lines(logging.getLogger("birthkey_host.test"), clock=lambda: 0.0)
    log.clear()
    for _ in range(200):
        assert ask(pipeline, enrolled, data(enrolled)).body == {0: 0, 1: Reason.BUSY}
    assert len(log.records) == 50


def test_what_is_stored_is_written_line_by_line_as_long_as_it_is_little(
    pipeline: Pipeline, enrolled: ReferenceDevice, log: pytest.LogCaptureFixture
) -> None:
    pipeline.lines = Lines(logging.getLogger("birthkey_host.test"), clock=lambda: 0.0)
    log.clear()
    for _ in range(200):
        ask(pipeline, enrolled, data(enrolled))
    assert len(log.records) == 50
    log.clear()
    pipeline.lines.sum_up()
    [(level, line)] = lines(log)
    assert level == "INFO" and "not listed one by one: stored 1" in line


class TestBoots:
    def test_newest_boots_of_active_devices(
        self, pipeline: Pipeline, registry: Registry, boards: Callable[[int], list[ReferenceDevice]]
    ) -> None:
        first, second, third = boards(3)
        for board in (first, second, third):
            ask(pipeline, board, board.enrol("pico", "1.0"))
        first.start(2)
        ask(pipeline, first, data(first))
        execute(
            registry,
            f"UPDATE devices SET state = 'suspended' WHERE device_id = x'{third.device_id.hex()}'",
        )
        expected = {(first.device_id, first.enc), (second.device_id, second.enc)}
        assert set(pipeline.boots(10)) == expected

    def test_those_that_stored_last_when_there_are_many(
        self, pipeline: Pipeline, registry: Registry, boards: Callable[[int], list[ReferenceDevice]]
    ) -> None:
        many = boards(4)
        for number, board in enumerate(many):
            ask(pipeline, board, board.enrol("pico", "1.0"))
            execute(
                registry,
                f"UPDATE devices SET last_seen = {number}"
                f" WHERE device_id = x'{board.device_id.hex()}'",
            )
        expected = [(board.device_id, board.enc) for board in many[2:]]
        assert pipeline.boots(2) == expected

    def test_registry_that_cannot_be_read_knows_none(
        self, pipeline: Pipeline, registry: Registry, log: pytest.LogCaptureFixture
    ) -> None:
        execute(registry, "ALTER TABLE boots RENAME TO gone")
        assert list(pipeline.boots(10)) == []
        assert [level for level, _ in lines(log)] == ["ERROR"]
