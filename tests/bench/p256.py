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
# {figure's name ends with: (board, back end)}
COLUMNS: dict[str, tuple[type[Qemu], str]] = {
    "m3": (Mps2, "armv7m"),
    "m4": (Mps2CortexM4, "armv7em"),
    "armv6m": (Mps2ArmV6M, "armv6m"),
    "python.m3": (Mps2, "python"),
    "python.m4": (Mps2CortexM4, "python"),
    "python.armv6m": (Mps2ArmV6M, "python"),
}
BOARDS = {"m3": Mps2, "m4": Mps2CortexM4, "armv6m": Mps2ArmV6M}


def count(kind: type[Qemu]) -> dict[str, int]:
    """{what: instructions} of all back ends that run there."""
    with tempfile.TemporaryDirectory() as name:
        noise = Path(name) / "noise"
        noise.write_bytes(random.Random(1).randbytes(100_000))
        board = kind(Path(name) / "board", random=noise, shift=EXACT_SHIFT)
        with board.filesystem() as flash:
            flash.makedirs("lib", exist_ok=True)
            backends = [backend for board, backend in COLUMNS.values() if board is kind]
            for backend in native.BACKENDS:
                with flash.open(f"lib/{native.name(backend)}", "wb") as file:
                    file.write(native.module(backend))
            with flash.open("case.json", "w") as file:
                json.dump({"backends": backends}, file)
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
    counted = {kind: count(kind) for kind in BOARDS.values()}
    found: dict[str, float] = {
        f"p256.{operation}.{suffix}": counted[kind][f"p256.{operation}.{backend}"]
        for suffix, (kind, backend) in COLUMNS.items()
        for operation in OPERATIONS
        if f"p256.{operation}.{backend}" in counted[kind]
    }
    for suffix, kind in BOARDS.items():
        for operation in MBEDTLS:
            found[f"mbedtls.{operation}.{suffix}"] = counted[kind][f"mbedtls.{operation}"]
    return found


def run(console: Console) -> dict[str, float]:
    """Print a table, and give the figures."""
    found = figures()
    ratios = [f"÷ {operation}" for operation in MBEDTLS]
    title = "P-256, millions of instructions; ÷: by mbed TLS's"
    table = Table("", *OPERATIONS, *ratios, title=title, box=None)
    for suffix in BOARDS:
        for title, name in (
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
                f"{suffix} {title}",
                *(f"{count / 1e6:.3f}" if count else "-" for count in cells),
                *(f"{ratio:.3f}" for ratio in compared),
            )
        table.add_section()
    console.print(table)
    return found
