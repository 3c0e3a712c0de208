"""Tables for a person at a terminal, drawn piece by piece: the longest takes the memory of one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest

from rich import box
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.text import Text

PIECE = 1000
"""Rows that are drawn together, and decide how wide their columns are."""

WHOLE = frozenset({"id", "device", "claim", "thumbprint"})
"""Columns that stay on one line as long as the others can make room."""

NARROW = 8
"""Cells that any other column keeps, if there is room at all."""

_FRAME = 3  # cells around what is in a column


def draw(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw the rows, each of which has as many texts as the header; a long table in pieces.

    Nothing is cut off: what is too long for its column goes on below. Texts hold no control
    characters.
    """
    left = iter(rows)
    piece = list(islice(left, PIECE))
    while True:
        following = list(islice(left, 1))
        _draw(console, header, piece)
        if not following:
            return
        piece = list(islice(chain(following, left), PIECE))


def _draw(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    form = box.ASCII if console.options.ascii_only else box.HEAVY_HEAD
    widths = fitted(header, rows, console.width - 1 - _FRAME * len(header))
    edges = [width + 2 for width in widths]
    head = _lines(header, widths, form.head_left, form.head_vertical, form.head_right)
    body = (
        line
        for row in rows
        for line in _lines(row, widths, form.mid_left, form.mid_vertical, form.mid_right)
    )
    _print(console, [form.get_top(edges)])
    _print(console, head, "bold")
    _print(console, chain([form.get_row(edges, "head")], body, [form.get_bottom(edges)]))


def _print(console: Console, lines: Iterable[str], style: str = "") -> None:
    if style:
        for line in lines:
            console.print(Text(line, style), soft_wrap=True)
        return
    while several := list(islice(lines := iter(lines), 100)):  # for each line is slow
        console.file.write("\n".join(several) + "\n")
    console.file.flush()


def fitted(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """The columns' widths in cells: what their longest texts need, or less, so that `room` holds.

    The widest gives way first, those in `WHOLE` last. No column vanishes.
    """
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    everything = range(len(header))
    patient = [at for at in everything if header[at] not in WHOLE]
    for least, free in ((NARROW, patient), (1, everything)):
        while sum(widths) > room:
            widest = max(free, key=lambda at: widths[at], default=None)
            if widest is None or widths[widest] <= least:
                break
            widths[widest] -= 1
    return widths


def _lines(
    row: Sequence[str], widths: Sequence[int], left: str, between: str, right: str
) -> list[str]:
    if all(len(text) <= width and text.isascii() for text, width in zip(row, widths, strict=True)):
        padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)]]
    else:
        folded = [_fold(text, width) for text, width in zip(row, widths, strict=True)]
        padded = [
            [set_cell_size(text, width) for text, width in zip(line, widths, strict=True)]
            for line in zip_longest(*folded, fillvalue="")
        ]
    return [f"{left} {f' {between} '.join(line)} {right}" for line in padded]


def _fold(text: str, width: int) -> list[str]:
    """The text on lines of that many cells: between words if it may be, as an id's groups are."""
    if text.isascii():
        return textwrap.wrap(text, width, break_on_hyphens=False)
    return chop_cells(text, max(width, 2))  # a wide letter needs two
