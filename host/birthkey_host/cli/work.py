"""Long works: progress at a terminal, pauses for everyone else, Ctrl-C and signals."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress

from birthkey_host.cli.common import fail
from birthkey_host.cli.printing import unguarded
from birthkey_host.cli.stopping import Stopped, Stopping

SHARE = 2
"""Work in pieces that hold the database leaves it to servers for so many times as long."""


class LongWork:
    """Called between the pieces of a work, with what is done and the whole of it.

    Pauses are `share` times as long as the work between them. A work that the same command does
    not go on with has a sentence for Ctrl-C, `stopped`: it, SIGTERM and SIGHUP then wait for the
    next call, which raises KeyboardInterrupt, so that what the sentence says is true.
    """

    def __init__(self, what: str, *, share: float = SHARE, stopped: str | None = None) -> None:
        self._share = share
        self._stopped = stopped
        self._stopping = None if stopped is None else Stopping()
        console = Console(file=unguarded(sys.stderr))
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)
        self._done = 0
        self._since = time.monotonic()

    def __enter__(self) -> LongWork:
        if self._stopping is not None:
            self._stopping.__enter__()
        self._progress.start()
        self._since = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if self._stopping is not None:
            self._stopping.__exit__(kind, error, trace)
        if isinstance(error, KeyboardInterrupt):
            rest = f"stopped after {self._done}; the same command goes on with the rest"
            fail(self._stopped or rest, code=error.code if isinstance(error, Stopped) else 130)

    def __call__(self, done: int, whole: int) -> None:
        self._done = done
        self._progress.update(self._task, completed=done, total=max(done, whole))
        time.sleep(self._share * (time.monotonic() - self._since))
        if self._stopping is not None:
            self._stopping.look()
        self._since = time.monotonic()
