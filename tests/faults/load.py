"""Boards that send as fast as they are answered, and what must hold of the registry afterwards."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from birthkey_host import events
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.schema import Action

Key = tuple[bytes, int]
"""Device id and counter of a message."""

PATIENCE = 30.0  # seconds for an answer; more than anything tried here takes

HALF_DONE = """
SELECT device_id FROM devices
    WHERE newest IS NOT (SELECT max(boot) FROM boots WHERE boots.device_id = devices.device_id)
    OR frames <> (SELECT count(*) FROM boots WHERE boots.device_id = devices.device_id)
        + (SELECT count(*) FROM messages WHERE messages.device_id = devices.device_id)
UNION SELECT device_id FROM messages
    WHERE (device_id, boot) NOT IN (SELECT device_id, boot FROM boots)
"""
"""Devices of which one part of a transaction is there, and another is not."""


class Connection:
    """A board's TCP connection to the server. Raises ConnectionError once the server is gone."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._stream = self._socket.makefile("rb")

    def ask(self, frame: bytes) -> bytes:
        """The answer to a frame."""
        self._socket.sendall(len(frame).to_bytes(2, "big") + frame)
        return self._read(int.from_bytes(self._read(2), "big"))

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ConnectionResetError
        return data

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@dataclass
class Journal:
    """What boards have sent, and what of it they were told is stored."""

    sent: dict[Key, bytes] = field(default_factory=dict)
    acknowledged: set[Key] = field(default_factory=set)
    progress: threading.Event = field(default_factory=threading.Event)
    """Set with each acknowledgement."""


class Sender:
    """One board after another; a message is sent until it is acknowledged."""

    def __init__(self, server_public: bytes, journal: Journal, random: Random) -> None:
        self._server_public = server_public
        self._journal = journal
        self._random = random
        self._board: ReferenceDevice | None = None
        self._message: Message | None = None

    @property
    def waiting(self) -> Key | None:
        """The message that was sent and not acknowledged."""
        if self._board is None or self._message is None:
            return None
        return self._board.device_id, self._message.counter

    def offer(self, connection: Connection) -> Message:
        """Send the message that waits, or else a new one; the answer."""
        board, message = self._next()
        key = board.device_id, message.counter
        self._journal.sent[key] = message.encode()
        answer = board.open(connection.ask(board.frame(message)))
        if answer.type == Type.ACKNOWLEDGE:
            self._journal.acknowledged.add(key)
            self._journal.progress.set()
            self._message = None
        return answer

    def deliver(self, connection: Connection) -> None:
        """Send a message that the server must store."""
        answer = self.offer(connection)
        assert answer.type == Type.ACKNOWLEDGE, answer

    def load(self, port: int) -> None:
        """Deliver until the server is gone."""
        if self._board is not None and self._random.random() < 0.2:
            self._board.start(self._board.boot + 1)  # what waits is sealed under the new boot
        with contextlib.suppress(ConnectionError), contextlib.closing(Connection(port)) as server:
            while True:
                self.deliver(server)

    def _next(self) -> tuple[ReferenceDevice, Message]:
        """What waits; else data, of one page or several; now and then a new board's enrol."""
        random, board = self._random, self._board
        if board is not None and self._message is not None:
            return board, self._message
        if board is None or random.random() < 0.1:
            private = random.randbytes(32)
            board = ReferenceDevice(private, self._server_public, random=random.randbytes)
            message = board.enrol("crash", "1.0")
        else:
            size = random.choice((0, 20, 20, 20, 3000))
            message = board.message(Type.DATA, {"pad": random.randbytes(size)})
        self._board, self._message = board, message
        return board, message


def snapshot(home: Path) -> Path:
    """The registry's files as they lie there, so that the next server has to recover them."""
    copy = home / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("registry.sqlite3", "registry.sqlite3-wal"):
        if (home / name).exists():
            shutil.copy(home / name, copy)
    return copy / "registry.sqlite3"


def check(registry: Path, journal: Journal) -> set[Key]:
    """What is promised of a registry at any time; gives what is stored in it."""
    with contextlib.closing(sqlite3.connect(registry)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        half_done = database.execute(HALF_DONE).fetchall()
        assert not half_done, f"a part of a transaction is missing: {half_done}"
        rows = database.execute("SELECT device_id, counter, message FROM messages").fetchall()
    stored = {(name, int.from_bytes(counter, "big")): message for name, counter, message in rows}
    lost = journal.acknowledged - stored.keys()
    assert not lost, f"{len(lost)} acknowledged and not stored: {sorted(lost)}"
    assert len(rows) == len(stored), "a message is stored twice"
    changed = [key for key, message in stored.items() if journal.sent.get(key) != message]
    assert not changed, f"stored and never sent: {sorted(changed)}"
    with Registry(f"sqlite:///{registry}") as opened:
        opened.check()
        chain = opened.events()
        events.verify(chain)
        enrolled = [event.device_id for event in chain if event.action is Action.ENROLLED]
        assert sorted(enrolled) == sorted(device.device_id for device in opened.devices())
    return set(stored)
