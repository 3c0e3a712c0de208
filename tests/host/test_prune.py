"""Pruning: what goes, what stays, and what is refused as old from then on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from birthkey_host import events
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.schema import Action
from recording import NOW, Server, count, counted, data, kept, refused, repeated, stored

Boards = Callable[[int], list[ReferenceDevice]]


def prune(server: Server, board: ReferenceDevice, before: float) -> int:
    return server.registry.prune(board.device_id, before=before, who="ada", now=NOW + 1)


def test_earlier_messages_go_and_are_refused_as_old(
    server: Server, enrolled: ReferenceDevice
) -> None:
    first, second, third = (data(enrolled, number) for number in range(3))
    for message, at in ((first, NOW + 10), (second, NOW + 20), (third, NOW + 30)):
        server(enrolled, message, now=at)
    assert prune(server, enrolled, NOW + 25) == 3  # its enrol too
    assert [row.counter for row in server.registry.messages()] == [third.counter]
    assert server(enrolled, first) == refused(Reason.OLD, 1)
    assert server(enrolled, second) == refused(Reason.OLD, 1)
    assert server(enrolled, replace(second, body={"n": 9})) == refused(Reason.OLD, 1)
    assert server(enrolled, third) == repeated(1)
    assert server(enrolled, data(enrolled)) == stored(1)
    assert count(server.registry, "messages") == 2
    events.verify(server.registry.events())
    event = server.registry.events()[-1]
    assert (event.action, event.who, event.why) == (
        Action.PRUNED,
        "ada",
        "messages: 3, before 2023-11-14T22:13:45Z",
    )


def test_floor_is_one_boots_alone(server: Server, enrolled: ReferenceDevice) -> None:
    queued = [data(enrolled, number) for number in range(5)]
    server(enrolled, queued[3], now=NOW + 10)
    enrolled.start(2)
    early = data(enrolled)
    server(enrolled, data(enrolled), now=NOW + 30)
    assert prune(server, enrolled, NOW + 20) == 2
    verdicts = [server(enrolled, message).reason for message in queued]
    assert verdicts == [Reason.OLD] * 4 + [None]
    assert server(enrolled, early) == stored(2)


def test_floor_never_falls(server: Server, enrolled: ReferenceDevice) -> None:
    late, first, second = data(enrolled), data(enrolled), data(enrolled)
    server(enrolled, second, now=NOW + 10)
    server(enrolled, late, now=NOW + 20)
    prune(server, enrolled, NOW + 15)
    prune(server, enrolled, NOW + 25)
    assert server(enrolled, second) == refused(Reason.OLD, 1)
    assert server(enrolled, first) == refused(Reason.OLD, 1)


def test_makes_room(
    server_key: ServerKey, registry: Registry, url: str, board: ReferenceDevice
) -> None:
    with Registry(url, quota=2000) as small:
        server = Server(server_key, small, Open())
        server.enrol(board)
        server(board, data(board))
        board.start(2)
        message = data(board)
        assert server(board, message) == refused(Reason.BUSY, 1)
        assert prune(server, board, NOW + 1) == 2
        device = small.device(board.device_id)
        assert device is not None
        assert device.frames == 1  # of its newest boot
        assert counted(small, board) == kept(small, board)
        assert server(board, message, now=NOW + 2) == stored(2)


def test_frames_of_earlier_boots_go_and_of_the_newest_stay(
    server: Server, enrolled: ReferenceDevice
) -> None:
    twin = ReferenceDevice(enrolled.private, enrolled.server_public, boot=1)
    twin.sequence = 9
    enrolled.start(2)
    server(enrolled, data(enrolled))
    prune(server, enrolled, NOW + 1)
    assert count(server.registry, "boots") == 1
    device = server.registry.device(enrolled.device_id)
    assert device is not None
    assert (device.newest, device.frames) == (2, 1)
    assert server(twin, data(twin)) == refused(Reason.STALE_BOOT, 2)
    twin.start(2)
    assert server(twin, data(twin)) == refused(Reason.CLONED, 2)


def test_what_stays_is_counted(server: Server, enrolled: ReferenceDevice) -> None:
    for boot in range(2, 6):
        enrolled.start(boot)
        for number in range(3):
            server(enrolled, data(enrolled, number), now=NOW + boot * 10 + number)
    for before in (NOW + 21, NOW + 21, NOW + 45, NOW + 100):
        prune(server, enrolled, before)
        assert counted(server.registry, enrolled) == kept(server.registry, enrolled) > 0


def test_what_stays_is_counted_while_two_servers_store(
    server: Server, server_key: ServerKey, url: str, enrolled: ReferenceDevice
) -> None:
    frames = [enrolled.frame(data(enrolled, number)) for number in range(60)]

    def store(mine: list[bytes]) -> int:
        with Registry(url, busy_timeout=60) as registry:
            one = Server(server_key, registry, Open())
            return sum(one.record(one.receive(frame)).stored for frame in mine)

    with ThreadPoolExecutor() as pool, Registry(url, busy_timeout=60) as patient:
        done = pool.map(store, (frames[::2], frames[1::2]))
        pruned = sum(
            patient.prune(enrolled.device_id, before=NOW + 1, who="ada", now=NOW + 1)
            for _ in range(20)
        )
    assert counted(server.registry, enrolled) == kept(server.registry, enrolled)
    assert sum(done) + 1 == pruned + count(server.registry, "messages")


def test_neighbours_are_not_touched(
    server: Server, enrolled: ReferenceDevice, boards: Boards
) -> None:
    [neighbour] = boards(1)
    server.enrol(neighbour)
    prune(server, enrolled, NOW + 1)
    assert len(server.registry.messages(neighbour.device_id)) == 1


def test_nothing_to_prune_is_no_event(server: Server, enrolled: ReferenceDevice) -> None:
    assert prune(server, enrolled, NOW) == 0
    assert len(server.registry.events()) == 1
