"""Device code driven from a test, on the interpreter that the test chooses.

`Interpreter("micropython")` starts MicroPython's Unix port with the firmware on its
path, `Interpreter("cpython")` a CPython of its own; both answer the same calls.
"""

from __future__ import annotations

import builtins
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"


def micropython() -> str:
    """The MicroPython Unix port: `MICROPYTHON=`, or the one beside this interpreter."""
    return os.environ.get("MICROPYTHON") or str(Path(sys.executable).parent / "micropython")


def device_environment() -> dict[str, str]:
    tests = ROOT / "tests"  # with what tests run beside the device code
    paths = f"{FIRMWARE}:{tests}:{tests / 'firmware'}"
    return {
        **os.environ,
        "MICROPYPATH": f"{paths}:{ROOT / 'build' / 'mpylib'}:.frozen",
        "PYTHONPATH": paths,
    }


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

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self._interpreter.call(f"#{self._number}:{name}", *args)


def _pack(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Handle):
        return {"o": value._number}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    if isinstance(value, str):
        return {"s": value.encode().hex()}
    if isinstance(value, list | tuple):
        return {"l": [_pack(item) for item in value]}
    return {"m": [[_pack(key), _pack(item)] for key, item in value.items()]}


class Interpreter:
    def __init__(self, name: str) -> None:
        self.name = name
        # A session's tests share one interpreter, and handles keep their objects alive.
        board = [micropython(), "-X", "heapsize=64M"]
        program = board if name == "micropython" else [sys.executable]
        self._process = subprocess.Popen(
            [*program, str(ROOT / "tests" / "support" / "device_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=device_environment(),
        )

    def _unpack(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((tag, content),) = value.items()
        match tag:
            case "i":
                return int(content)
            case "f":
                return struct.unpack(">d", bytes.fromhex(content))[0]
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
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} died with status {self._process.wait()}")
        answer = json.loads(line)
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
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)
