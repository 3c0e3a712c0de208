"""Writes docs/attacks.md from the marks of the tests: `python tests/attacks/table.py [--check]`.

With --check nothing is written, and the exit code is 1 when the page is not as the marks say.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "attacks.md"
UNMARKED = "test_table.py"

HEAD = """\
# Attacks

Each of these is made for real by `tests/attacks/`: against a server on a TCP socket with its
registry on disk, and the board's firmware with its key on flash. Each test looks at what the server
has stored and at which layer refused, and then sees the genuine board deliver its next reading.

*Refused by* is the layer that the server's log names; [protocol.md](protocol.md) has them in their
order. *board* means that the firmware does not believe what it was given. Where there is a dash,
nothing is refused: what was tried has no effect, or none that anyone could notice.

This page is made by `python tests/attacks/table.py`.
"""


@dataclass(frozen=True)
class Row:
    what: str
    layer: str
    result: str
    test: str


class Collector:
    """A plugin of pytest that looks at the marks of what was collected."""

    def __init__(self) -> None:
        self.sections: dict[str, dict[Row, None]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            assert isinstance(item, pytest.Function)
            mark = item.get_closest_marker("attack")
            if mark is None:
                if item.path.name == UNMARKED:
                    continue
                raise pytest.UsageError(f"{item.nodeid} does not say which attack it is")
            [what] = mark.args
            test = f"{item.path.name}::{item.function.__name__}"
            row = Row(what, mark.kwargs["layer"], mark.kwargs.get("result", ""), test)
            title, _, _ = (item.module.__doc__ or "").partition("\n")
            self.sections.setdefault(title.rstrip("."), {})[row] = None


def collect() -> dict[str, dict[Row, None]]:
    """The attacks of every module, in the order of its tests."""
    collector = Collector()
    told = io.StringIO()
    arguments = [str(HERE), "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    arguments += ["-c", str(ROOT / "pyproject.toml")]
    with contextlib.redirect_stdout(told):
        code = pytest.main(arguments, plugins=[collector])
    if code:
        sys.exit(told.getvalue())
    return collector.sections


def page(sections: dict[str, dict[Row, None]]) -> str:
    """The whole page."""
    parts = [HEAD]
    for title, rows in sections.items():
        results = any(row.result for row in rows)
        columns = ["what", "refused by", *(["what comes of it"] if results else []), "tested in"]
        lines = [f"## {title}", "", _line(columns), "|---" * len(columns) + "|"]
        for row in rows:
            cells = [row.what, row.layer, *([row.result] if results else []), f"`{row.test}`"]
            lines.append(_line(cells))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    sections = collect()
    text = page(sections)
    if not arguments.check:
        PAGE.write_text(text)
        print(f"{PAGE.relative_to(ROOT)}: {sum(map(len, sections.values()))} attacks")
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is out of date: run python tests/attacks/table.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
