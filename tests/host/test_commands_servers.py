"""Commands when several servers share one database, and when it is restored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from birthkey_host import events
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Command
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from commanding import END, LED, WHO, hear, queue, report, states
from recording import NOW, Server, data, execute

Boards = Callable[[int], list[ReferenceDevice]]


class TestServers:
    def test_they_never_send_two_commands_at_once(
        self, server: Server, server_key: ServerKey, url: str, boards: Boards
    ) -> None:
        board, *_ = boards(1)
        server.enrol(board)
        for number in range(5):
            queue(server, board, {"n": number})
        frames = [board.frame(data(board)) for _ in range(24)]

        def serve(frames: list[bytes]) -> list[Command | None]:
            with Registry(url, busy_timeout=30) as registry:
                other = Server(server_key, registry, Open())
                return [other.record(other.receive(frame)).command for frame in frames]

        with ThreadPoolExecutor(4) as pool:
            told = [c for some in pool.map(serve, [frames[i::4] for i in range(4)]) for c in some]
        assert told == [Command(1, {"n": 0})] * 24
        assert states(server, board) == ["sent"] + ["queued"] * 4

    def test_ids_are_given_out_once(
        self, server: Server, url: str, enrolled: ReferenceDevice
    ) -> None:
        def send(_: int) -> list[int]:
            with Registry(url, busy_timeout=30) as registry:
                rows = [
                    registry.command(enrolled.device_id, LED, expires=END, now=NOW, **WHO)
                    for _ in range(5)
                ]
                return [row.id for row in rows]

        with ThreadPoolExecutor(4) as pool:
            ids = [number for some in pool.map(send, range(4)) for number in some]
        assert sorted(ids) == list(range(1, 21))
        events.verify(server.registry.events())

    def test_a_restored_database_sends_what_was_sent_since_under_its_old_id(
        self, server: Server, server_key: ServerKey, enrolled: ReferenceDevice, tmp_path: Path
    ) -> None:
        """So that the board, which has done that id, does not do it again."""
        for number in range(2):
            queue(server, enrolled, {"n": number})
        execute(server.registry, "PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(tmp_path / "registry.sqlite3", tmp_path / "backup.sqlite3")
        hear(server, enrolled)
        assert report(server, enrolled, 1, "on") == Command(2, {"n": 1})
        report(server, enrolled, 2, "on")
        with Registry(f"sqlite:///{tmp_path}/backup.sqlite3") as registry:
            restored = Server(server_key, registry, Open())
            assert hear(restored, enrolled) == Command(1, {"n": 0})
            assert report(restored, enrolled, 2, "on") is None
            assert states(restored, enrolled) == ["outcome unknown"] * 2
            assert queue(restored, enrolled) == 3
