"""What a large registry costs: `python tests/bench/scale.py`, some 20 minutes and 5 GB in TMPDIR.

Makes two registries in a temporary folder, a fleet's and one of a single device with long readings,
and runs the commands on them, each as a process of its own. While the database is changed, a server
stores a reading every 20 ms: how long it waits is what boards notice. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, text

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from birthkey_host.enrolment import Open  # noqa: E402
from birthkey_host.keys import ServerKey  # noqa: E402
from birthkey_host.message import Message, Type  # noqa: E402
from birthkey_host.reference_device import ReferenceDevice  # noqa: E402
from birthkey_host.registry import Registry  # noqa: E402
from birthkey_host.schema import Boot, Device, State, StoredMessage  # noqa: E402
from recording import Server, data  # noqa: E402

BIRTHKEY = """
import atexit, pathlib, re, sys

memory = pathlib.Path(sys.argv.pop())

def tell():
    status = pathlib.Path("/proc/self/status").read_text()
    memory.write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

atexit.register(tell)
from birthkey_host.cli import main
main()
"""
"""The command; the memory that it took, in KiB, goes into the file of its last argument."""
LONG = 1000
"""Bytes of a long reading's body."""
LONG_AGO = 1_700_000_000.0
BATCH = 10_000
EVERY = 0.02


def fill(registry: Registry, devices: int, messages: int, body: dict[str, Any]) -> None:
    """Rows as they are stored, of devices that take turns; the signatures are noise."""
    names = [number.to_bytes(4, "big") * 4 for number in range(devices)]
    # As if each was sealed and signed: the registry does not look at that again.
    frame = {"boot": 1, "enc": os.urandom(65), "server_id": bytes(16)}

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(messages):
            name, sequence = names[number % devices], number // devices
            encoded = Message(Type.DATA, (1 << 32) + sequence, body).encode()
            yield frame | {
                "number": number + 1,
                "device_id": name,
                "counter": (1 << 32) + sequence,
                "type": 1,
                "message": encoded,
                "sha256": os.urandom(32),
                "signed_frame": os.urandom(100) + encoded,
                "received": LONG_AGO + number / 100,
            }

    known = (
        {
            "device_id": name,
            "thumbprint": name + name,
            "public_key": os.urandom(64),
            "board": "RPI_PICO",
            "firmware": "1.0",
            "state": State.ACTIVE,
            "created": LONG_AGO,
            "last_seen": LONG_AGO,
            "newest": 1,
            "frames": 1 + messages // devices,
            "command_id": 0,
        }
        for name in names
    )
    boots = (
        frame | {"device_id": name, "signed_frame": os.urandom(300), "received": LONG_AGO}
        for name in names
    )
    with registry._engine.begin() as connection:
        for table, source in ((Device, known), (Boot, boots), (StoredMessage, rows())):
            batch: list[dict[str, Any]] = []
            for row in source:
                batch.append(row)
                if len(batch) == BATCH:
                    connection.execute(insert(table), batch)
                    batch = []
            if batch:
                connection.execute(insert(table), batch)
        if hasattr(Registry, "position"):
            connection.execute(text(f"UPDATE registry SET position = {messages}"))


@dataclass
class Load:
    """A server that stores a reading every 20 ms, and notes what each took."""

    path: Path
    times: list[float] = field(default_factory=list)
    busy: int = 0
    longest_log: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        key = ServerKey.generate()
        log = Path(f"{self.path}-wal")
        with Registry(f"sqlite:///{self.path}") as registry:
            server = Server(key, registry, Open())
            board = ReferenceDevice.generate(key.public)
            server.enrol(board)
            while not stop.wait(EVERY):
                outcome = server.receive(board.frame(data(board)))
                began = time.perf_counter()
                verdict = server.record(outcome, time.time())
                self.times.append(time.perf_counter() - began)
                self.busy += verdict.reason is not None
                self.longest_log = max(self.longest_log, log.stat().st_size)

    def __str__(self) -> str:
        ordered = sorted(self.times)
        if not ordered:
            return "-"
        middle, most = (ordered[int(len(ordered) * share)] for share in (0.5, 0.95))
        return (
            f"{1000 * middle:.1f} / {1000 * most:.0f} / {1000 * ordered[-1]:.0f} ms,"
            f" busy {self.busy} of {len(ordered)}, log {self.longest_log / 1e6:.0f} MB"
        )


def run(home: Path, *arguments: str) -> tuple[float, int, int]:
    """Seconds, bytes of memory at the most, and lines printed."""
    began = time.perf_counter()
    memory = home / "memory"
    command = [sys.executable, "-c", BIRTHKEY, "--home", str(home), *arguments, str(memory)]
    with (home / "printed").open("wb") as printed:
        subprocess.run(command, stdout=printed, check=True)
    seconds = time.perf_counter() - began
    took = int(memory.read_text()) << 10
    lines = sum(1 for _ in (home / "printed").open("rb"))
    return seconds, took, lines


def make(home: Path, devices: int, messages: int, body: dict[str, Any]) -> Path:
    home.mkdir()
    run(home, "init")
    path = home / "registry.sqlite3"
    with Registry(f"sqlite:///{path}") as registry:
        fill(registry, devices, messages, body)
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--long", type=int, default=250_000)
    parser.add_argument("--skip", nargs="*", default=[])
    options = parser.parse_args()
    table = Table("command", "seconds", "memory, MB", "lines", "median / 95 % / longest wait")

    def measure(home: Path, *arguments: str, load: bool = False) -> None:
        if arguments[0] in options.skip:
            return
        others = Load(home / "registry.sqlite3")
        if load:
            with others.running():
                time.sleep(1)
                figures = run(home, *arguments)
        else:
            figures = run(home, *arguments)
        seconds, memory, lines = figures
        shown = " ".join("ID" if len(word) == 32 else word for word in arguments)
        cells = shown, f"{seconds:.1f}", f"{memory / 1e6:.0f}", str(lines), str(others)
        table.add_row(*cells)
        print(*cells, sep="\t", flush=True)

    with tempfile.TemporaryDirectory(dir=os.environ.get("BIRTHKEY_BENCH")) as folder:
        if options.messages:
            fleet = Path(folder) / "fleet"
            path = make(fleet, options.devices, options.messages, {"t": 21.5, "rh": 40})
            print(f"{path.stat().st_size / 1e6:.0f} MB, the fleet's registry", flush=True)
            some = (7).to_bytes(4, "big").hex() * 4
            others = Load(path)
            with others.running():
                time.sleep(10)
            print("nothing else", others, sep="\t", flush=True)
            measure(fleet, "messages")
            measure(fleet, "messages", "--device", some)
            measure(fleet, "show", some)
            measure(fleet, "messages", "--json", "--limit", str(options.messages), load=True)
            measure(fleet, "backup", str(Path(folder) / "copy"), load=True)
            measure(fleet, "prune", "--before", "2025-01-01", load=True)
        if options.long:
            single = Path(folder) / "single"
            path = make(single, 1, options.long, {"blob": bytes(LONG)})
            print(f"{path.stat().st_size / 1e6:.0f} MB, one device's registry", flush=True)
            measure(single, "messages", "--device", "00" * 16)
            measure(single, "delete", "00" * 16, load=True)
    Console().print(table)


if __name__ == "__main__":
    main()
