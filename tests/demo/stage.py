"""What the demonstration plays on: a server, a modem, boards, and a console to tell it on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from birthkey_host.message import Type
from birthkey_host.registry import Registry
from birthkey_host.schema import Device
from birthkey_host.simulator import Direction, Recorder, Simulator, running
from boards.build import firmware
from boards.emulated.boards import BOARDS
from boards.emulated.emulator import Emulator
from device import ROOT

HOME = Path(os.environ.get("BIRTHKEY_DEMO_HOME") or ROOT / "build" / "demo")
BIRTHKEY = str(Path(sys.executable).parent / "birthkey")
SSID, PASSWORD = "demo", "correct horse"

console = Console(highlight=False, soft_wrap=True)


class StepFailed(Exception):
    """A step did not go as told; the text says which and how."""


def step(title: str) -> None:
    console.print(f"\n[bold]{escape(title)}[/]")


def say(text: str) -> None:
    console.print("  " + escape(text))


def done(text: str) -> None:
    console.print(f"  [green]ok[/] {escape(text)}")


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `condition` gives once it is true; StepFailed when that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StepFailed(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise StepFailed(f"{what}: {found!r}, expected {wanted!r}")


class Server:
    """`birthkey serve` as a process of its own, with its home, its command and its log.

    `plain` is its address without TLS; `address` is what boards are told, `ca` what they trust.
    """

    def __init__(self, home: Path, tls: bool) -> None:
        self.home = home
        self.told = self.command("init")
        self.public_key = self.command("server-key").strip()
        self.ca: str | None = None
        serve = ["--listen", "127.0.0.1:0"]
        if tls:
            self.command("ca", "init")
            self.command("ca", "issue", "127.0.0.1")
            self.ca = (home / "ca.pem").read_text()
            serve += ["--require-tls", "--tls-listen", "127.0.0.1:0"]
        self._log = home / "server.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [BIRTHKEY, "--home", str(home), "serve", *serve],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.plain = self._listens("listening on ")
        self.address = self._listens("listening for TLS on ") if tls else self.plain
        self._seen = 0

    def _listens(self, on: str) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith(on):
            raise StepFailed(f"the server did not start: {self._log.read_text()}")
        return line.removeprefix(on).strip()

    def command(self, *arguments: str) -> str:
        """Run `birthkey` as a person would; its standard output."""
        ran = subprocess.run(
            [BIRTHKEY, "--home", str(self.home), *arguments], capture_output=True, text=True
        )
        if ran.returncode:
            raise StepFailed(f"birthkey {' '.join(arguments)}: {ran.stderr.strip()}")
        return ran.stdout

    def show(self, *arguments: str) -> None:
        """Run `birthkey`, and let it print for itself."""
        sys.stdout.flush()
        subprocess.run([BIRTHKEY, "--home", str(self.home), *arguments], check=True)

    def device(self, device_id: str) -> Device:
        """What the registry knows of a device."""
        with self._registry() as registry:
            found = registry.device(bytes.fromhex(device_id))
        if found is None:
            raise StepFailed(f"the registry does not know {device_id}")
        return found

    def readings(self) -> int:
        """How many readings are stored."""
        with self._registry() as registry:
            return sum(row.type == Type.DATA for row in registry.messages())

    def _registry(self) -> Registry:
        return Registry(f"sqlite:///{self.home}/registry.sqlite3")

    def refusals(self) -> list[tuple[str, str]]:
        """(layer, reason) of what was refused since the last call."""
        text = self._log.read_text()
        fresh, self._seen = text[self._seen :], len(text)
        return re.findall(r"refused (\w+): (.+?) from ", fresh)

    def send(self, frame: bytes) -> bytes | None:
        """Send a frame over a connection of its own; the answer, None for silence."""
        with self.connect() as connection:
            if self.ca:  # anybody may speak TLS with it: who he is, only the frame says
                context = ssl.create_default_context(cadata=self.ca)
                connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
            connection.sendall(len(frame).to_bytes(2, "big") + frame)
            connection.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                return connection.recv(4098)[2:] or None
        return None

    def messages(self) -> list[str]:
        """The stored readings, the oldest first, as `birthkey messages` prints their bodies."""
        lines = self.command("messages", "--json").splitlines()
        rows = [json.loads(line) for line in lines]
        return [
            json.dumps(row["body"], separators=(",", ":")) for row in rows if row["type"] == "data"
        ]

    def connect(self) -> socket.socket:
        """A connection to where boards connect to."""
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=5)

    def logged(self, pattern: str, seconds: float = 20.0) -> str:
        """The line that it logs about that, at the latest by then."""

        def last() -> str | None:
            lines = self._log.read_text().splitlines()
            about = [line for line in lines if re.search(pattern, line)]
            return about[-1] if about else None

        line: str = wait_for(f"{pattern!r} in the server's log", last, seconds)
        return line.split(maxsplit=3)[-1]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


class Stage:
    """All that runs. `board` is the genuine one; more are made with `new_board`."""

    def __init__(self, exits: contextlib.ExitStack, board_name: str, tls: bool) -> None:
        self._exits, self.board_name, self.tls = exits, board_name, tls
        self.server = self.new_server("server")
        self.recorded = Recorder()
        """Whoever has a probe on the modem's UART."""
        self.modem = exits.enter_context(
            running(
                Simulator(ssid=SSID, password=PASSWORD, link=HOME / "uart", record=self.recorded)
            )
        )
        self.board = self.new_board("board")

    def new_server(self, name: str) -> Server:
        server = Server(HOME / name, self.tls)
        self._exits.callback(server.stop)
        return server

    def sent(self) -> list[bytes]:
        """What the board has had the modem send so far, a payload each time."""
        heard = self.recorded.bytes_of(Direction.FROM_BOARD)
        payloads = []
        at = 0
        while command := re.compile(rb"AT\+CIPSEND=\d,(\d+)\r\n").search(heard, at):
            at = command.end() + int(command[1])
            payloads.append(heard[command.end() : at])
        return payloads

    def refused(self) -> list[tuple[str, str]]:
        """What the server refuses next: (layer, reason)."""
        patience = 20 * self.board.patience
        refusals: list[tuple[str, str]] = wait_for("a refusal", self.server.refusals, patience)
        return refusals

    def new_board(self, name: str) -> Emulator:
        """A board on the modem, switched off."""
        tls = {"tls": True, "ca": self.server.ca} if self.tls else {}
        board = BOARDS[self.board_name](
            HOME / name,
            self.modem.port,
            server=self.server.address,
            server_key=self.server.public_key,
            modem={"dialect": "esp_at", "ssid": SSID, "password": PASSWORD},
            interval_s=0.2,
            **tls,
        )
        self._exits.callback(board.kill)
        return board


@contextlib.contextmanager
def stage(board_name: str, tls: bool) -> Iterator[Stage]:
    """A server and a modem that run and a board that does not; all are gone at the end."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    if board_name in firmware.names():
        step(f"Firmware for {board_name}")
        say(f"{firmware.image(board_name).flashable}, built now if it was not there yet")
    step("A server and a modem")
    with contextlib.ExitStack() as exits:
        made = Stage(exits, board_name, tls)
        for line in made.server.told.splitlines()[:2]:
            say(line)
        say(f"birthkey serve listens on {made.server.address}{', for TLS' if tls else ''}")
        if tls:
            shown = made.server.command("ca", "show").splitlines()
            say(f"its certificate is of a CA of its own, which the boards are given: {shown[0]}")
        say(f"an ESP-AT modem sits on {made.modem.port}")
        yield made
