"""Power cuts on real firmware: at every flash operation from the first boot to a stored reading.

One run is recorded. Then a board is switched on with the flash as it was in the middle of each
operation and after it, and has to start: with the identity that was on that flash, under a boot
number that no message can have been sealed under.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from littlefs import LittleFSError

from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2, Netduino2
from boards.emulated.rp2040 import Rp2040
from flash_journal import cuts, operations

BOARDS = [Mps2, Netduino2, Rp2040]
BEGIN, END = 6, -16  # of the payload in a record on flash: see birthkey.keystore


def record(board: Emulator, name: str) -> bytes | None:
    """What the flash of a board that is off holds under that name."""
    try:
        with board.filesystem() as flash, flash.open(f"/birthkey.id/{name}", "rb") as file:
            return bytes(file.read())[BEGIN:END]
    except (LittleFSError, FileNotFoundError):
        return None


class Recorded:
    """The runs of one board, each with the flash before it and its journal."""

    def __init__(self, kind: type[Emulator], folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.runs: list[tuple[str, bytes, Path]] = []

    def run(self, name: str, until: str, **configuration: Any) -> None:
        journal = self.folder / f"{name.replace(' ', '-')}.journal"
        uart = str(self.folder / "uart")
        board = self.kind(self.folder / "board", uart, journal=journal, **configuration)
        if configuration:
            board.configure(configuration)
        blank = b"\xff" * board.flash_area.end
        before = board.flash.read_bytes() if board.flash.exists() else blank
        with board:
            board.switch_on()
            board.says(until, 60)
        self.runs.append((name, before, journal))


def cut_everywhere(
    kind: type[Emulator], folder: Path, runs: list[tuple[str, bytes, Path]]
) -> dict[str, Counter[str]]:
    """Start a board from each flash; what it found, for each of the runs."""
    outcomes: dict[str, Counter[str]] = {}
    identity, newest = None, 0
    for name, before, journal in runs:
        done = operations(journal)
        outcomes[name] = Counter(operations=len(done))
        known: dict[bytes, str] = {}  # programming 0xff changes nothing
        for number, moment, image in cuts(before, done):
            if image in known:
                outcomes[name][known[image]] += 1
                continue
            board = kind(folder)
            board.flash.write_bytes(image)
            key = record(board, "copy/key") or record(board, "key")
            # The other copy is written before it: under a number that is here, all is safe.
            boot = record(board, "boot")
            where = f"{name}, operation {number} of {len(done)}, {moment}"
            assert identity is None or key == identity, f"{where}: the key is gone or another"
            identity = key
            sealed_under = int.from_bytes(boot[:4], "big") if boot else 0
            assert sealed_under >= newest, f"{where}: the boot number went back"
            newest = sealed_under
            known[image] = start(board, key, sealed_under, where)
            outcomes[name][known[image]] += 1
    return outcomes


def start(board: Emulator, key: bytes | None, sealed_under: int, where: str) -> str:
    """Switch on a board without a modem; what became of it."""
    with board:
        board.switch_on()
        found = board.says(
            r"^(stopped: there is no /birthkey.json|device \w{32}, boot (\d+)(, new key)?$)"
        )
    if not found[2]:
        assert key is None
        return "not configured yet"
    # A number that was written in part is not given again, though nothing was sealed under it.
    assert sealed_under < int(found[2]) <= sealed_under + 2, where
    assert bool(found[3]) == (key is None), where
    return "no key yet" if key is None else "the key was born"


@pytest.mark.parametrize("kind", BOARDS, ids=lambda kind: kind.name)
def test_power_cut_at_every_flash_operation(
    kind: type[Emulator], installation: dict[str, Any], tmp_path: Path
) -> None:
    installation["spool"] = 20000
    recorded = Recorded(kind, tmp_path)
    recorded.run("formatting", "there is no /birthkey.json")
    recorded.run("first boot to stored readings", "^all readings stored$", **installation)
    recorded.run("second boot", "^all readings stored$", **installation)
    outcomes = cut_everywhere(kind, tmp_path / "cut", recorded.runs)
    for name, counted in outcomes.items():
        print(json.dumps({"board": kind.name, "run": name, **counted}))
    first = outcomes["first boot to stored readings"]
    assert first["no key yet"] and first["the key was born"]
    assert set(outcomes["second boot"]) == {"operations", "the key was born"}
