"""What rows take of the disk, as a device's quota counts it: bytes of content, and of all around.

The figures for what is around were measured with SQLite, indexes included. SQLite puts what does
not fit into a page of 4096 bytes into pages of its own, so that the file may grow by up to twice
of what is counted here, if the messages have the worst of lengths.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, func

from birthkey_host.schema import Boot, StoredMessage

ROW = 256
"""Of a message or a boot, besides its frame and its message."""

FLOOR = 100
"""Of what stays of the pruned messages of one boot."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def of_frame(signed_frame: bytes, message: bytes = b"") -> int:
    """Bytes of the row of a message, or of a boot, which is without one."""
    return ROW + len(signed_frame) + len(message)


def content(table: type[Boot] | type[StoredMessage]) -> ColumnElement[int]:
    """Bytes of a row of `table` besides `ROW`, for a query."""
    length: ColumnElement[int] = func.length(table.signed_frame)
    return length if table is Boot else length + func.length(StoredMessage.message)


def parse(text: str) -> int:
    """Bytes as people write them: 2000000, 50M or 2G, by thousands; `ValueError` for all else."""
    number, unit = text[:-1], text[-1:].upper()
    if unit.isdecimal():
        number, unit = text, ""
    if not (number.isascii() and number.isdecimal() and len(number) <= 15 and unit in UNITS):
        raise ValueError(f"{text!r} is no number of bytes, such as 2000000, 50M or 2G")
    return int(number) * UNITS[unit]


def text(size: int) -> str:
    """`size` for people: 50 MB."""
    for unit in ("T", "G", "M", "K"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.3g} {unit.replace('K', 'k')}B"
    return f"{size} bytes"
