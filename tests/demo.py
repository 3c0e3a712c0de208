"""`make demo`: the whole story on one machine, nothing in it pretended.

A server with a registry, a modem on a pty that opens real TCP connections, and the firmware in
MicroPython's Unix port with littlefs in a file. A board is born, enrols, is approved, delivers
readings, is killed and goes on; then an attacker tries his hand. Exits 0 only if every step
went as told.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from birthkey_host.keys import ServerKey
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.simulator import Simulator, running
from device import ROOT
from unix_board import BoardStopped, UnixBoard

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


def birthkey(*arguments: str) -> str:
    """Run the command as a person would; its standard output."""
    ran = subprocess.run(
        [BIRTHKEY, "--home", str(HOME), *arguments], capture_output=True, text=True
    )
    if ran.returncode:
        raise StepFailed(f"birthkey {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


class Server:
    """`birthkey serve` as a process of its own, and its log."""

    def __init__(self) -> None:
        self._log = HOME / "server.log"
        self._process = subprocess.Popen(
            [BIRTHKEY, "--home", str(HOME), "serve", "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith("listening on "):
            raise StepFailed(f"the server did not start: {self._log.read_text()}")
        self.address = line.split()[-1]
        self.port = int(self.address.rpartition(":")[2])
        self._seen = 0

    def refusals(self) -> list[tuple[str, str]]:
        """(layer, reason) of what was refused since the last call."""
        text = self._log.read_text()
        fresh, self._seen = text[self._seen :], len(text)
        return re.findall(r"refused (\w+): (.+?) from ", fresh)

    def send(self, frame: bytes) -> bytes | None:
        """Send a frame over a connection of its own; the answer, None for silence."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(len(frame).to_bytes(2, "big") + frame)
            connection.settimeout(2)
            with contextlib.suppress(TimeoutError):
                return connection.recv(4098)[2:] or None
        return None

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


def devices() -> list[dict[str, Any]]:
    return json.loads(birthkey("devices", "--json"))


def readings() -> list[dict[str, Any]]:
    lines = birthkey("messages", "--json").splitlines()
    return [row for row in map(json.loads, lines) if row["type"] == "data"]


def first_boot(board: UnixBoard) -> str:
    step("A board is switched on for the first time")
    board.start(count=5)
    born = board.says(r"^device (\w+), boot (\d+), new key$")
    done(f"it made its own key: device {born[1]}, boot {born[2]}")
    board.says("pending")
    [device] = devices()
    expect("the registry's device", (device["id"], device["state"]), (born[1], "pending"))
    done("it enrolled over the AT modem; the server lets it wait: pending")
    say(birthkey("approve", born[1], "--why", "demo").strip())
    board.says("^reading 5 stored$")
    expect("stored readings", len(readings()), 5)
    done("five SenML readings signed, sealed, stored and acknowledged")
    board.kill()
    return born[1]


def second_boot(board: UnixBoard, device_id: str) -> None:
    step("The board is killed and started again")
    board.start(count=3)
    started = board.says(r"^device (\w+), boot (\d+)$")
    expect("identity and boot number", started.groups(), (device_id, "2"))
    board.says("^reading 3 stored$")
    expect("stored readings", len(readings()), 8)
    done("the same identity, boot 2, three more readings")
    board.kill()


def changed_on_the_uart(board: UnixBoard, server: Server, modem: Simulator) -> bytes:
    """Gives the frame that the board sent in its stead."""
    step("An attacker changes one byte of a frame on the UART")
    frames: list[bytes] = []

    def change_first(payload: bytes) -> bytes:
        frames.append(payload[2:])
        if len(frames) > 1:
            return payload
        return payload[:-20] + bytes([payload[-20] ^ 1]) + payload[-19:]

    modem.on_uplink = change_first
    server.refusals()
    board.start(count=1)
    refused = wait_for("a refusal", server.refusals)
    expect("refusing layer", [layer for layer, _ in refused], ["seal"])
    done(f"refused by layer {refused[0][0]}: {refused[0][1]}")
    board.says("^all readings stored$", 30)
    modem.on_uplink = None
    expect("frames sent", len(frames), 2)
    expect("stored readings", len(readings()), 9)
    done("nothing is lost: the board sealed its reading anew, and it was stored")
    board.kill()
    return frames[1]


def forged(server: Server, device_id: str) -> None:
    step("A second board signs a frame under the first one's id")
    forger = ReferenceDevice(os.urandom(32), server_public(), boot=4)
    forger.kid = bytes.fromhex(device_id)
    refuse(server, forger.frame(forger.message(Type.DATA, {"t": 99.9})), "signature")


def sealed_for_another_server(server: Server) -> None:
    step("A frame that is sealed for another server")
    lost = ReferenceDevice(os.urandom(32), ServerKey.generate().public, boot=1)
    refuse(server, lost.frame(lost.message(Type.DATA, {"t": 99.9})), "seal")


def refuse(server: Server, frame: bytes, layer: str) -> None:
    server.refusals()
    expect("answer", server.send(frame), None)
    refused = wait_for("a refusal", server.refusals)
    expect("refusing layer", [found for found, _ in refused], [layer])
    done(f"refused by layer {layer}: {refused[0][1]}")
    expect("stored readings", len(readings()), 9)


def replayed(server: Server, frame: bytes) -> None:
    step("A recorded frame is sent again, from another connection")
    answer = server.send(frame)
    if answer is None:
        raise StepFailed("replay: no answer")
    expect("stored readings", len(readings()), 9)
    done("stored once: the server answered again, under a seal that only the board can open")


def server_public() -> bytes:
    return bytes.fromhex(birthkey("server-key").strip())


def show() -> None:
    step("What the registry knows")
    sys.stdout.flush()
    for command in ("devices", "messages"):
        subprocess.run([BIRTHKEY, "--home", str(HOME), command], check=True)


def keep(board: UnixBoard) -> None:
    board.start(count=None, interval_s=5)
    step("All of it is left running; Ctrl-C ends it")
    for command in ("devices", "messages --follow", "show ID"):
        say(f"{BIRTHKEY} --home {HOME} {command}")
    say(f"tail -f {HOME}/server.log {HOME}/board/board.log")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextlib.contextmanager
def stage() -> Iterator[tuple[Server, Simulator, UnixBoard]]:
    """Server, modem and board; all are gone at the end."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    step("A server and a modem")
    for line in birthkey("init").splitlines()[:2]:
        say(line)
    with contextlib.ExitStack() as stack:
        server = Server()
        stack.callback(server.stop)
        say(f"birthkey serve listens on {server.address}")
        modem = stack.enter_context(
            running(Simulator(ssid=SSID, password=PASSWORD, link=HOME / "uart"))
        )
        say(f"an ESP-AT modem sits on {modem.port}")
        board = UnixBoard(
            HOME / "board",
            modem.port,
            server=server.address,
            server_key=server_public().hex(),
            modem={"dialect": "esp_at", "ssid": SSID, "password": PASSWORD},
            interval_s=0.2,
        )
        stack.callback(board.kill)
        yield server, modem, board


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave all running at the end")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        with stage() as (server, modem, board):
            device_id = first_boot(board)
            second_boot(board, device_id)
            frame = changed_on_the_uart(board, server, modem)
            forged(server, device_id)
            sealed_for_another_server(server)
            replayed(server, frame)
            show()
            console.print(
                f"\n[bold green]Every step went as told[/], in {time.monotonic() - began:.0f} s."
            )
            if arguments.keep:
                keep(board)
    except (StepFailed, BoardStopped, TimeoutError) as failure:
        console.print(f"\n[bold red]Failed[/]: {escape(str(failure))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
