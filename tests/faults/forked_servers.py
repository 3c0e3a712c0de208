"""`birthkey serve` two hundred times: children of one process that has imported everything.

A process that starts from nothing spends half a second on imports, and that would be all that a
test run has time for. A forked child has no connection, no thread and no file of the registry
from its parent: from the command's first statement on it is a process like any other, and SIGKILL
ends it as it ends any other.

The parent is this file, run as a script. Each line of its standard input is a JSON object, the
keyword arguments of `run`. Its standard output gets `pid N`, whatever the child prints, and
`ended CODE` once the child is gone; the code of one that was killed is negative. The children's
log goes to its standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from birthkey_host.cli import app

LIFETIME = 120  # seconds; the child of a test that was killed does not stay for ever


class ForkedServers:
    """Servers of the registry at `home`, one after the other."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = home / "server.log"
        with self._log.open("w") as log:
            self._parent = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        self.pid = 0

    def start(self, **conditions: Any) -> None:
        """Start a server under `conditions`, which are those of `run`."""
        command = ["--home", str(self._home), "serve", "--listen", "127.0.0.1:0"]
        request = {"arguments": [*command, "--policy", "open"], **conditions}
        assert self._parent.stdin is not None
        print(json.dumps(request), file=self._parent.stdin, flush=True)
        self.pid = int(self._wait_for("pid"))

    def port(self) -> int:
        """Where it listens."""
        return int(self._wait_for("listening").rpartition(":")[2])

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        return int(self._wait_for("ended"))

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it as an operator does."""
        os.kill(self.pid, signal.SIGTERM)
        assert self.ended() == 0, self.log()[-2000:]

    def log(self) -> str:
        """What all of them have logged."""
        return self._log.read_text()

    def close(self) -> None:
        """End all of it."""
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()

    def _wait_for(self, first: str) -> str:
        """The last word of the next line that begins with `first`."""
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            words = line.split()
            if words[0] == first:
                return words[-1]
            assert words[0] != "ended", self.log()[-2000:]
        raise EOFError(self.log()[-2000:])


def run(
    arguments: Sequence[str],
    *,
    file_size: int | None = None,
    pragmas: Sequence[str] = (),
) -> int:
    """Run a command to its end, and return its exit code.

    `file_size`: bytes beyond which the kernel lets it write to no file; Python ignores SIGXFSZ, so
    that such a write is an error. `pragmas`: what each of its connections to SQLite is told.
    """
    child = os.fork()
    if child == 0:
        print("pid", os.getpid(), flush=True)
        signal.alarm(LIFETIME)
        if file_size is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, hard))
        tell_connections(pragmas)
        app(arguments, prog_name="birthkey")  # ends in SystemExit
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def tell_connections(pragmas: Sequence[str]) -> None:
    @event.listens_for(Engine, "connect")
    def connected(connection: sqlite3.Connection, record: Any) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()


def main() -> None:
    with contextlib.suppress(SystemExit):  # imports what is imported late, and opens nothing
        app(["serve", "--listen", "nowhere"])
    for line in sys.stdin:
        print("ended", run(**json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
