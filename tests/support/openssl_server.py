"""`openssl s_server`, as the machine has it: a peer that speaks TLS, with a person's bytes in it.

    with serving(certificate, "-tls1_2") as server:
        ...  # a client connects to 127.0.0.1, server.port
        assert server.receive(5) == b"hello"
        server.send(b"hello")

It serves one client at a time; the next one waits.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from boards.build.cache import BuildError
from sockets import listens, reserved_port

_PATIENCE = 10.0  # seconds


class Server:
    """s_server while it runs; `port` is that of 127.0.0.1."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.port = port
        self._process = process
        self._errors = errors

    @property
    def errors(self) -> str:
        """What it has said on standard error: why a handshake failed, who showed a certificate."""
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def send(self, data: bytes) -> None:
        """Have it send these bytes to the client that it has, or to the next one."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def receive(self, count: int) -> bytes:
        """The next `count` bytes that clients have sent.

        Raises AssertionError with what has come, and with what it says, when they do not come.
        """
        assert self._process.stdout is not None
        data = b""
        deadline = time.monotonic() + _PATIENCE
        while len(data) < count:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self._process.stdout], [], [], left)
            more = os.read(self._process.stdout.fileno(), count - len(data)) if readable else b""
            assert more, f"openssl s_server received only {data!r}: {self.errors}"
            data += more
        return data

    def started(self) -> None:
        """Wait until it listens. Raises AssertionError with its words if it does not."""
        deadline = time.monotonic() + _PATIENCE
        while not listens(self.port):
            assert self._process.poll() is None, f"openssl s_server: {self.errors}"
            assert time.monotonic() < deadline, "openssl s_server took too long"
            time.sleep(0.01)


@contextlib.contextmanager
def serving(certificate: Path, *options: str, key: Path | None = None) -> Iterator[Server]:
    """`openssl s_server` with a certificate, until the end of the block.

    `certificate` is a PEM file; the key is there too, or in `key`. `options` are its own, such as
    "-tls1_2". Raises BuildError when there is no openssl.
    """
    program = shutil.which("openssl")
    if program is None:
        raise BuildError("openssl is not on PATH: install it (on Debian: apt install openssl)")
    with tempfile.TemporaryFile() as errors, reserved_port() as port:
        # -quiet: nothing but clients' bytes on its output, and no letter of its input is a command.
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM"),  # it ends when this process does
                *(program, "s_server", "-quiet", "-accept", f"127.0.0.1:{port}"),
                *("-cert", certificate, "-key", key or certificate),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
        )
        try:
            server = Server(port, process, errors)
            server.started()
            yield server
        finally:
            process.kill()
            process.communicate()
