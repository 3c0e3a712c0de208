from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from birthkey_host.enrolment import POLICIES, Allowlist, Approve, policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError, State
from birthkey_host.schema import Action
from birthkey_host.verifier import Verdict
from recording import NOW, Server, count, data, execute, refused, state, stored

Boards = Callable[[int], list[ReferenceDevice]]


@pytest.mark.parametrize(
    ("name", "stranger", "claimed"),
    [
        ("approve", State.PENDING, State.PENDING),
        ("open", State.ACTIVE, State.ACTIVE),
        ("claim", None, State.ACTIVE),
        ("allowlist", None, None),
    ],
)
def test_policies_decide_about_strangers_and_about_holders_of_a_claim_code(
    name: str, stranger: State | None, claimed: State | None
) -> None:
    chosen = policy(name)
    assert chosen.name == name
    assert chosen.admit(claimed=False) is stranger
    assert chosen.admit(claimed=True) is claimed


def test_there_are_no_other_policies() -> None:
    assert set(POLICIES) == {"approve", "open", "claim", "allowlist"}


def test_unknown_policy_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'any'; there are: approve, open, claim, allowlist"):
        policy("any")


class TestEnrolment:
    def test_data_of_a_stranger_is_unknown(self, server: Server, board: ReferenceDevice) -> None:
        assert server(board, data(board)) == refused(Reason.UNKNOWN_DEVICE)
        assert server.registry.devices() == []

    def test_open_binds_and_acknowledges(self, server: Server, board: ReferenceDevice) -> None:
        verdict = server.enrol(board)
        assert verdict == Verdict(reason=None, newest=1, stored=True, device_created=True)
        [device] = server.registry.devices()
        assert (device.device_id, device.thumbprint) == (board.device_id, board.thumbprint)
        assert device.public_key == board.public
        assert (device.board, device.firmware) == ("pico", "1.0")
        assert (device.state, device.newest) == (State.ACTIVE, 1)
        assert (device.created, device.last_seen) == (NOW, NOW)

    def test_approve_makes_it_wait(self, strict: Server, board: ReferenceDevice) -> None:
        verdict = strict.enrol(board)
        assert verdict == replace(refused(Reason.PENDING), device_created=True)
        assert state(strict.registry, board) is State.PENDING

    def test_pending_enrols_twice_and_is_one_device(
        self, strict: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        assert strict.enrol(board) == refused(Reason.PENDING)
        assert len(strict.registry.devices()) == 1

    def test_pending_leaves_no_trace_in_the_replay_state(
        self, strict: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        first = data(board, 1)
        assert strict(board, first) == refused(Reason.PENDING)
        board.start(1)  # another enc, and then another message under the same counter
        assert strict(board, replace(first, body={"n": 2})) == refused(Reason.PENDING)
        for table in ("boots", "messages", "evidence"):
            assert count(strict.registry, table) == 0
        strict.registry.approve(board.device_id, who="ada", why="", now=NOW)
        assert strict(board, first) == stored(1)

    def test_pending_board_tells_of_new_firmware(
        self, strict: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        strict(board, board.enrol("pico", "1.1"))
        [device] = strict.registry.devices()
        assert device.firmware == "1.1"

    def test_active_board_tells_of_new_firmware(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        server(enrolled, enrolled.enrol("pico", "1.1"))
        [device] = server.registry.devices()
        assert (device.firmware, device.state) == ("1.1", State.ACTIVE)

    def test_approved_device_is_served(self, strict: Server, board: ReferenceDevice) -> None:
        enrol = board.enrol("pico", "1.0")
        strict(board, enrol)
        device = strict.registry.approve(board.device_id, who="ada", why="mine", now=NOW)
        assert device is not None
        assert device.state is State.ACTIVE
        assert strict(board, enrol) == stored(1)

    def test_approval_before_the_first_contact(
        self, strict: Server, board: ReferenceDevice
    ) -> None:
        assert strict.registry.approve(board.device_id, who="ada", why="", now=NOW) is None
        assert [row.device_id for row in strict.registry.approvals()] == [board.device_id]
        assert strict.enrol(board) == replace(stored(1), device_created=True)
        assert strict.registry.approvals() == []

    def test_approval_admits_no_other_id(self, strict: Server, boards: Boards) -> None:
        one, other = boards(2)
        strict.registry.approve(one.device_id, who="ada", why="", now=NOW)
        assert strict.enrol(other).reason is Reason.PENDING

    def test_id_is_approved_once(self, registry: Registry, board: ReferenceDevice) -> None:
        registry.approve(board.device_id, who="ada", why="", now=NOW)
        with pytest.raises(RegistryError, match="approved already"):
            registry.approve(board.device_id, who="ada", why="", now=NOW)

    def test_policy_is_asked_again_about_one_that_waits(
        self, strict: Server, server: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        assert server(board, data(board)) == refused(Reason.PENDING)
        assert server.enrol(board) == stored(1)
        event = server.registry.events()[-1]
        assert (event.action, event.who) == (Action.APPROVED, "policy open")

    @pytest.mark.parametrize("enrolling", [True, False])
    def test_key_once_bound_is_not_overwritten(
        self, server: Server, board: ReferenceDevice, boards: Boards, enrolling: bool
    ) -> None:
        [other] = boards(1)
        # As if two keys began with the same 16 bytes, and both were unknown to the verifier.
        outcome = server.receive(other.frame(other.enrol("pico", "6.6")))
        collision = replace(outcome, device_id=board.device_id)
        if not enrolling:
            collision = replace(collision, enrol=None, message=data(other))
        server.enrol(board)
        assert server.record(collision) == refused(Reason.REVOKED, 1)
        [device] = server.registry.devices()
        assert (device.thumbprint, device.firmware) == (board.thumbprint, "1.0")

    def test_device_that_is_gone_by_now_is_unknown(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        outcome = server.receive(enrolled.frame(data(enrolled)))
        for table in ("messages", "boots", "devices"):
            execute(server.registry, f"DELETE FROM {table}")
        assert server.record(outcome) == refused(Reason.UNKNOWN_DEVICE)


class TestAllowlist:
    @pytest.fixture
    def closed(self, server_key: ServerKey, registry: Registry) -> Server:
        return Server(server_key, registry, Allowlist())

    def test_stranger_leaves_nothing(self, closed: Server, board: ReferenceDevice) -> None:
        assert closed.enrol(board) == refused(Reason.PENDING)
        for table in ("devices", "messages", "boots", "events"):
            assert count(closed.registry, table) == 0

    def test_recorded_id_is_let_in_with_its_label(self, closed: Server, boards: Boards) -> None:
        one, other = boards(2)
        closed.registry.approve(one.device_id, who="ada", why="bench", now=NOW, label="pump 7")
        assert [row.label for row in closed.registry.approvals()] == ["pump 7"]
        assert closed.enrol(one).stored
        assert closed.enrol(other).reason is Reason.PENDING
        [device] = closed.registry.devices()
        assert (device.state, device.label) == (State.ACTIVE, "pump 7")

    def test_one_that_waits_since_another_policy_goes_on_waiting(
        self, closed: Server, strict: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        assert closed.enrol(board) == refused(Reason.PENDING)
        assert state(closed.registry, board) is State.PENDING


class TestWaitingList:
    @pytest.fixture
    def short(self, server_key: ServerKey, url: str, registry: Registry) -> Iterator[Server]:
        with Registry(url, pending_limit=2, pending_ttl=60) as registry:
            yield Server(server_key, registry, Approve())

    def test_full_list_is_busy(self, short: Server, boards: Boards) -> None:
        *waiting, late = boards(3)
        for board in waiting * 2:
            assert short.enrol(board).reason is Reason.PENDING
        verdict = short.enrol(late)
        assert verdict == refused(Reason.BUSY)
        assert verdict.detail == "2 wait already"
        assert len(short.registry.devices()) == 2

    def test_full_list_locks_out_nobody_who_is_approved(
        self, short: Server, boards: Boards
    ) -> None:
        *waiting, late = boards(3)
        for board in waiting:
            short.enrol(board)
        short.registry.approve(late.device_id, who="ada", why="", now=NOW)
        assert short.enrol(late).stored

    def test_full_list_still_answers_those_on_it(self, short: Server, boards: Boards) -> None:
        waiting = boards(2)
        for board in waiting * 2:
            assert short.enrol(board).reason is Reason.PENDING

    def test_approval_makes_room(self, short: Server, boards: Boards) -> None:
        first, second, third = boards(3)
        short.enrol(first)
        short.enrol(second)
        short.registry.approve(first.device_id, who="ada", why="", now=NOW)
        assert short.enrol(third).reason is Reason.PENDING

    def test_waiting_ends_after_its_time(self, short: Server, boards: Boards) -> None:
        first, second, third = boards(3)
        short(first, first.enrol("pico", "1.0"), now=NOW - 61)
        short(second, second.enrol("pico", "1.0"), now=NOW - 59)
        assert short.enrol(third).reason is Reason.PENDING
        remaining = {device.device_id for device in short.registry.devices()}
        assert remaining == {second.device_id, third.device_id}
        assert [row.action for row in short.registry.events(first.device_id)] == [
            Action.ENROLLED,
            Action.EXPIRED,
        ]
