"""`make emulate BOARD=NAME`: switches an emulated board on, and says how to use it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from birthkey_host.simulator import Simulator, running
from boards.build.cache import BuildError
from boards.emulated.boards import BOARDS, provision
from boards.emulated.emulator import CONFIGURATION, BoardStopped, Emulator
from boards.emulated.unix_port import ROOT

MPREMOTE = os.path.relpath(Path(sys.executable).parent / "mpremote")


def hex_digits(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a row of hex digits") from None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make emulate", description=__doc__)
    parser.add_argument("board", metavar="BOARD", nargs="?", choices=BOARDS)
    parser.add_argument("--provision", action="store_true", help="only fetch the emulators")
    # What make is given goes into the environment.
    parser.add_argument(
        "--uart", default=os.environ.get("UART"), help="the modem's tty; else one is simulated"
    )
    parser.add_argument(
        "--flash", default=os.environ.get("FLASH"), help="the folder that its flash is kept in"
    )
    parser.add_argument(
        "--unique-id",
        metavar="HEX",
        type=hex_digits,
        default=os.environ.get("UNIQUE_ID"),
        help="what its chip says it is",
    )
    given = parser.parse_args()
    if not given.board and not given.provision:
        parser.error(f"BOARD is missing: {', '.join(BOARDS)}")
    return given


def describe(board: Emulator, modem: str) -> None:
    """Say where everything is, and what to type."""
    lines = [f"{board.name} is on. Ctrl-C switches it off.", f"  modem    {modem}"]
    if board.repl:
        lines += [
            f"  REPL     {MPREMOTE} connect {board.repl}",
            f"  files    {MPREMOTE} connect {board.repl} fs ls",
            f"  settings make flash BOARD={board.name} PORT={board.repl}",
            f"  console  {board.console}",
        ]
    else:
        lines += ["  REPL     none: mpremote cannot connect to this one; it prints to here"]
        lines += [f"  settings {board.folder / CONFIGURATION}"]
    lines += [f"  flash    {board.flash}, kept for the next time"]
    print("\n".join(lines), flush=True)


def follow(board: Emulator) -> None:
    """Until the board ends: what a board without a REPL prints comes here."""
    shown = 0
    ended = False
    while not ended:
        ended = board.process is None or board.process.poll() is not None
        if not board.repl:
            said = board.said
            print(said[shown:], end="", flush=True)
            shown = len(said)
        time.sleep(0.1)
    print(f"{board.name} has ended.")


def emulate(board_name: str, folder: Path, uart: str | None, unique_id: bytes | None) -> None:
    with contextlib.ExitStack() as stack:
        modem = uart or ""
        if not uart:
            uart = stack.enter_context(running(Simulator())).port
            modem = f"{uart}, a simulated ESP-AT modem; it opens real connections from here"
        board = BOARDS[board_name](folder, uart, unique_id=unique_id)
        with board:
            board.start()
            describe(board, modem)
            follow(board)


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.provision:
            provision()
            return 0
        folder = Path(given.flash or ROOT / "build" / "emulated" / given.board)
        with contextlib.suppress(KeyboardInterrupt):
            emulate(given.board, folder, given.uart, given.unique_id)
    except (BoardStopped, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
