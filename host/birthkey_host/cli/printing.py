"""How commands write: to people at a terminal, to programs, in whatever encoding there is."""

from __future__ import annotations

import io
import re
import sys
from typing import TextIO, cast

from birthkey_host.legible import escaped, legible

_BEGINS_FORMULA = re.compile(r" *[=+\-@＝＋－＠\"']")  # noqa: RUF001
_NUMBER = re.compile(r"-|[+-]?([0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|inf|nan)")


def cell(text: str) -> str:
    """`text` as a cell between tabs, legible and harmless to a spreadsheet that reads it.

    After any blanks, `=`, `+`, `-` and `@` (wide ones too) would begin a formula, and a quotation
    mark would take in the cells behind it: such a cell has an apostrophe in front, and so has one
    that begins with an apostrophe. Numbers stay as they are, and so does `-`, which is no value.
    """
    shown = legible(text)
    if _BEGINS_FORMULA.match(shown) and not _NUMBER.fullmatch(shown):
        return "'" + shown
    return shown


def fitting(text: str, encoding: str | None) -> str:
    """`text` with escapes for the characters that `encoding` lacks."""
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(
            c if c.encode(encoding, "ignore") else escaped(c)  # one that lacks it leaves nothing
            for c in text
        )
    return text


class Guarded(io.TextIOBase):
    """A standard stream that passes on what is legible and fits its encoding, and escapes the rest.

    It is the second line of defence: whatever is printed, by whom ever, passes here. Line feeds and
    tabs stay. `inner` is the stream itself, for what is drawn with colours.
    """

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self.inner.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Write all of `text`. Raises TypeError for bytes, and OSError."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, and not {type(text).__name__}")
        parts = re.split("([\n\t])", text)
        parts[::2] = map(legible, parts[::2])
        self.inner.write(fitting("".join(parts), self.encoding))
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def flush(self) -> None:
        """Have all of it written."""
        self.inner.flush()

    def isatty(self) -> bool:
        """Whether a person sees it."""
        return self.inner.isatty()

    def fileno(self) -> int:
        """The stream's number."""
        return self.inner.fileno()


def guard() -> None:
    """Have everything that this process prints pass through `Guarded`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # closed by who started this
            setattr(sys, name, cast(TextIO, Guarded(stream)))


def unguarded(stream: TextIO | None = None) -> TextIO:
    """Standard output, or `stream`, for who escapes and encodes what he writes."""
    given = stream or sys.stdout
    guarded: object = given
    return guarded.inner if isinstance(guarded, Guarded) else given
