"""Instructions of P-256 by back end, beside mbed TLS's in the same firmware.

`.m3` and `.m4` are emulated processors, with the back end that is theirs. `.armv6m` is a
Cortex-M0+: firmware that is compiled for one, interpreter and SHA-256 too, counted on the emulated
Cortex-M3, which has its instructions. What an RP2040 needs in cycles is in `.rp2040`.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from boards.build import native
from boards.emulated.qemu import (
    EXACT_SHIFT,
    Mps2,
    Mps2ArmV6M,
    Mps2CortexM4,
    Qemu,
    exact_instructions,
)

PROGRAM = Path(__file__).with_name("p256_on_board.py")
OPERATIONS = ("public_key", "sign", "ecdh", "verify")
MBEDTLS = ("sign", "ecdh", "verify")
UMAAL = "armv7em"  # for the Cortex-M4, whose firmware is the Cortex-M3's; others pass it over
BOARDS: dict[str, type[Qemu]] = {"m3": Mps2, "m4": Mps2CortexM4, "armv6m": Mps2ArmV6M}


def count(kind: type[Qemu]) -> dict[str, int]:
    """{what: instructions} of the board's own back end, of plain Python and of mbed TLS."""
    with tempfile.TemporaryDirectory() as name:
        noise = Path(name) / "noise"
        noise.write_bytes(random.Random(1).randbytes(100_000))
        board = kind(Path(name) / "board", random=noise, shift=EXACT_SHIFT)
        with board.filesystem() as flash:
            flash.makedirs("lib", exist_ok=True)
            with flash.open(f"lib/{native.name(UMAAL)}", "wb") as file:
                file.write(native.module(UMAAL))
            with flash.open("boot.py", "wb") as file:
                file.write(PROGRAM.read_bytes())
        with board:
            board.switch_on()
            board.says("there is no /birthkey.json", 60)
        with board.filesystem() as flash, flash.open("ticks.json") as file:
            ticks = json.load(file)
    return {name: exact_instructions(number) for name, number in ticks.items()}


def figures() -> dict[str, float]:
    """All of them, by their names in build/bench.json."""
    return {
        f"{name}.{suffix}": instructions
        for suffix, kind in BOARDS.items()
        for name, instructions in count(kind).items()
    }


def run(console: Console) -> dict[str, float]:
    """Print a table, and give the figures."""
    found = figures()
    ratios = [f"÷ {operation}" for operation in MBEDTLS]
    title = "P-256, millions of instructions; ÷: by mbed TLS's"
    table = Table("", *OPERATIONS, *ratios, title=title, box=None)
    for suffix in BOARDS:
        for what, name in (
            ("native", f"p256.{{}}.{suffix}"),
            ("mbed TLS", f"mbedtls.{{}}.{suffix}"),
            ("python", f"p256.{{}}.python.{suffix}"),
        ):
            cells = [found.get(name.format(operation)) for operation in OPERATIONS]
            compared = [
                found[name.format(operation)] / found[f"mbedtls.{operation}.{suffix}"]
                for operation in MBEDTLS
            ]
            table.add_row(
                f"{suffix} {what}",
                *(f"{count / 1e6:.3f}" if count else "-" for count in cells),
                *(f"{ratio:.3f}" for ratio in compared),
            )
    console.print(table)
    return found
