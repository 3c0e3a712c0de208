"""Native P-256 looks whether the stack is enough for it: an error or the right answer, and no more.

Below the stack of an RP2040 lies the end of the heap.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from board_repl import BoardRepl
from boards.build import dist, firmware, native
from boards.build.toolchain import environment
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2, Mps2ArmV6M, Qemu
from boards.emulated.rp2040 import Rp2040
from device import Handle, Interpreter
from stock_images import pico

MODULE = "emulated.p256_room:"
FUNCTIONS = ("in_range", "reduce", "public_key", "sign", "verify", "ecdh")
SOURCE = firmware.ROOT / "firmware/native/p256/module.c"
BOARDS: dict[str, type[Emulator]] = {"rp2040": Rp2040, "armv6m": Mps2ArmV6M, "armv7m": Mps2}
NATIVE = {"rp2040": "armv6m", "stock": "armv6m", "armv6m": "armv6m", "armv7m": "armv7m"}
QEMU_STACK = 24576
BELOW = 1024
LEVELS = 10


class Board(Interpreter):
    """`stock` is MicroPython's own firmware for the Pico, with P-256 as a file .mpy."""

    def _start(self, folder: Path, uart: str | None, heap: list[str]) -> BoardRepl:
        if self.name != "stock":
            return BoardRepl(BOARDS[self.name](folder))
        files = {**dist.modules(), native.name("armv6m"): native.module("armv6m")}
        with Rp2040(folder).filesystem() as flash:  # birthkey's own firmware formats it
            for name, data in files.items():
                flash.makedirs(str(Path("lib", name).parent), exist_ok=True)
                with flash.open(f"lib/{name}", "wb") as file:
                    file.write(data)
        return BoardRepl(Rp2040(folder, image=pico()), prompts=False)


@cache
def stack(name: str) -> tuple[int, int]:
    """Where the stack of a board begins, from below, and its size as MicroPython knows it."""
    if name == "stock":
        return 0x20040000, 0x2000
    kind = BOARDS[name]
    elf = firmware.image(kind.name, kind.variant if issubclass(kind, Qemu) else "").elf
    if issubclass(kind, Qemu):
        return symbol(elf, "_estack") - QEMU_STACK, QEMU_STACK
    bottom = symbol(elf, "__StackBottom")
    return bottom, symbol(elf, "__StackTop") - bottom


def symbol(elf: Path, name: str) -> int:
    programs = environment("arm-none-eabi-gcc")
    command = ["arm-none-eabi-nm", str(elf)]
    said = subprocess.run(command, env=programs, capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^([0-9a-f]+) \w {name}$", said, re.MULTILINE)
    assert found
    return int(found[1], 16)


def asked_for() -> dict[str, int]:
    """What module.c takes for each function, without its margin."""
    found = re.findall(
        r"^#define STACK_(\w+) \((\d+) \+ MARGIN\)", SOURCE.read_text(), re.MULTILINE
    )
    return {name.lower(): int(size) for name, size in found}


@pytest.fixture(scope="module", params=["rp2040", "stock", "armv6m"])
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    with closing(Board(request.param)) as board:
        yield board


@pytest.fixture(scope="module")
def edge(board: Board) -> Handle:
    assert board.get("birthkey.crypto.p256:BACKENDS")[0] == NATIVE[board.name]
    made: Handle = board.call(MODULE + "Edge", stack(board.name)[0], BELOW, board.name == "armv6m")
    return made


def below(edge: Handle, what: str) -> tuple[int, list[str], int]:
    found: Any = edge.below(what, LEVELS)
    right, texts, changed = found
    print(f"{what}: {right} right, {texts}, {changed} bytes below the stack were changed")
    return right, texts, changed


def test_what_it_asks_for_is_what_it_takes() -> None:
    taken: dict[str, list[int]] = {name: [] for name in FUNCTIONS}
    for name in BOARDS:
        with closing(Board(name)) as board:
            for function in FUNCTIONS:
                taken[function].append(board.call(MODULE + "used", function, *stack(name)))
    print(taken)
    for function, sizes in taken.items():
        assert asked_for()[function] - 48 <= max(sizes) <= asked_for()[function], function


@pytest.mark.parametrize("function", FUNCTIONS)
def test_at_the_end_of_the_stack(board: Board, edge: Handle, function: str) -> None:
    """No further than Python's own calls go there: MicroPython keeps some room below its limit."""
    own = below(edge, "nothing")[2]
    right, texts, changed = below(edge, function)
    assert right > 0
    assert texts == ["RuntimeError: maximum recursion depth exceeded"]
    assert changed <= own


@pytest.mark.parametrize(
    ("what", "refusal"),
    [
        ("mbedtls ecdh", "ValueError: mbed TLS agrees on no key"),
        ("mbedtls verify", "a wrong answer"),  # that it is not valid
    ],
)
def test_mbed_tls_at_the_end_of_the_stack(
    board: Board, edge: Handle, what: str, refusal: str
) -> None:
    if board.name != "armv6m":
        pytest.skip("the module that calls mbed TLS is in QEMU's firmware")
    right, texts, changed = below(edge, what)
    assert right > 0
    assert set(texts) == {"RuntimeError: maximum recursion depth exceeded", refusal}
    assert changed < 256  # by mbed TLS itself, which looks at no limit


def test_the_heap_of_a_pico_ends_below_all_that(board: Board, edge: Handle) -> None:
    if board.name != "rp2040":
        pytest.skip("upstream's heap ends where the stack begins")
    bottom, size = stack("rp2040")
    assert size == 11 * 1024
    end = edge.highest()
    assert bottom - 1024 - 64 <= end <= bottom - 1024
    assert max(below(edge, function)[2] for function in ("nothing", *FUNCTIONS)) < 512
