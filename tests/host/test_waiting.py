"""The list of those that wait for approval: shares, who goes first, and deleting them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest

from birthkey_host import events
from birthkey_host.enrolment import Approve
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.origins import networks
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State, Terms
from birthkey_host.schema import Action
from birthkey_host.verifier import Verdict
from recording import NOW, Server, count, data

Boards = Callable[[int], list[ReferenceDevice]]
Enrol = Callable[..., Verdict]


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """Twenty may wait, two from one address."""
    with Registry(url, pending_limit=20) as registry:
        registry.create()
        yield registry


@pytest.fixture
def enrol(server_key: ServerKey, registry: Registry) -> Enrol:
    server = Server(server_key, registry, Approve())

    def enrol(board: ReferenceDevice, source: str, now: float = NOW) -> Verdict:
        outcome = server.receive(board.frame(board.enrol("pico", "1.0")))
        terms = Terms(networks(source))
        return registry.record(outcome, policy=Approve(), now=now, terms=terms)

    return enrol


def waiting(registry: Registry) -> list[bytes]:
    return [row.device_id for row in registry.devices() if row.state is State.PENDING]


def test_one_address_gets_its_share_and_no_more(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    honest, *flood = boards(10)
    enrol(honest, "192.0.2.1")
    for number, board in enumerate(flood):
        assert enrol(board, "198.51.100.1", NOW + number).reason is Reason.PENDING
    assert waiting(registry) == [board.device_id for board in (honest, *flood[-2:])]
    expired = [row.device_id for row in registry.events() if row.action is Action.EXPIRED]
    assert expired == [board.device_id for board in flood[:-2]]
    events.verify(registry.events())


def test_share_of_those_that_ask_again_is_theirs(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    first, second, third = boards(3)
    for board in (first, second, first, second):
        assert enrol(board, "192.0.2.1").reason is Reason.PENDING
    verdict = enrol(third, "192.0.2.1")
    assert verdict == Verdict(Reason.BUSY, 0, stored=False)
    assert verdict.detail == "2 from 192.0.2.1 wait for approval already"
    assert enrol(third, "192.0.2.2").reason is Reason.PENDING
    assert len(waiting(registry)) == 3


def test_who_is_silent_for_a_day_loses_its_place(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    silent, steady, *late = boards(4)
    for board in (silent, steady, silent, steady):
        enrol(board, "192.0.2.1")
    enrol(steady, "192.0.2.1", NOW + 80_000)
    assert enrol(late[0], "192.0.2.1", NOW + 86_400).reason is Reason.BUSY
    for board in late:
        assert enrol(board, "192.0.2.1", NOW + 86_401).reason is Reason.PENDING
    assert set(waiting(registry)) == {steady.device_id, late[1].device_id}


@pytest.mark.parametrize(
    ("sources", "share"),
    [
        ([f"2001:db8:1:2::{number}" for number in range(10)], 2),
        ([f"2001:db8:1:{number:x}::1" for number in range(10)], 4),
        ([f"2001:db8:1:{number}00::1" for number in range(10)], 8),
        ([f"2001:db8:{number}::1" for number in range(10)], 10),
        ([f"192.0.2.{number}" for number in range(10)], 10),
    ],
    ids=["/64", "/56", "/48", "many /48", "IPv4"],
)
def test_networks_have_shares(
    registry: Registry, enrol: Enrol, boards: Boards, sources: list[str], share: int
) -> None:
    for board, source in zip(boards(10), sources, strict=True):
        enrol(board, source)
    assert len(waiting(registry)) == share


def fill(enrol: Enrol, boards: list[ReferenceDevice], times: int) -> None:
    """Two boards of each of ten addresses."""
    for turn in range(times):
        for number, board in enumerate(boards):
            verdict = enrol(board, f"198.51.100.{number // 2}", NOW + turn)
            assert verdict.reason is Reason.PENDING


def test_who_never_asked_again_goes_first(registry: Registry, enrol: Enrol, boards: Boards) -> None:
    *honest, late = boards(3)
    for board in honest * 2:  # at an address that has as many as any other
        enrol(board, "10.0.0.1", NOW - 10)
    fill(enrol, boards(18), 1)
    assert enrol(late, "192.0.2.2", NOW + 1).reason is Reason.PENDING
    left = waiting(registry)
    assert len(left) == 20
    assert {board.device_id for board in (*honest, late)} <= set(left)


def test_address_with_most_of_them_loses_one_first(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    honest, late, *flood = boards(21)
    enrol(honest, "192.0.2.1", NOW - 10)  # the oldest of all
    fill(enrol, flood, 1)
    assert enrol(late, "192.0.2.2", NOW + 1).reason is Reason.PENDING
    assert honest.device_id in waiting(registry)


def test_full_of_those_that_asked_again_makes_room_for_another_address(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    *flood, late, later = boards(22)
    fill(enrol, flood, 2)
    for _ in range(2):
        assert enrol(late, "192.0.2.1").reason is Reason.PENDING
    assert enrol(later, "192.0.2.1").reason is Reason.BUSY  # it would have as many as they
    assert len(waiting(registry)) == 20


def test_board_that_sends_readings_is_heard_of_again(
    server_key: ServerKey, registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    server = Server(server_key, registry, Approve())
    honest, *flood = boards(10)
    enrol(honest, "192.0.2.1")
    assert server(honest, data(honest)).reason is Reason.PENDING
    for board in flood:
        enrol(board, "192.0.2.1")
    assert honest.device_id in waiting(registry)


def test_asking_is_written_down_once_an_hour(
    registry: Registry, enrol: Enrol, boards: Boards
) -> None:
    [board] = boards(1)
    asked = []
    for now in (0.0, 10.0, 20.0, 3609.0, 3610.0):
        enrol(board, "192.0.2.1", now)
        device = registry.device(board.device_id)
        assert device is not None
        asked.append(device.asked)
    assert asked == [None, 10.0, 10.0, 10.0, 3610.0]


@pytest.mark.parametrize("verb", ["approve", "revoke"])
def test_where_it_came_from_is_forgotten_at_the_end(
    registry: Registry, enrol: Enrol, boards: Boards, verb: str
) -> None:
    [board] = boards(1)
    enrol(board, "192.0.2.1")
    enrol(board, "192.0.2.1")
    before = registry.device(board.device_id)
    assert before is not None
    assert (before.origin, before.asked) == ("192.0.2.1", NOW)
    getattr(registry, verb)(board.device_id, who="ada", why="", now=NOW)
    after = registry.device(board.device_id)
    assert after is not None
    assert (after.origin, after.asked) == ("", None)


class TestDeleting:
    @pytest.fixture
    def three(self, registry: Registry, enrol: Enrol, boards: Boards) -> list[bytes]:
        """Wait, of an hour ago and of now, at two addresses; a fourth is active."""
        old, new, other, active = boards(4)
        enrol(old, "192.0.2.1", NOW - 3600)
        enrol(new, "192.0.2.1")
        enrol(other, "2001:db8::1")
        enrol(active, "192.0.2.2")
        registry.approve(active.device_id, who="ada", why="", now=NOW)
        return [board.device_id for board in (old, new, other)]

    @pytest.mark.parametrize(
        ("chosen", "left", "why"),
        [
            ({}, [], "waiting for approval: 3; spam"),
            ({"before": NOW}, [1, 2], "waiting for approval: 1, since before 2023-11-14T22:13:20Z"),
            ({"network": ip_network("192.0.2.0/24")}, [2], "approval: 2, from 192.0.2.0/24; spam"),
            ({"network": ip_network("2001:db8::/32")}, [0, 1], "1, from 2001:db8::/32; spam"),
            (
                {"network": ip_network("192.0.2.1"), "before": NOW},
                [1, 2],
                "1, from 192.0.2.1/32, since before",
            ),
        ],
    )
    def test_those_that_were_chosen_go_and_nobody_else(
        self,
        registry: Registry,
        three: list[bytes],
        chosen: dict[str, object],
        left: list[int],
        why: str,
    ) -> None:
        before = count(registry, "events")
        gone = registry.delete_waiting(who="ada", why="spam", now=NOW + 1, **chosen)  # type: ignore[arg-type]
        assert gone == 3 - len(left)
        assert set(waiting(registry)) == {three[number] for number in left}
        assert count(registry, "devices") == 1 + len(left)
        assert count(registry, "events") == before + 1
        event = registry.events()[-1]
        assert (event.action, event.who, event.device_id) == (Action.DELETED, "ada", None)
        assert why in event.why
        events.verify(registry.events())

    def test_nobody_is_no_event(self, registry: Registry) -> None:
        assert registry.delete_waiting(who="ada", why="", now=NOW) == 0
        assert registry.events() == []

    def test_in_pieces(self, registry: Registry, enrol: Enrol, boards: Boards) -> None:
        for number, board in enumerate(boards(5)):
            enrol(board, f"192.0.2.{number}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("birthkey_host.registry.PIECE", 2)
            assert registry.delete_waiting(who="ada", why="", now=NOW) == 5
        assert waiting(registry) == []
