"""The server's log as lines that nobody can forge, whatever is in a message or in an error."""

from __future__ import annotations

import logging
from collections.abc import Callable

from birthkey_host.legible import excerpt

MESSAGE = 1000
"""Characters of a message, and of a line of a trace, at most."""

TRACE = 200
"""Lines of a trace, at most: the last ones, where the error is."""

_BEHIND = "    | "


class OneLine(logging.Formatter):
    """A record is one line that begins with its time, and nothing in it makes another.

    The lines of its trace follow, each behind four blanks and a bar, which no record begins with.
    """

    def __init__(self, hint: Callable[[str], str] = str) -> None:
        """`hint` makes the commands that a message quotes fit to be typed."""
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._hint = hint

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line; `record.message` may hold anything."""
        record.message = excerpt(self._hint(record.message), MESSAGE)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the trace behind it."""
        shown = logging.makeLogRecord(record.__dict__)  # others may format the record, too
        shown.exc_info = shown.exc_text = shown.stack_info = None
        lines = []
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        if record.stack_info:
            lines += record.stack_info.split("\n")
        if len(lines) > TRACE:
            lines = [f"{len(lines) - TRACE} lines are left out", *lines[-TRACE:]]
        return "\n".join(
            [super().format(shown), *(_BEHIND + excerpt(line, MESSAGE) for line in lines)]
        )
