"""`make bench`: prints tables, and writes every figure to build/bench.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "support")]

import crypto  # noqa: E402
import hostile  # noqa: E402
import p256  # noqa: E402

import emulated  # noqa: E402
from device import ROOT, device_environment, micropython  # noqa: E402


def flash_wear(console: Console) -> dict[str, float]:
    """What boots and spooled readings cost flash; these figures repeat exactly."""
    ran = subprocess.run(
        [micropython(), "-X", "heapsize=32M", str(HERE / "flash_wear.py")],
        env=device_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    table = Table("flash", "figure")
    for name, figure in sorted(figures.items()):
        table.add_row(name, f"{figure:g}")
    console.print(table)
    return figures


def main() -> None:
    console = Console()
    figures = crypto.run(console) | flash_wear(console) | emulated.run(console)
    figures |= p256.run(console)
    figures |= hostile.run(console)
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
