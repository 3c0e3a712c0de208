"""What the worst bytes cost that a modem, or the network, may send to a board.

Instructions on the Cortex-M3, cycles on the RP2040, and the heap that is taken until the garbage is
collected. They are counted, not timed.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from boards.emulated.emulator import Emulator
from boards.emulated.qemu import EXACT_SHIFT, Mps2, exact_instructions
from boards.emulated.rp2040 import Rp2040

PROGRAM = Path(__file__).with_name("hostile_on_board.py")
CYCLES_PER_TICK = 125  # time.ticks_cpu of ports/rp2 counts microseconds, at 125 MHz


def count(kind: type[Emulator]) -> dict[str, tuple[int, int]]:
    """{what: (instructions or cycles, bytes of heap)}."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board: Emulator
        if kind is Rp2040:
            board = Rp2040(folder, seed=b"bench", unique_id=b"birthkey")
        else:
            noise = folder / "random"
            noise.write_bytes(random.Random(1).randbytes(100_000))
            board = Mps2(folder, random=noise, shift=EXACT_SHIFT)
        with board.filesystem() as flash, flash.open("boot.py", "wb") as file:
            file.write(PROGRAM.read_bytes())
        with board:
            board.switch_on()
            board.says("there is no /birthkey.json", 120)
        with board.filesystem() as flash, flash.open("costs.json") as file:
            costs = json.load(file)
    return {
        what: (ticks * CYCLES_PER_TICK if kind is Rp2040 else exact_instructions(ticks), heap)
        for what, (ticks, heap) in costs.items()
    }


def run(console: Console) -> dict[str, float]:
    """Print a table, and give its figures by their names in build/bench.json."""
    counted = {"m3": count(Mps2), "rp2040": count(Rp2040)}
    table = Table("hostile bytes", "M3, million instructions", "RP2040, million cycles", "heap")
    for what in sorted(counted["m3"]):
        spent = [figures[what][0] for figures in counted.values()]
        heap = max(figures[what][1] for figures in counted.values())
        table.add_row(what, *(f"{number / 1e6:.2f}" for number in spent), f"{heap}")
    console.print(table)
    return {
        f"hostile.{what}.{suffix}": spent
        for suffix, figures in counted.items()
        for what, (spent, _) in figures.items()
    }
