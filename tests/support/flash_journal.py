"""Power cuts without cutting: the flash as it was at each moment of a run that was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Operation:
    """One erasure or programming of the flash file, in bytes."""

    kind: str  # "erase" or "program"
    offset: int
    data: bytes  # what is programmed, or as many 0xff as are erased

    def apply(self, image: bytearray, length: int) -> None:
        """Do the first `length` bytes of it."""
        for position, byte in enumerate(self.data[:length], self.offset):
            image[position] = 0xFF if self.kind == "erase" else image[position] & byte


def operations(journal: Path) -> list[Operation]:
    """What an emulator has written to its journal, in order."""
    found = []
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        data = bytes.fromhex(entry["data"]) if "data" in entry else b"\xff" * entry["length"]
        found.append(Operation(entry["operation"], entry["offset"], data))
    return found


def cuts(image: bytes, done: list[Operation]) -> Iterator[tuple[int, str, bytes]]:
    """(operations, tear, flash) for power that fails in the middle of each, and after it.

    Before an operation is after the one before; what stood at first comes first.
    """
    flash = bytearray(image)
    yield 0, "before", bytes(flash)
    for number, operation in enumerate(done, 1):
        torn = bytearray(flash)
        operation.apply(torn, len(operation.data) // 2)
        yield number, "torn", bytes(torn)
        operation.apply(flash, len(operation.data))
        yield number, "after", bytes(flash)
