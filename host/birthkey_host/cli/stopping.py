"""Signals that end a command where it can be ended, not between steps that belong together."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """One of the signals came; `code` is the exit code that a shell would see had it killed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


class Stopping:
    """While it is entered, in the main thread, a signal waits for `look`.

    Those that were ignored stay so, as SIGHUP under nohup. The handlers before are put back.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._number: int | None = None

    def __enter__(self) -> Stopping:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before not in (signal.SIG_IGN, None):
                self._before[number] = before
                signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def look(self) -> None:
        """Raises Stopped if a signal came."""
        if self._number is not None:
            raise Stopped(self._number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number
