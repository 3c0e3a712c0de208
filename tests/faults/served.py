"""`birthkey serve` in a process of its own, and boards that connect anew whenever they have to."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from processes import BIRTHKEY
from recording import data

REBOOT_S = 1.0
TRY_S, PATIENCE_S = 3.0, 10.0  # for an answer, then a board connects anew; and in all


def limit_open_files(pid: int, most: int) -> None:
    """Of a process, 0 for this one."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))


class Server:
    """`birthkey serve`, with its log in a file: nobody reads a pipe while the flood lasts."""

    def __init__(
        self, home: Path, options: Sequence[str] = (), open_files: int | None = None
    ) -> None:
        """`open_files`: as many as it may have."""
        subprocess.run([BIRTHKEY, "--home", str(home), "init"], check=True, capture_output=True)
        self.key = ServerKey.load(home / "server.key")
        self.registry = Registry(f"sqlite:///{home}/registry.sqlite3")
        self._log = home / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [BIRTHKEY, "--home", str(home), "serve", "--listen", "127.0.0.1:0"]
                + ["--policy", "open", *options],
                preexec_fn=open_files and partial(limit_open_files, 0, open_files),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self._process.pid

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
