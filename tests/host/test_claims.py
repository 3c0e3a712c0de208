"""Claim codes: one board each, consumed with the binding, and never left usable."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from birthkey_host import events
from birthkey_host.enrolment import Claim, Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.schema import Action
from recording import NOW, Server, count, data, execute, refused, state, stored

Boards = Callable[[int], list[ReferenceDevice]]


@pytest.fixture
def claiming(server_key: ServerKey, registry: Registry) -> Server:
    return Server(server_key, registry, Claim())


@pytest.fixture
def code(registry: Registry) -> bytes:
    [code] = registry.issue_claims(1, who="ada", now=NOW, label="kitchen")
    return code


def enrol(
    server: Server, board: ReferenceDevice, code: bytes | None, now: float = NOW
) -> Reason | None:
    """The reason why it is refused, if it is."""
    return server(board, board.enrol("pico", "1.0", code), now).reason


def spent_by(registry: Registry) -> list[bytes | None]:
    return [claim.device_id for claim in registry.claims()]


class TestCodes:
    def test_codes_are_16_bytes_and_never_the_same(self, registry: Registry) -> None:
        codes = registry.issue_claims(50, who="ada", now=NOW)
        assert {len(code) for code in codes} == {16}
        assert len(set(codes)) == 50

    def test_issuing_is_an_event_without_the_codes(self, registry: Registry) -> None:
        codes = registry.issue_claims(2, who="ada", now=NOW, label="kitchen")
        [event] = registry.events()
        assert (event.action, event.who, event.device_id) == (Action.ISSUED, "ada", None)
        assert event.why == "claim codes: 2, label kitchen"
        assert not any(code.hex() in event.why for code in codes)
        events.verify([event])


class TestPolicy:
    def test_code_lets_a_board_in_and_labels_it(
        self, claiming: Server, board: ReferenceDevice, code: bytes
    ) -> None:
        verdict = claiming(board, board.enrol("pico", "1.0", code))
        assert verdict == replace(stored(1), device_created=True)
        [device] = claiming.registry.devices()
        assert (device.state, device.label) == (State.ACTIVE, "kitchen")
        [claim] = claiming.registry.claims()
        assert (claim.spent, claim.device_id) == (NOW, board.device_id)
        rows = claiming.registry.events(board.device_id)
        assert [(row.action, row.who) for row in rows] == [
            (Action.ENROLLED, "policy claim"),
            (Action.CLAIMED, "server"),
        ]

    def test_board_that_is_in_needs_no_code(
        self, claiming: Server, board: ReferenceDevice, code: bytes
    ) -> None:
        message = board.enrol("pico", "1.0", code)
        claiming(board, message)
        assert claiming(board, message).reason is None
        assert enrol(claiming, board, None) is None
        assert claiming(board, data(board)) == stored(1)

    def test_code_lets_one_board_in(self, claiming: Server, boards: Boards, code: bytes) -> None:
        one, other = boards(2)
        assert enrol(claiming, one, code) is None
        assert enrol(claiming, other, code) is Reason.PENDING
        assert len(claiming.registry.devices()) == 1
        assert spent_by(claiming.registry) == [one.device_id]

    @pytest.mark.parametrize("wrong", [None, bytes(16)])
    def test_stranger_leaves_nothing(
        self, claiming: Server, board: ReferenceDevice, code: bytes, wrong: bytes | None
    ) -> None:
        assert enrol(claiming, board, wrong) is Reason.PENDING
        for table in ("devices", "messages", "boots"):
            assert count(claiming.registry, table) == 0
        assert spent_by(claiming.registry) == [None]

    def test_code_is_good_until_it_expires(self, claiming: Server, boards: Boards) -> None:
        one, other = boards(2)
        codes = claiming.registry.issue_claims(2, who="ada", now=NOW, expires=NOW + 10)
        assert enrol(claiming, one, codes[0], NOW + 9) is None
        assert enrol(claiming, other, codes[1], NOW + 10) is Reason.PENDING

    def test_board_that_waits_is_let_in_by_its_code(
        self, claiming: Server, strict: Server, board: ReferenceDevice, code: bytes
    ) -> None:
        strict.enrol(board)
        assert enrol(claiming, board, bytes(16)) is Reason.PENDING
        assert enrol(claiming, board, code) is None
        assert state(claiming.registry, board) is State.ACTIVE
        assert spent_by(claiming.registry) == [board.device_id]

    def test_full_waiting_list_keeps_no_code_out(
        self, server_key: ServerKey, url: str, boards: Boards, code: bytes
    ) -> None:
        with Registry(url, pending_limit=0) as registry:
            [board] = boards(1)
            assert enrol(Server(server_key, registry, Claim()), board, code) is None


class TestFailuresLeaveTheCodeAlone:
    def test_transaction_that_fails(
        self, claiming: Server, boards: Boards, code: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = boards(2)
        outcome = claiming.receive(one.frame(one.enrol("pico", "1.0", code)))
        with monkeypatch.context() as patch:

            def fail(connection: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            patch.setattr(claiming.registry._engine.dialect, "do_commit", fail)
            assert claiming.record(outcome) == refused(Reason.BUSY)
        assert spent_by(claiming.registry) == [None]
        assert enrol(claiming, other, code) is None

    def test_message_that_cannot_be_stored(
        self, claiming: Server, board: ReferenceDevice, code: bytes
    ) -> None:
        trigger = "CREATE TRIGGER no BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END"
        execute(claiming.registry, trigger)
        assert enrol(claiming, board, code) is Reason.BUSY
        assert claiming.registry.devices() == []
        assert spent_by(claiming.registry) == [None]

    def test_malformed_enrol(self, claiming: Server, board: ReferenceDevice, code: bytes) -> None:
        message = board.enrol("", "1.0", code)  # a board has a name
        assert claiming(board, message).reason is Reason.MALFORMED
        assert spent_by(claiming.registry) == [None]

    @pytest.mark.parametrize("word", ["suspended", "revoked", "cloned"])
    def test_device_that_may_not_enrol(
        self, claiming: Server, server: Server, enrolled: ReferenceDevice, code: bytes, word: str
    ) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        assert enrol(claiming, enrolled, code) == word
        assert spent_by(claiming.registry) == [None]

    def test_bad_key(self, claiming: Server, board: ReferenceDevice, code: bytes) -> None:
        claiming.registry.ban(board.thumbprint, who="ada", why="", now=NOW)
        assert enrol(claiming, board, code) is Reason.REVOKED
        assert spent_by(claiming.registry) == [None]


class TestNothingUsableIsKept:
    """Enrols are kept with the codes in them; whoever reads the file must find none of use."""

    def raw(self, registry: Registry, folder: Path) -> bytes:
        registry.close()
        return b"".join(path.read_bytes() for path in sorted(folder.glob("registry.sqlite3*")))

    def check(self, claiming: Server, folder: Path, boards: Boards, code: bytes) -> None:
        """The code is in the file, and of no use to another board."""
        assert code in self.raw(claiming.registry, folder)
        [thief] = boards(1)
        assert enrol(claiming, thief, code) is Reason.PENDING

    def test_issued_code_is_not_in_the_file(self, registry: Registry, tmp_path: Path) -> None:
        codes = registry.issue_claims(20, who="ada", now=NOW, label="kitchen")
        raw = self.raw(registry, tmp_path)
        assert b"kitchen" in raw
        for code in codes:
            assert code not in raw
            assert code.hex().encode() not in raw.lower()

    def test_spent_under_claim(
        self, claiming: Server, boards: Boards, code: bytes, tmp_path: Path
    ) -> None:
        [board] = boards(1)
        assert enrol(claiming, board, code) is None
        self.check(claiming, tmp_path, boards, code)

    def test_spent_under_open(
        self, claiming: Server, server: Server, boards: Boards, code: bytes, tmp_path: Path
    ) -> None:
        [board] = boards(1)
        assert enrol(server, board, code) is None
        assert spent_by(server.registry) == [board.device_id]
        self.check(claiming, tmp_path, boards, code)

    def test_spent_once_it_is_approved_and_not_in_the_file_before(
        self, claiming: Server, strict: Server, boards: Boards, code: bytes, tmp_path: Path
    ) -> None:
        [board] = boards(1)
        message = board.enrol("pico", "1.0", code)
        assert strict(board, message).reason is Reason.PENDING
        assert code not in self.raw(strict.registry, tmp_path)
        assert spent_by(strict.registry) == [None]
        strict.registry.approve(board.device_id, who="ada", why="", now=NOW)
        assert strict(board, message) == stored(1)
        self.check(claiming, tmp_path, boards, code)

    def test_second_code_of_one_board_is_spent_too(
        self, claiming: Server, boards: Boards, tmp_path: Path
    ) -> None:
        [board] = boards(1)
        first, second = claiming.registry.issue_claims(2, who="ada", now=NOW)
        assert enrol(claiming, board, first) is None
        assert enrol(claiming, board, second) is None
        assert spent_by(claiming.registry) == [board.device_id] * 2
        self.check(claiming, tmp_path, boards, second)

    def test_expired_code_is_spent_too(
        self, claiming: Server, server: Server, boards: Boards, tmp_path: Path
    ) -> None:
        [board] = boards(1)
        [code] = server.registry.issue_claims(1, who="ada", now=NOW, expires=NOW + 1)
        assert enrol(server, board, code, NOW + 2) is None
        assert spent_by(server.registry) == [board.device_id]
        self.check(claiming, tmp_path, boards, code)

    def test_code_in_the_evidence_against_a_clone_is_spent(
        self,
        claiming: Server,
        server: Server,
        enrolled: ReferenceDevice,
        boards: Boards,
        code: bytes,
        tmp_path: Path,
    ) -> None:
        twin = ReferenceDevice(enrolled.private, enrolled.server_public)
        assert enrol(server, twin, code) is Reason.CLONED
        assert spent_by(server.registry) == [enrolled.device_id]
        self.check(claiming, tmp_path, boards, code)

    def test_strangers_code_is_nobodys(self, server: Server, board: ReferenceDevice) -> None:
        assert enrol(server, board, bytes(16)) is None
        assert server.registry.claims() == []
        assert len(server.registry.events()) == 1


class TestConcurrency:
    def test_two_boards_with_one_code_at_once(
        self, server_key: ServerKey, registry: Registry, url: str, boards: Boards
    ) -> None:
        with Registry(url, busy_timeout=10) as patient:
            server = Server(server_key, patient, Claim())
            for _ in range(5):
                [code] = patient.issue_claims(1, who="ada", now=NOW)
                pair = boards(2)
                messages: list[Message] = [each.enrol("pico", "1.0", code) for each in pair]
                outcomes = [
                    server.receive(each.frame(message))
                    for each, message in zip(pair, messages, strict=True)
                ]
                with ThreadPoolExecutor(2) as pool:
                    verdicts = list(pool.map(server.record, outcomes))
                assert sorted(str(verdict.reason) for verdict in verdicts) == ["None", "pending"]
                [winner] = [each for each, v in zip(pair, verdicts, strict=True) if v.stored]
                known = {device.device_id for device in patient.devices()}
                assert {each.device_id for each in pair} & known == {winner.device_id}
            events.verify(patient.events())

    def test_one_code_at_two_servers_of_one_database(
        self, server_key: ServerKey, registry: Registry, url: str, boards: Boards, code: bytes
    ) -> None:
        pair = boards(2)
        with Registry(url, busy_timeout=10) as one, Registry(url, busy_timeout=10) as other:
            servers = [Server(server_key, each, Claim()) for each in (one, other)]
            with ThreadPoolExecutor(2) as pool:
                reasons = list(pool.map(enrol, servers, pair, [code] * 2))
        assert sorted(map(str, reasons)) == ["None", "pending"]


def test_board_with_an_approval_spends_its_code_too(
    claiming: Server, board: ReferenceDevice, code: bytes
) -> None:
    claiming.registry.approve(board.device_id, who="ada", why="", now=NOW, label="hall")
    assert enrol(claiming, board, code) is None
    [device] = claiming.registry.devices()
    assert device.label == "hall"
    assert spent_by(claiming.registry) == [board.device_id]


def test_open_registry_takes_the_label_of_the_code(
    server: Server, board: ReferenceDevice, code: bytes
) -> None:
    assert isinstance(server.policy, Open)
    enrol(server, board, code)
    [device] = server.registry.devices()
    assert device.label == "kitchen"
