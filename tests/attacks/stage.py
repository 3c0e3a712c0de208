"""What an attack is made on: a server with its registry on disk, and boards that use it.

All of it is the real thing: `TcpServer`, `Pipeline`, `Verifier` and `Registry`, and the firmware
under CPython with its keystore in a folder. Only the AT modem is left out; the attacks on the UART
have it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacks.wire import HOST, Loop, SocketLink, Wiretap, lost, passed, send
from birthkey import Device
from birthkey.crypto import entropy
from birthkey_host import cbor
from birthkey_host.enrolment import policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.server.lines import LineLimits, Lines
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.tcp import TcpServer
from birthkey_host.verifier import KnownDevice, Verifier

logger = logging.getLogger("birthkey_host.server")

# A server counts the lines of a flood instead of writing them all; the attacks need each.
EVERY_LINE = LineLimits(burst=100_000, source_burst=100_000)

# The firmware takes the clock's jitter too, which costs 50 ms, and there are many boards.
SOURCES = (entropy.Source("urandom", entropy.urandom, 4),)

WAIT_MS = 8000  # for a board to deliver; it takes that long only when something is broken


@dataclass(frozen=True)
class Refusal:
    """A line of the server's log."""

    layer: str
    reason: str


class Log(logging.Handler):
    """Keeps the refusals in what a server logs."""

    def __init__(self) -> None:
        super().__init__()
        self._refusals: list[Refusal] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = re.match(r"refused (\w+): (.+?) from ", record.getMessage())
        if found:
            self._refusals.append(Refusal(found[1], found[2]))

    def take(self) -> list[Refusal]:
        """The refusals since the last call."""
        taken, self._refusals = self._refusals, []
        return taken


class Server:
    """What `birthkey serve` runs, in a thread of this process."""

    def __init__(
        self, loop: Loop, database: Path, policy_name: str = "open", **limits: Any
    ) -> None:
        """`limits` of the registry."""
        self.key = ServerKey.generate()
        self.database = database
        self._loop, self._policy, self._limits = loop, policy(policy_name), limits
        with Registry(self.url) as registry:
            registry.create()
        self.start()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def start(self) -> None:
        """Listen, with nothing in memory from before."""
        self.registry = Registry(self.url, **self._limits)
        verifier = Verifier([self.key], self.registry.lookup)
        pipeline = Pipeline(verifier, self.registry, self._policy)
        pipeline.lines = Lines(logger, EVERY_LINE)
        self._tcp = TcpServer(pipeline)
        [(_, self.port)] = self._loop.run(self._tcp.start(HOST, 0))

    def stop(self) -> None:
        self._loop.run(self._tcp.stop())
        self.registry.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def open(self, frame: bytes) -> bytes:
        """The signed-frame in a sealed one: what an insider who has the server's key gets."""
        verifier = Verifier([self.key], self.registry.lookup)
        return verifier.receive(frame, source="insider", now=0.0).signed_frame


class Board:
    """The firmware, on a line that is tapped."""

    def __init__(self, stage: Stage, flash: Path) -> None:
        self.stage, self.flash = stage, flash
        self.link = SocketLink()
        self.line = Wiretap(stage.loop, lambda: stage.server.port)
        self.readings = itertools.count()
        self.delivered: list[Any] = []

    def start(self, **options: Any) -> Device:
        """Switch it on; it takes the next boot number."""
        self.device = Device(
            self.link,
            server=(HOST, self.line.port),
            server_key=self.stage.server.key.public.hex(),
            path=str(self.flash),
            board="stage",
            sources=SOURCES,
            **options,
        )
        return self.device

    def close(self) -> None:
        self.link.close()
        self.line.close()

    @property
    def device_id(self) -> bytes:
        return self.device.device_id

    def deliver(self, body: Any = None) -> None:
        """Send a reading, which must be stored."""
        body = {"n": next(self.readings)} if body is None else body
        self.delivered.append(body)
        assert self.device.send(body, WAIT_MS), self.device.problem

    def withhold(self) -> bytes:
        """Queue a reading, and catch its frame on the way: the server does not get it."""
        body = {"n": next(self.readings)}
        self.delivered.append(body)
        self.line.up = lost
        known = len(self.line.frames)
        steps = self.device.send_steps(body, WAIT_MS)
        while len(self.line.frames) == known:
            next(steps)
        steps.close()
        self.line.up = passed
        return self.line.frames[-1]

    def unanswered(self, body: Any) -> Iterator[None]:
        """Send a reading, and lose the server's answer; what the board goes on with."""
        self.delivered.append(body)
        self.line.down = lost
        known = len(self.line.answers)
        steps = self.device.send_steps(body, WAIT_MS)
        while len(self.line.answers) == known:
            next(steps)
        self.line.down = passed
        return steps

    def works(self) -> None:
        """All is as if there had been no attack, and goes on so.

        The server has each reading once, in order and as it was, and none besides.
        """
        assert self.device.deliver(WAIT_MS), self.device.problem
        self.deliver()
        assert self.stage.readings(self.device_id) == self.delivered
        assert self.stage.state(self.device_id) is State.ACTIVE

    def copy(self, name: str) -> Board:
        """Another board with a copy of this one's flash."""
        flash = self.flash.with_name(name)
        shutil.copytree(self.flash, flash)
        return self.stage.add(Board(self.stage, flash))

    def thief(self, boot: int) -> ReferenceDevice:
        """Someone who has read its key out of its flash, and does with it what he likes."""
        private = (self.flash / "key").read_bytes()[6:38]
        thief = ReferenceDevice(private, self.stage.server.key.public, boot=boot)
        assert thief.device_id == self.device_id
        return thief


class Stage:
    """A server, boards, and strangers who reach its port."""

    def __init__(self, loop: Loop, folder: Path, stack: contextlib.ExitStack) -> None:
        self.loop, self.folder, self.stack = loop, folder, stack
        self.log = Log()
        logger.addHandler(self.log)
        stack.callback(logger.removeHandler, self.log)
        self.server = self.listen("registry.sqlite3")

    def listen(self, database: str, policy_name: str = "open", **limits: Any) -> Server:
        """Another server, with a key and a registry of its own."""
        server = Server(self.loop, self.folder / database, policy_name, **limits)
        self.stack.callback(server.stop)
        return server

    def add(self, board: Board) -> Board:
        self.stack.callback(board.close)
        return board

    def board(self, name: str = "board") -> Board:
        """A new board, switched on and enrolled, with a reading delivered."""
        board = self.add(Board(self, self.folder / name))
        board.start()
        board.deliver()
        return board

    def stranger(self, boot: int = 1) -> ReferenceDevice:
        """Someone with a key of his own that nobody knows."""
        return ReferenceDevice.generate(self.server.key.public, boot=boot)

    def owner(self) -> ReferenceDevice:
        """The owner of a board that is enrolled; he has its key and sends what he likes."""
        owner = self.stranger()
        [answer] = self.send(owner.frame(owner.enrol("owned", "1.0")))
        assert owner.open(answer).type == Type.ACKNOWLEDGE
        return owner

    def send(self, *frames: bytes) -> list[bytes]:
        """Send frames from somewhere else; the answers."""
        return send(self.server.port, *frames)

    def layers(self) -> list[str]:
        """The layers that refused something since the last call."""
        return [refusal.layer for refusal in self.log.take()]

    def known(self, device_id: bytes) -> KnownDevice | None:
        return self.server.registry.lookup(device_id)

    def state(self, device_id: bytes) -> State:
        device = self.server.registry.device(device_id)
        assert device
        return device.state

    def messages(self, device_id: bytes) -> list[Message]:
        """All that is stored of a device."""
        rows = self.server.registry.messages(device_id)
        assert [row.counter for row in rows] == [
            Message.decode(row.message).counter for row in rows
        ]
        return [Message.decode(row.message) for row in rows]

    def readings(self, device_id: bytes) -> list[cbor.Value]:
        """The bodies of its stored readings."""
        return [m.body for m in self.messages(device_id) if m.type == Type.DATA]
