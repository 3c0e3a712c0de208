"""The command `birthkey` as a process of its own."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BIRTHKEY = str(Path(sys.executable).parent / "birthkey")


class Process:
    """A command that runs until it is told to stop."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [BIRTHKEY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def log_line(self) -> str:
        """The next line on standard error, without its time."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().rstrip("\n").split(" ", 2)[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal that does not end it."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals) -> tuple[int, str, str]:
        """Its exit code, and what else it said on standard output and standard error."""
        self._process.send_signal(number)
        rest, errors = self._process.communicate(timeout=20)
        return self._process.returncode, rest, errors

    def kill(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Process]:
    process = Process(*arguments)
    try:
        yield process
    finally:
        process.kill()


def ask(address: str, frame: bytes) -> bytes:
    """Send a frame to HOST:PORT over a connection of its own; the answer."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(len(frame).to_bytes(2, "big") + frame)
        with connection.makefile("rb") as stream:
            return stream.read(int.from_bytes(stream.read(2), "big"))
