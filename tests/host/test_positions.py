"""Positions in the log: who reads on from the last one that it has seen misses nothing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import event

from birthkey_host import log
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from recording import NOW, Server, data

Boards = Callable[[int], list[ReferenceDevice]]
ASKED = {"who": "ada", "why": "because", "now": NOW + 1}


def positions(registry: Registry, after: int = 0, **wanted: int) -> list[int]:
    pages = registry.pages(after=after, **wanted)
    return [row.number for row in itertools.chain.from_iterable(pages)]


def erase_by_deleting(registry: Registry, board: ReferenceDevice) -> None:
    registry.delete(board.device_id, **ASKED)


def erase_by_pruning(registry: Registry, board: ReferenceDevice) -> None:
    registry.prune(board.device_id, before=NOW + 1, who="ada", now=NOW + 1)


def erase_by_pruning_all(registry: Registry, board: ReferenceDevice) -> None:
    registry.prune(None, before=NOW + 1, who="ada", now=NOW + 1)


@pytest.mark.parametrize("erase", [erase_by_deleting, erase_by_pruning, erase_by_pruning_all])
def test_none_comes_again(
    server: Server, boards: Boards, erase: Callable[[Registry, ReferenceDevice], None]
) -> None:
    early, late = boards(2)
    for board in (early, late):
        server.enrol(board)
    for number in range(5):
        server(late, data(late, number))
    seen = server.registry.position()
    assert seen == positions(server.registry)[-1] == 7
    erase(server.registry, late)
    assert server.registry.position() == seen
    for number in range(5):
        assert server(early, data(early, number), now=NOW + 2).stored
    assert positions(server.registry, after=seen) == [8, 9, 10, 11, 12]


def test_refused_frames_take_none(server: Server, enrolled: ReferenceDevice) -> None:
    message = data(enrolled)
    server(enrolled, message)
    server(enrolled, message)
    server.registry.suspend(enrolled.device_id, **ASKED)
    server(enrolled, data(enrolled))
    assert server.registry.position() == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7, None])
def test_pages(
    server: Server,
    enrolled: ReferenceDevice,
    boards: Boards,
    limit: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "PAGE", 3)
    [other] = boards(1)
    server.enrol(other)
    for number in range(6):
        server(enrolled, data(enrolled, number))
    pages = list(server.registry.pages(after=2, limit=limit))
    assert all(0 < len(page) <= 3 for page in pages)
    assert [row.number for page in pages for row in page] == [3, 4, 5, 6, 7, 8][:limit]
    only = server.registry.pages(other.device_id, after=0, limit=limit)
    assert [row.number for page in only for row in page] == [2]


def test_before_the_last(server: Server, enrolled: ReferenceDevice, boards: Boards) -> None:
    [other] = boards(1)
    server.enrol(other)
    for number in range(3):
        server(enrolled, data(enrolled, number))
    found = [server.registry.before_last(count) for count in (1, 2, 5, 6)]
    assert found == [4, 3, 0, 0]
    assert server.registry.before_last(3, enrolled.device_id) == 1
    assert server.registry.before_last(3, other.device_id) == 0


def test_reader_holds_nothing_between_two_pages(
    server: Server, enrolled: ReferenceDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the write-ahead log would grow for as long as somebody looks at a page."""
    monkeypatch.setattr(log, "PAGE", 1)
    server(enrolled, data(enrolled))
    pages = server.registry.pages(after=0)
    next(pages)
    assert server.registry._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.fixture
def servers(server_key: ServerKey, url: str, registry: Registry) -> Iterator[list[Server]]:
    """Four, each with connections of its own, as processes have them."""
    with ExitStack() as stack:
        registries = [stack.enter_context(Registry(url, busy_timeout=30)) for _ in range(4)]
        yield [Server(server_key, each, Open()) for each in registries]


def test_reader_beside_several_servers_misses_nothing(
    servers: list[Server], boards: Boards, registry: Registry
) -> None:
    """Commits are held up at random places, so that they overtake one another if they can."""
    pauses = itertools.cycle([0.003, 0, 0.001, 0, 0.002])
    for server in servers:

        @event.listens_for(server.registry._engine, "commit")
        def slow(connection: object) -> None:
            threading.Event().wait(next(pauses))

    seen: list[int] = []
    stop = threading.Event()

    def follow() -> None:
        last = False
        while not last:
            last = stop.is_set()
            seen.extend(positions(registry, after=seen[-1] if seen else 0))

    def send(server: Server, board: ReferenceDevice) -> None:
        assert server.enrol(board).stored
        for number in range(15):
            assert server(board, data(board, number)).stored

    with ThreadPoolExecutor(5) as pool:
        following = pool.submit(follow)
        list(pool.map(send, servers, boards(4)))
        stop.set()
        following.result()
    assert seen == list(range(1, 4 * 16 + 1))
