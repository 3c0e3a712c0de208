"""Acknowledged means stored, whatever happens to the server, its disk and its database."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Type
from command import Command
from faults.forked_servers import ForkedServers
from faults.load import PATIENCE, Connection, Journal, Sender, check, snapshot
from processes import BIRTHKEY

ROUNDS = int(os.environ.get("BIRTHKEY_SOAK_ROUNDS", "200"))
SEED = int(os.environ.get("BIRTHKEY_SOAK_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
PARTS = 4  # registries, so that the rounds can be shared among workers
SENDERS = 4

# What a server has just done when it is given some more seconds, at most these, before it is
# killed. Moments of its own, so that a busy machine does not shift the kills to one place.
KILLS = {"started": 0.06, "listened": 0.1, "acknowledged": 0.15}
OFTEN = (1, 1, 4)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Command(tmp_path / "home")("init")
    return tmp_path / "home"


@pytest.fixture
def servers(home: Path) -> Iterator[ForkedServers]:
    servers = ForkedServers(home)
    yield servers
    servers.close()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def senders(home: Path, journal: Journal, request: pytest.FixtureRequest) -> list[Sender]:
    public = ServerKey.load(home / "server.key").public
    name = request.node.name
    return [Sender(public, journal, Random(f"{SEED} {name} {n}")) for n in range(SENDERS)]


@pytest.mark.timeout(max(300, ROUNDS))
@pytest.mark.parametrize("part", range(PARTS))
def test_kill_at_any_moment(
    home: Path, servers: ForkedServers, journal: Journal, senders: list[Sender], part: int
) -> None:
    print(f"BIRTHKEY_SOAK_SEED={SEED}")  # decides about kills and messages, not about who is faster
    random = Random(f"{SEED} {part}")
    # Every other part writes its log back all the time, so that kills fall into that as well.
    pragmas = ["wal_autocheckpoint = 10"] if part % 2 else []
    seen = Counter[str]()
    for _ in range(ROUNDS // PARTS):
        servers.start(pragmas=pragmas)
        [done] = random.choices(list(KILLS), OFTEN)
        kill_during_load(servers, journal, senders, done, random.uniform(0, KILLS[done]))
        stored = check(snapshot(home), journal)
        seen[done] += 1
        for sender in senders:
            if sender.waiting is not None:
                seen["kept" if sender.waiting in stored else "not kept"] += 1
    servers.start()
    settle(servers, senders)
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()
    assert "ERROR" not in servers.log()
    print(json.dumps({**seen, "messages": len(journal.sent)}))
    # Of what was in flight; both must have been seen, or the kills missed the point.
    assert seen["kept"] and seen["not kept"]


def kill_during_load(
    servers: ForkedServers, journal: Journal, senders: list[Sender], done: str, seconds: float
) -> None:
    journal.progress.clear()
    with ThreadPoolExecutor(SENDERS) as threads:
        loads = []
        if done != "started":
            port = servers.port()
            loads = [threads.submit(sender.load, port) for sender in senders]
        if done == "acknowledged":
            assert journal.progress.wait(PATIENCE)
        time.sleep(seconds)
        servers.kill()
        for load in loads:
            load.result()
    assert servers.ended() == -signal.SIGKILL


def settle(servers: ForkedServers, senders: list[Sender]) -> None:
    """Deliver what waits to the server that has been started, and stop it."""
    with contextlib.closing(Connection(servers.port())) as connection:
        for sender in senders:
            if sender.waiting is not None:
                sender.deliver(connection)
    servers.stop()


FULL = {
    "by the kernel": {"file_size": 200_000},
    "by SQLite": {"pragmas": ["max_page_count = 40"]},
}


@pytest.mark.parametrize("condition", FULL.values(), ids=FULL.keys())
def test_disk_that_is_full(
    home: Path,
    servers: ForkedServers,
    journal: Journal,
    senders: list[Sender],
    condition: dict[str, Any],
) -> None:
    servers.start(**condition)
    with contextlib.closing(Connection(servers.port())) as connection:
        fill(connection, senders)
    assert journal.acknowledged
    assert check(snapshot(home), journal) == journal.acknowledged
    servers.stop()
    servers.start()
    settle(servers, senders)
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()


def test_disk_that_has_space_again(
    home: Path, servers: ForkedServers, journal: Journal, senders: list[Sender]
) -> None:
    servers.start(file_size=200_000)
    with contextlib.closing(Connection(servers.port())) as connection:
        fill(connection, senders)
        infinity = resource.RLIM_INFINITY
        resource.prlimit(servers.pid, resource.RLIMIT_FSIZE, (infinity, infinity))
        for sender in senders:
            sender.deliver(connection)
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()


def fill(connection: Connection, senders: list[Sender]) -> None:
    """Send until nothing more is taken from anyone."""
    for sender in senders * 2:
        while (answer := sender.offer(connection)).type == Type.ACKNOWLEDGE:
            pass
        assert_busy(answer)
        assert_busy(sender.offer(connection))


def assert_busy(answer: Message) -> None:
    assert isinstance(answer.body, dict)
    assert (answer.type, answer.body.get(1)) == (Type.REFUSE, Reason.BUSY)


def test_database_that_is_read_only(
    home: Path, servers: ForkedServers, journal: Journal, senders: list[Sender]
) -> None:
    # Modes of files do not bind root; this gives SQLITE_READONLY as a read-only file does.
    servers.start(pragmas=["query_only = ON"])
    with contextlib.closing(Connection(servers.port())) as connection:
        fill(connection, senders)
    assert check(snapshot(home), journal) == set()
    servers.stop()
    servers.start()
    settle(servers, senders)
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()


def test_database_that_is_locked(
    home: Path, servers: ForkedServers, journal: Journal, senders: list[Sender]
) -> None:
    sender = senders[0]
    servers.start()
    with (
        contextlib.closing(Connection(servers.port())) as connection,
        contextlib.closing(sqlite3.connect(home / "registry.sqlite3")) as other,
    ):
        sender.deliver(connection)
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        assert_busy(sender.offer(connection))
        assert time.monotonic() - began >= 5
        other.rollback()
        sender.deliver(connection)
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()


def test_database_that_is_locked_for_a_moment(
    home: Path, servers: ForkedServers, journal: Journal, senders: list[Sender]
) -> None:
    servers.start()
    with (
        contextlib.closing(Connection(servers.port())) as connection,
        contextlib.closing(
            sqlite3.connect(home / "registry.sqlite3", check_same_thread=False)
        ) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.5, other.rollback)
        release.start()
        senders[0].deliver(connection)
        release.join()
    assert check(snapshot(home), journal) == journal.acknowledged == journal.sent.keys()


def overwrite(registry: Path, start: int, count: int) -> None:
    with registry.open("r+b") as file:
        file.seek(start)
        file.write(Random(start).randbytes(count))


def cut(registry: Path, size: int) -> None:
    os.truncate(registry, size)


DAMAGE = {
    "garbage header": (partial(overwrite, start=0, count=100), "file is not a database"),
    "garbage page": (partial(overwrite, start=100, count=3996), "disk image is malformed"),
    "cut off": (partial(cut, size=6000), "disk image is malformed"),
    "empty": (
        partial(cut, size=0),
        "is no birthkey registry; of one in use, ",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_database_that_is_damaged(home: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(home / "registry.sqlite3")
    serve = [BIRTHKEY, "--home", str(home), "serve", "--listen", "127.0.0.1:0"]
    ended = subprocess.run(serve, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, "")
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith("birthkey: ") and said in sentence
