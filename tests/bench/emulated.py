"""What things cost on emulated boards: instructions on Cortex-M3, cycles on RP2040.

They are counted, not timed, and repeat exactly.
"""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from boards.emulated.emulator import Emulator
from boards.emulated.qemu import INSTRUCTIONS_PER_TICK, Mps2, Netduino2
from boards.emulated.rp2040 import Rp2040
from certificates import authority, issue, p256

HERE = Path(__file__).parent
# What runs on the board, in this order; each leaves its ticks.
ON_BOARD = ("on_board.py", "tls_on_board.py")
_BYTES = "bytes "  # begins the name of what is no ticks
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLES_PER_TICK = 125  # time.ticks_cpu of ports/rp2 counts microseconds, at 125 MHz


@dataclass(frozen=True)
class Count:
    """What is counted on a board, and how many of it are one tick of time.ticks_cpu."""

    kind: type[Emulator]
    unit: str
    per_tick: int


COUNTS = {
    "m3": Count(Mps2, "instructions", INSTRUCTIONS_PER_TICK),
    "m3-128k": Count(Netduino2, "instructions", INSTRUCTIONS_PER_TICK),
    "rp2040": Count(Rp2040, "cycles", _CYCLES_PER_TICK),
}


def count(wanted: Count) -> dict[str, int]:
    """{what: how many} on one board that is switched on with a blank flash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board = _repeatable(wanted.kind, folder)
        _run(board)
        with board.filesystem() as flash, flash.open("tls.json", "w") as file:
            json.dump(_certificates(), file)
        found = {}
        for program in ON_BOARD:
            with board.filesystem() as flash, flash.open("boot.py", "w") as file:
                file.write((HERE / program).read_text())
            _run(board)
            with board.filesystem() as flash, flash.open("ticks.json") as file:
                found |= json.load(file)
    return {
        name.removeprefix(_BYTES): number * (1 if name.startswith(_BYTES) else wanted.per_tick)
        for name, number in found.items()
    }


def _certificates() -> dict[str, str]:
    """A CA and a server's certificate that are the same in every run, in DER."""
    ca = authority(key=p256(b"\1" * 32), begins=_EPOCH, repeatable=True)
    server = issue(ca, "birthkey.example", key=p256(b"\2" * 32), begins=_EPOCH, repeatable=True)
    return {"ca": ca.der.hex(), "certificate": server.der.hex(), "key": server.key_der.hex()}


def _run(board: Emulator) -> None:
    with board:
        board.switch_on()
        board.says("there is no /birthkey.json", 60)


def _repeatable(kind: type[Emulator], folder: Path) -> Emulator:
    """A board whose noise is the same in every run."""
    if kind is Rp2040:
        return Rp2040(folder, seed=b"bench", unique_id=b"birthkey")
    noise = folder / "random"
    noise.write_bytes(random.Random(1).randbytes(100_000))
    return kind(folder, random=noise)


def run(console: Console) -> dict[str, float]:
    """Print a table, and give its figures by their names in build/bench.json."""
    counted = {suffix: count(wanted) for suffix, wanted in COUNTS.items()}
    heads = [f"{wanted.kind.name}, {wanted.unit}" for wanted in COUNTS.values()]
    table = Table("millions", *heads)
    sizes = Table("bytes", *(wanted.kind.name for wanted in COUNTS.values()))
    for name in counted["m3"]:
        row = [figures[name] for figures in counted.values()]
        if name.endswith((".up", ".down", ".heap")):
            sizes.add_row(name, *map(str, row))
        else:
            table.add_row(name, *(f"{figure / 1e6:.3f}" for figure in row))
    console.print(table)
    console.print(sizes)
    return {
        f"{name}.{suffix}": figure
        for suffix, figures in counted.items()
        for name, figure in figures.items()
    }
