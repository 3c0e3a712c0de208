"""Boards go on working while strangers send all that one core can.

Prints how long the boards waited for their acknowledgements, with and without the flood.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from processes import BIRTHKEY
from recording import data

CALM_S, FLOOD_S, REBOOT_S, BOARDS = 2.0, 5.0, 1.0, 3
TRY_S, PATIENCE_S = 3.0, 10.0  # for an answer, then a board connects anew; and in all
FLOODER = Path(__file__).with_name("flooder.py")


class Server:
    """`birthkey serve`, with its log in a file: nobody reads a pipe while the flood lasts."""

    def __init__(self, home: Path) -> None:
        subprocess.run([BIRTHKEY, "--home", str(home), "init"], check=True, capture_output=True)
        self.key = ServerKey.load(home / "server.key")
        self.registry = Registry(f"sqlite:///{home}/registry.sqlite3")
        self._log = home / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [BIRTHKEY, "--home", str(home), "serve", "--listen", "127.0.0.1:0"]
                + ["--policy", "open"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=30)
        return self._process.returncode

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self.registry.close()

    def log(self) -> list[str]:
        return self._log.read_text().splitlines()


class Board:
    """One board that has an address of its own, and connects anew whenever it has to."""

    def __init__(self, address: str, server: Server) -> None:
        self.device = ReferenceDevice.generate(server.key.public)
        self.acknowledged: list[int] = []
        self.recorded: list[bytes] = []
        self.waits: list[float] = []
        self._address, self._port = address, server.port
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def deliver(self, message: Message) -> None:
        """Send a message until it is acknowledged."""
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while not await self._try(message):
                await asyncio.sleep(0.05)
        self.waits.append(time.monotonic() - began)
        self.acknowledged.append(message.counter)

    async def live(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.deliver(data(self.device))
            await asyncio.sleep(0.03)

    async def reboot(self) -> None:
        """A new boot, a new `enc`, a new connection; the wait for the first acknowledgement."""
        self.hang_up()
        await asyncio.sleep(REBOOT_S)  # long enough for somebody else to take its place
        self.device.start(self.device.boot + 1)
        await self.deliver(data(self.device))

    def hang_up(self) -> None:
        if self._stream is not None:
            self._stream[1].transport.abort()
            self._stream = None

    async def _try(self, message: Message) -> bool:
        frame = self.device.frame(message)
        self.recorded.append(frame)
        try:
            async with asyncio.timeout(TRY_S):
                answer = await self._exchange(frame)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            self.hang_up()
            return False
        return self.device.open(answer).type == Type.ACKNOWLEDGE

    async def _exchange(self, frame: bytes) -> bytes:
        if self._stream is None:
            self._stream = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._address, 0)
            )
        reader, writer = self._stream
        writer.write(len(frame).to_bytes(2, "big") + frame)
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "home")
    yield server
    server.close()


@contextlib.asynccontextmanager
async def flooding(server: Server, recorded: list[bytes], folder: Path) -> AsyncIterator[list[str]]:
    """A flood in a process of its own; what it did is in the list in the end."""
    file, did = folder / "recorded", list[str]()
    file.write_text("\n".join(frame.hex() for frame in recorded))
    arguments = [FLOODER, str(server.port), server.key.public.hex(), file]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=subprocess.PIPE
    )
    try:
        await asyncio.sleep(1)  # until all its connections are made
        yield did
        process.terminate()
        output, _ = await process.communicate()
        did.append(output.decode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def times(boards: list[Board]) -> tuple[float, float, float]:
    """Median, 95th percentile and maximum of what they have waited since the last call, in s."""
    waits = sorted(wait for board in boards for wait in board.waits)
    for board in boards:
        board.waits.clear()
    return statistics.median(waits), waits[int(0.95 * len(waits))], waits[-1]


def told(name: str, figures: tuple[float, float, float]) -> str:
    return f"{name:14}" + "".join(f"{1000 * figure:9.1f}" for figure in figures)


@pytest.mark.alone
def test_boards_are_served_while_strangers_flood(server: Server, tmp_path: Path) -> None:
    boards = [Board(f"127.0.0.{2 + number}", server) for number in range(BOARDS)]

    async def calm() -> tuple[float, float, float]:
        for board in boards:
            await board.deliver(board.device.enrol("pico", "1.0"))
            board.waits.clear()
        await asyncio.gather(*(board.live(CALM_S) for board in boards))
        return times(boards)

    async def restless() -> None:
        await boards[0].live(FLOOD_S / 2 - REBOOT_S)
        await boards[0].reboot()
        reboots.append(boards[0].waits[-1])
        await boards[0].live(FLOOD_S / 2)

    async def flooded() -> tuple[float, float, float]:
        recorded = [frame for board in boards for frame in board.recorded]
        async with flooding(server, recorded, tmp_path) as did:
            await asyncio.gather(restless(), *(board.live(FLOOD_S) for board in boards[1:]))
            figures = times(boards)
        strangers.update(json.loads(did[0]))
        return figures

    async def story() -> list[tuple[float, float, float]]:
        try:
            return [await calm(), await flooded()]
        finally:
            for board in boards:
                board.hang_up()

    reboots: list[float] = []
    strangers: dict[str, int] = {}
    before, during = asyncio.run(story())
    code = server.stop()
    log = server.log()
    summed_up = [line for line in log if " more in the last " in line]
    held = sum(int(re.findall(r"(\d+) more in the last", line)[0]) for line in summed_up)

    print(f"\n{'ms':14}{'median':>9}{'95 %':>9}{'max':>9}")
    print(told("without", before), told("with the flood", during), sep="\n")
    print(f"first acknowledgement after a reboot in the flood: {1000 * reboots[0]:.0f} ms")
    print(f"strangers: {strangers}; log: {len(log)} lines, {held} more counted")

    assert code == 0
    for board in boards:
        stored = server.registry.messages(board.device.device_id)
        assert [row.counter for row in stored] == board.acknowledged
    assert during[0] < 1.0
    # It was a flood, and the log is none.
    assert min(strangers[kind] for kind in ("rubbish", "forged", "unknown", "replayed")) > 1000
    assert strangers["connections"] > 1000
    assert held > 100
    assert len([line for line in log if " INFO " not in line]) < 500
