"""Device code driven from a test, on the interpreter or the board that the test chooses.

`Interpreter("micropython")` starts MicroPython's Unix port with the firmware on its path,
`Interpreter("cpython")` a CPython of its own, `Interpreter("RPI_PICO")` that emulated board; all
answer the same calls.
"""

from __future__ import annotations

import builtins
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from board_repl import BoardRepl
from boards.emulated.boards import BOARDS
from boards.emulated.unix_port import (
    FIRMWARE,
    ROOT,
    UNIX,
    UnixPort,
    micropython,
    search_path,
)

TESTS = ROOT / "tests"
WORKER = TESTS / "support" / "device_worker.py"


def device_paths(*board: Path) -> dict[str, str]:
    """Where either interpreter finds the firmware, and what tests put beside it."""
    beside = (*board, TESTS, TESTS / "firmware")
    return {
        "MICROPYPATH": search_path(*beside),
        "PYTHONPATH": ":".join(map(str, (FIRMWARE, *beside))),
    }


def device_environment() -> dict[str, str]:
    return {**os.environ, **device_paths()}


class DeviceError(Exception):
    """An exception of the device code that CPython has no built-in class for."""

    def __init__(self, name: str, bases: list[str], text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.bases, self.text = name, bases, text


def _exception(name: str, bases: list[str], text: str) -> Exception:
    if name.startswith("Unicode"):  # a ValueError that takes more than a text
        return ValueError(text)
    kind = getattr(builtins, name, None)
    return DeviceError(name, bases, text) if kind is None else kind(text)


class Handle:
    """An object that lives in the interpreter; its methods are called there."""

    def __init__(self, interpreter: Interpreter, number: int) -> None:
        self._interpreter, self._number = interpreter, number
        weakref.finalize(self, interpreter._dropped.append, number)

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self._interpreter.call(f"#{self._number}:{name}", *args)


def _float_bytes(value: float) -> bytes:
    """32 bits where they are enough: some boards have no more."""
    try:
        single = struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">d", value)
    exact = math.isnan(value) or struct.unpack(">f", single)[0] == value
    return single if exact else struct.pack(">d", value)


def _pack(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Handle):
        return {"o": value._number}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": _float_bytes(value).hex()}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    if isinstance(value, str):
        return {"s": value.encode().hex()}
    if isinstance(value, list | tuple):
        return {"l": [_pack(item) for item in value]}
    return {"m": [[_pack(key), _pack(item)] for key, item in value.items()]}


class Piped:
    """The worker as a process of this machine: lines go through pipes."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [*command, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(request)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the interpreter died with status {self._process.wait()}")
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


class Interpreter:
    def __init__(self, name: str, uart: str | None = None, heap: str = "64M") -> None:
        """`name` is cpython, micropython, or that of an emulated board, which has a UART too.

        `heap` is for the Unix port: other boards have what they have.
        """
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="birthkey-")
        self._worker = self._start(Path(self._folder.name), uart, ["-X", f"heapsize={heap}"])
        self._dropped: list[int] = []

    def _start(self, folder: Path, uart: str | None, heap: list[str]) -> Piped | BoardRepl:
        if self.name == "cpython":
            return Piped([sys.executable], device_environment())
        if self.name == "micropython":
            return Piped([micropython(), *heap], device_environment())
        board = BOARDS[self.name](folder, uart)
        if not isinstance(board, UnixPort):
            return BoardRepl(board)
        command, environment = board.interpreter()
        return Piped([*command, *heap], {**environment, **board.wiring(), **device_paths(UNIX)})

    def _unpack(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((tag, content),) = value.items()
        match tag:
            case "i":
                return int(content)
            case "f":
                raw = bytes.fromhex(content)
                return struct.unpack(">d" if len(raw) == 8 else ">f", raw)[0]
            case "b":
                return bytes.fromhex(content)
            case "s":
                return bytes.fromhex(content).decode()
            case "l":
                return [self._unpack(item) for item in content]
            case "m":
                return {self._unpack(key): self._unpack(item) for key, item in content}
        return Handle(self, content)

    def _ask(self, request: dict[str, Any]) -> Any:
        # What the test has dropped is dropped there too: boards have little memory.
        dropped = [self._dropped.pop() for _ in range(len(self._dropped))]
        message = json.dumps({**request, "drop": dropped})
        answer = json.loads(self._worker.ask(f"{len(message)}\n{message}"))
        if "error" in answer:
            raise _exception(answer["error"], answer["bases"], answer["text"])
        return self._unpack(answer["value"])

    def call(self, target: str, *args: Any) -> Any:
        """Call `package.module:function` there; its exceptions are raised here."""
        return self._ask({"target": target, "args": [_pack(argument) for argument in args]})

    def get(self, target: str) -> Any:
        """Read `package.module:name` there."""
        return self._ask({"target": target})

    def close(self) -> None:
        self._worker.close()
        self._folder.cleanup()
