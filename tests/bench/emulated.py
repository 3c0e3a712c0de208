"""What things cost on an emulated Cortex-M, counted in instructions: they repeat exactly."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from boards.emulated.qemu import INSTRUCTIONS_PER_TICK, Mps2, Netduino2, Qemu

ON_BOARD = Path(__file__).with_name("on_board.py")
BOARDS: dict[str, type[Qemu]] = {"m3": Mps2, "m3-128k": Netduino2}


def instructions(kind: type[Qemu]) -> dict[str, int]:
    """{what: instructions} of one board that is switched on with a blank flash."""
    with tempfile.TemporaryDirectory() as folder:
        noise = Path(folder) / "random"
        noise.write_bytes(random.Random(1).randbytes(100_000))
        board = kind(Path(folder), random=noise)
        with board:
            board.switch_on()
            board.says("there is no /birthkey.json")
        with board.filesystem() as flash, flash.open("boot.py", "w") as file:
            file.write(ON_BOARD.read_text())
        with board:
            board.switch_on()
            found = json.loads(board.says(r"^\{.*\}$", 60)[0])
    return {name: ticks * INSTRUCTIONS_PER_TICK for name, ticks in found.items()}


def run(console: Console) -> dict[str, float]:
    """Print a table, and give its figures by their names in build/bench.json."""
    counted = {suffix: instructions(kind) for suffix, kind in BOARDS.items()}
    table = Table("instructions, in millions", *(kind.name for kind in BOARDS.values()))
    for name in counted["m3"]:
        table.add_row(name, *(f"{figures[name] / 1e6:.3f}" for figures in counted.values()))
    console.print(table)
    return {
        f"{name}.{suffix}": figure
        for suffix, figures in counted.items()
        for name, figure in figures.items()
    }
