"""The life of a board, from its birth over a kill to two restarts, on each of the boards.

The firmware as it ships, a real server process, and an AT modem between them.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path

import pytest
import serial

from birthkey_host.message import Type
from birthkey_host.registry import Registry, State
from birthkey_host.simulator import Simulator
from birthkey_host.simulator import running as running_modem
from boards.emulated.boards import BOARDS
from boards.emulated.emulator import Emulator
from command import Command
from processes import running as running_process

RESET, WATCHDOG = "machine.reset()", "machine.WDT(timeout=1000)"
RESTARTS = {
    "QEMU_MPS2_AN385": [RESET, WATCHDOG],
    "QEMU_NETDUINO2": [RESET],
    "RPI_PICO": [RESET, WATCHDOG],
}


def cut_power_in_the_middle(board: Emulator, modem: Simulator) -> None:
    """When a frame is on its way, and the board waits for the answer."""
    sent = threading.Event()

    def watch(payload: bytes) -> bytes:
        sent.set()
        return payload

    modem.on_uplink = watch
    board.start(count=None)
    assert sent.wait(30 * board.patience)
    board.kill()
    modem.on_uplink = None


def told(board: Emulator, identity: str, boot: int) -> None:
    """It has the same identity in that boot, and delivers all that it has."""
    board.says(f"device {identity}, boot {boot}$")  # after a prompt, if a watchdog bit
    board.says(f"(?s)boot {boot}$.*^all readings stored$", 40)


@pytest.mark.parametrize("name", BOARDS)
def test_story(name: str, tmp_path: Path) -> None:
    birthkey = Command(tmp_path / "home")
    birthkey("init")
    serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
    with (
        running_process(*serve) as server,
        running_modem(Simulator(ssid="net", password="secret")) as modem,
        BOARDS[name](
            tmp_path / "board",
            modem.port,
            server=server.line().removeprefix("listening on "),
            server_key=birthkey("server-key").strip(),
            modem={"dialect": "esp_at", "ssid": "net", "password": "secret"},
            interval_s=0,
            spool=20_000,
        ) as board,
    ):
        board.start(count=2)
        identity = board.says(r"^device (\w+), boot 1, new key$")[1]
        board.says("pending: this board waits for approval: `birthkey approve`")
        birthkey("approve", identity)
        board.says("^all readings stored$", 40)

        cut_power_in_the_middle(board, modem)
        board.start(count=1)
        told(board, identity, 3)

        restarts = RESTARTS.get(name, [])
        for boot, restart in enumerate(restarts, 4):
            with serial.Serial(board.repl) as port:
                port.write(f"\rimport machine; {restart}\r".encode())
                told(board, identity, boot)

    last = 3 + len(restarts)
    with Registry(f"sqlite:///{birthkey.home}/registry.sqlite3") as registry:
        device = registry.device(bytes.fromhex(identity))
        assert device and device.state is State.ACTIVE
        boots = Counter(row.counter >> 32 for row in registry.messages() if row.type == Type.DATA)
    assert boots[1] == 2
    assert boots[2] >= 1  # the reading that was on its way is not lost
    assert [boots[boot] for boot in range(3, last + 1)] == [1] * (last - 2)
    assert re.search("^enrolled$", board.said, re.MULTILINE)
