"""A registry on a disk of its own that boards fill, and what people can still do then.

Run as `full_disk.py HOME RESERVE` where HOME is the small disk. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from typer.testing import CliRunner

from birthkey_host.cli import app
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.reserve import ReserveLimits
from birthkey_host.verifier import Verifier

SECONDS = 0.2  # between two messages: the quota of messages is not what is tried here


class Disk:
    """A server whose registry is there."""

    def __init__(self, home: Path, reserve: int) -> None:
        self.home = home
        self.now = time.time() - 100_000
        self.command("init")
        self.key = ServerKey.load(home / "server.key")
        self.registry = Registry(f"sqlite:///{home}/registry.sqlite3")
        self.pipeline = Pipeline(
            Verifier([self.key], self.registry.lookup),
            self.registry,
            Open(),
            reserve=ReserveLimits(growth=reserve),
            clock=self.clock,
        )

    def clock(self) -> float:
        self.now += SECONDS
        return self.now

    @property
    def free(self) -> int:
        found = os.statvfs(self.home)
        return found.f_bavail * found.f_frsize

    def command(self, *arguments: str) -> str:
        """What a command of the operator's says."""
        done = CliRunner().invoke(app, ["--home", str(self.home), *arguments])
        return done.output.strip().splitlines()[-1] if done.output else repr(done.exception)

    def board(self) -> ReferenceDevice:
        board = ReferenceDevice.generate(self.key.public)
        assert self.ask(board, board.enrol("pico", "1.0")) == "stored"
        return board

    def ask(self, board: ReferenceDevice, message: Message) -> str:
        body = board.open(self.pipeline.handle(board.frame(message), "192.0.2.1") or b"").body
        assert isinstance(body, dict)
        return str(body.get(1, "stored"))

    def fill(self, board: ReferenceDevice, limit: int) -> int:
        """Send long messages until one is not taken; how many were."""
        for number in range(limit):
            if self.ask(board, board.message(Type.DATA, {"n": bytes(3600)})) != "stored":
                return number
        return limit


def main(home: str, reserve: str) -> None:
    disk = Disk(Path(home), int(reserve))
    greedy, modest, last = (disk.board() for _ in range(3))
    said: dict[str, object] = {"first": disk.fill(modest, 100)}
    said["filled"] = disk.fill(greedy, 10_000)
    stays = disk.free
    said["more"] = sum(disk.fill(board, 10) for board in (greedy, modest, last) for _ in range(20))
    said["stranger"] = disk.ask(
        new := ReferenceDevice.generate(disk.key.public), new.enrol("a", "b")
    )
    said["free"], said["taken after that"] = disk.free, stays - disk.free
    said["suspend"] = disk.command("suspend", greedy.device_id.hex())
    said["prune"] = disk.command(
        "prune", "--before", time.strftime("%Y-%m-%d"), "--device", modest.device_id.hex()
    )
    said["delete"] = disk.command("delete", greedy.device_id.hex())
    disk.now += 10
    said["then"] = disk.fill(last, 50)
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
