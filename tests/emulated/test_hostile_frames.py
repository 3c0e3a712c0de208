"""What anyone can send costs a board little; what only a server can is bounded as well.

`pytest -s` prints the figures of docs/threat-model.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from birthkey_host import cbor, cose
from board_repl import BoardRepl
from boards.emulated.qemu import EXACT_SHIFT, Mps2, exact_instructions
from device import Handle, Interpreter

COUNTER = 1 << 32
COMMAND = 17
FLOOD = b"\xd0\x99\x0f\xfc" + b"\x80" * 4092
IN_FLIGHT = (1 << 32).to_bytes(8)
OTHER_BOOT = (2 << 32).to_bytes(8)
CYCLES_PER_TICK = 125


class Counting(Interpreter):
    """MPS2, on which ticks tell the number of instructions exactly."""

    def _start(self, folder: Path, uart: str | None, heap: list[str]) -> BoardRepl:
        return BoardRepl(Mps2(folder, shift=EXACT_SHIFT))


class Cost(NamedTuple):
    millions: float
    """Of instructions on MPS2, of cycles on the RP2040."""
    heap: int
    """Bytes that were allocated in all, though most are garbage at once."""
    held: int
    """Bytes of the result."""
    text: str | None
    """The error's."""


class Bench:
    def __init__(self, name: str) -> None:
        self.name = name
        self.interpreter = Counting(name) if name == "m3" else Interpreter("RPI_PICO")
        self.board: Handle = self.interpreter.call("emulated.hostile_frames:Board")

    def _said(self, what: str, found: Any) -> Cost:
        ticks, heap, held, text = found
        count = exact_instructions(ticks) if self.name == "m3" else ticks * CYCLES_PER_TICK
        cost = Cost(count / 1e6, heap, held, text)
        print(f"{self.name}: {what}: {cost}")
        return cost

    def cost(self, what: str, frame: bytes) -> Cost:
        """Of opening a frame."""
        return self._said(what, self.board.cost(frame))

    def decode(self, what: str, encoded: bytes) -> Cost:
        """Of the general decoder, with its own budget."""
        return self._said(what, self.board.decode(encoded))

    def close(self) -> None:
        self.interpreter.close()


@pytest.fixture(scope="module", params=["m3", "rp2040"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param)
    yield bench
    bench.close()


def longest(partial_iv: bytes) -> bytes:
    answer = cose.Answer(partial_iv, bytes(12), bytes(1059)).encode()
    assert len(answer) == cose.MAX_ANSWER
    return answer


# Millions of instructions of a Cortex-M3, cycles of an RP2040.
def bound(bench: Bench, instructions: float, cycles: float) -> float:
    return instructions if bench.name == "m3" else cycles


def test_what_is_no_answer_costs_next_to_nothing(bench: Bench) -> None:
    for what, frame in {
        "4,096 bytes of empty lists": FLOOD,
        "1,095 of them": FLOOD[:1095],
        "an answer that is one byte too long": longest(IN_FLIGHT) + b"\0",
        "4,096 zeros": bytes(4096),
        "one byte": b"\xd0",
    }.items():
        millions, heap, held, text = bench.cost(what, frame)
        assert text
        assert text.startswith("an answer ")
        assert heap <= 512
        assert held <= 256
        assert millions < bound(bench, 0.05, 0.1)


def test_an_answer_of_another_boot_costs_next_to_nothing(bench: Bench) -> None:
    millions, heap, held, text = bench.cost(
        "the longest answer, of another boot", longest(OTHER_BOOT)
    )
    assert text == "an answer to no frame that is under way"
    assert heap <= 768
    assert held <= 256
    assert millions < bound(bench, 0.05, 0.12)


def test_an_answer_that_is_not_authentic_costs_its_authentication(bench: Bench) -> None:
    millions, heap, held, text = bench.cost("the longest answer, not authentic", longest(IN_FLIGHT))
    assert text == "not authentic"
    assert heap <= 4096
    assert held <= 256
    assert millions < bound(bench, 0.5, 1.0)


def listed(item: bytes, count: int) -> bytes:
    """{0: newest, 1: {0: [so many items]}}"""
    head = bytes([0x98, count]) if count < 256 else b"\x99" + count.to_bytes(2)
    return b"\xa2\x00\x01\x01\xa1\x00" + head + item * count


WORST = {
    "empty lists": b"\x80",
    "empty maps": b"\xa0",
    "lists of a list": b"\x81\x80",
    "floats of 16 bits, subnormal": b"\xf9\x00\x01",
    "floats of 32 bits": b"\xfa\x7f\x7f\xff\xff",
    "integers of 64 bits": b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "negative integers of 64 bits": b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
    "text of one character": b"\x61a",
    "text of a character of 4 bytes": b"\x64\xf0\x90\x8d\x88",
    "bytes": b"\x41\x00",
    "maps of a number": b"\xa1\x00\x00",
    "maps of a text": b"\xa1\x61a\x61b",
}


def test_the_worst_authentic_commands_are_bounded(bench: Bench) -> None:
    bodies = {}
    for what, item in WORST.items():
        items = len(cbor_items(item))
        bodies[what] = listed(item, min(253 // items, 1018 // len(item)))
    deep = b"\x81" * 4
    bodies["lists as deep as they may be"] = listed(deep + b"\x00", 253 // 5)
    bodies["one long text"] = b"\xa2\x00\x01\x01\xa1\x00\x79\x03\xf8" + "€".encode() * 338 + b"ab"
    bodies["an item too many"] = listed(b"\x80", 255)
    bodies["1,000 empty lists"] = listed(b"\x80", 1000)
    for what, body in bodies.items():
        bench.board.seal()
        bench.board.acknowledge()
        frame = bench.board.answer(COMMAND, 5, body)
        assert len(frame) <= cose.MAX_ANSWER
        millions, heap, held, text = bench.cost(f"command, {what}", frame)
        too_many = what in ("an item too many", "1,000 empty lists")
        assert text == ("CBOR: more than 263 items" if too_many else None), what
        assert held <= 16 * 1024, what
        assert heap <= 64 * 1024, what
        assert millions < bound(bench, 8.0, 16.0), what


def cbor_items(encoding: bytes) -> list[None]:
    from birthkey_host.message import items

    return [None] * items(cbor.loads(encoding))


def test_the_general_decoder_is_bounded_for_each_byte(bench: Bench) -> None:
    for what, item in WORST.items():
        count = min(2047 // len(cbor_items(item)), 3797 // len(item), 500)
        encoded = b"\x99" + count.to_bytes(2) + item * count
        millions, heap, held, text = bench.decode(f"{count} {what}", encoded)
        assert text is None
        assert held / len(encoded) < 40, what
        assert millions * 1e6 / len(encoded) < bound(bench, 15_000, 30_000), what
    millions, heap, held, text = bench.decode("2,048 empty lists", b"\x99\x08\x00" + b"\x80" * 2048)
    assert text == "CBOR: more than 2048 items"
    assert heap <= 512
    assert millions < bound(bench, 0.05, 0.1)


def test_an_answer_that_the_heap_is_too_little_for_is_noise(bench: Bench) -> None:
    """And the next one opens."""
    bench.board.seal()
    bench.board.acknowledge()
    frame = bench.board.answer(COMMAND, 5, listed(b"\x80", 250))
    assert bench.board.starved(frame, 6000) == "an answer that memory is too little for"
    assert bench.cost("the same, later", frame)[3] is None
