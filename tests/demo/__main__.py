"""`make demo`: the whole story on one machine, nothing in it pretended.

A server with a registry, a modem on a pty that opens real TCP connections, and the firmware on an
emulated board, or in MicroPython's Unix port, with littlefs in a file. A board is born, enrols, is
approved, delivers readings, is killed and goes on, and carries out a command; then an attacker
tries his hand. Exits 0 only if every step went as told.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import sys
import time
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[2] / name) for name in ("", "tests/support"))

import attacker
from rich.markup import escape
from stage import (
    BIRTHKEY,
    HOME,
    Stage,
    StepFailed,
    console,
    done,
    expect,
    say,
    stage,
    step,
    wait_for,
)

from boards.build.cache import BuildError
from boards.emulated.boards import BOARDS
from boards.emulated.emulator import BoardStopped


def first_boot(stage: Stage) -> str:
    """The id of the board that is born."""
    step("A board is switched on for the first time")
    stage.board.start(count=5)
    born = stage.board.says(r"^device (\w+), boot (\d+), new key$")
    done(f"it made its own key: device {born[1]}, boot {born[2]}")
    stage.board.says("pending")
    expect("state in the registry", stage.server.device(born[1]).state, "pending")
    done("it enrolled over the AT modem; the server lets it wait: pending")
    say(stage.server.command("approve", born[1], "--why", "demo").strip())
    stage.board.says("^reading 5 stored$", 30)
    expect("readings stored", stage.server.readings(), 5)
    done("five SenML readings signed, sealed, stored and acknowledged")
    if stage.tls:
        done("all of it through TLS, which ends on the board: the modem carries records")
    return born[1]


def second_boot(stage: Stage, device_id: str) -> None:
    step("The board is killed and started again")
    stage.board.start(count=3)
    started = stage.board.says(r"^device (\w+), boot (\d+)$")
    expect("identity and boot number", started.groups(), (device_id, "2"))
    stage.board.says("^reading 3 stored$")
    expect("readings stored", stage.server.readings(), 8)
    done("the same identity, boot 2, three more readings")


def commanded(stage: Stage, device_id: str) -> None:
    step("The operator tells the board something")
    say(stage.server.command("send", device_id, '{"led": true}', "--why", "demo").strip())
    before = stage.server.readings()
    stage.board.start(count=2)
    stage.board.says("^command {'led': True}$", 30)
    stage.board.says("^all readings stored$", 30)
    expect("readings stored", stage.server.readings(), before + 2)

    def done_with() -> str | None:
        shown = stage.server.command("show", device_id)
        found = re.search("^command 1 +(done: .*),", shown, re.MULTILINE)
        return found[1] if found else None

    result = wait_for("the command's result", done_with)
    done("it went down with the answer to the board's next reading, which the board alone can open")
    done(f"the board carried it out, once, and signed the result: {result}")


def under_attack(stage: Stage, device_id: str) -> None:
    sent = attacker.changed_on_the_uart(stage)
    attacker.cut_short(stage)
    attacker.signed_by_another(stage, device_id)
    attacker.enrolled_by_another(stage, device_id)
    attacker.sealed_for_another_server(stage)
    attacker.replayed(stage, sent)
    attacker.fake_server(stage)
    if stage.tls:
        attacker.without_tls(stage)
    attacker.cloned(stage, device_id)
    attacker.replaced(stage, device_id)


def probe(stage: Stage, device_id: str, payloads: list[bytes]) -> None:
    """What went over the UART in the first boot, beside what the server made of it."""
    step("What a probe on the UART saw, and what the registry holds")
    readings = stage.server.messages()[: len(payloads)]
    for payload, reading in zip(payloads, readings, strict=True):
        ends = f"{payload[:5].hex(' ')} … {payload[-8:].hex(' ')}"
        say(f"{ends}  {len(payload)} bytes   {reading}")
    seen = b"".join(data for _, data in stage.recorded.chunks)
    for secret in (b"temperature", bytes.fromhex(device_id), device_id.encode()):
        expect(f"{secret!r} on the UART", seen.count(secret), 0)
    done(f"in all its {len(seen)} bytes there is no word of a reading, and no id of the board")


def keep(stage: Stage) -> None:
    step("All of it is left running; Ctrl-C ends it")
    board = stage.new_board("kept-board")
    board.start(count=None, interval_s=5)
    born = board.says(r"^device (\w+), boot 1, new key$")[1]
    home = stage.server.home
    say("A new board waits for your approval:")
    say(f"{BIRTHKEY} --home {home} approve {born}")
    for command in ("devices", "messages --follow", f"show {born}"):
        say(f"{BIRTHKEY} --home {home} {command}")
    say(f"tail -f {home / 'server.log'} {board.console}")
    if board.repl:
        say(f"{Path(BIRTHKEY).with_name('mpremote')} connect {board.repl}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave all running at the end")
    parser.add_argument("--board", choices=BOARDS, default="UNIX", help="BOARD= of make")
    parser.add_argument("--tls", action="store_true", help="all of it through TLS")
    arguments = parser.parse_args()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all is switched off
    try:
        with stage(arguments.board, arguments.tls) as running:
            device_id = first_boot(running)
            payloads = running.sent()[-5:]
            second_boot(running, device_id)
            commanded(running, device_id)
            under_attack(running, device_id)
            step("What the registry knows")
            running.server.show("devices")
            running.server.show("messages")
            probe(running, device_id, payloads)
            took = time.monotonic() - began
            console.print(f"\n[bold green]Every step went as told[/], in {took:.0f} s.")
            if arguments.keep:
                keep(running)
    except (StepFailed, BoardStopped, BuildError, TimeoutError) as failure:
        console.print(f"\n[bold red]Failed[/]: {escape(str(failure))}")
        console.print(f"Its logs are in {HOME}.")
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; all is switched off.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
