"""A full outbox and back, on each emulated board: in RAM, on flash, and on a full flash."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import pytest

from birthkey_host.message import Type
from birthkey_host.registry import Registry
from birthkey_host.simulator import Simulator
from birthkey_host.simulator import running as running_modem
from boards.emulated.boards import BOARDS
from boards.emulated.emulator import Emulator
from boards.emulated.unix_port import UnixPort
from command import Command
from processes import running as running_process

SCRIPT = Path(__file__).with_name("outage.py")
OUTAGES: dict[str, dict[str, Any]] = {
    "RAM": {"outage": {"outbox": 300}, "free_blocks": None},
    "flash": {"outage": {"spool": 300}, "free_blocks": None},
    "full flash": {"outage": {"spool": 1_000_000}, "free_blocks": 8},
}


def switch_on(board: Emulator) -> None:
    """With the script in the place of the application."""
    if isinstance(board, UnixPort):
        board.configure(board.configuration)
        command, environment = board.interpreter()
        with board.console.open("wb") as console:
            board.process = subprocess.Popen(
                [*command, str(SCRIPT)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**environment, **board.wiring()},
            )
        return
    with board.filesystem() as flash, flash.open("main.py", "wb") as file:
        file.write(SCRIPT.read_bytes())
    board.start()


def stored(home: Path) -> list[int]:
    with Registry(f"sqlite:///{home}/registry.sqlite3") as registry:
        messages = [cbor2.loads(row.message) for row in registry.messages()]
    return [body["n"] for kind, _, body in messages if kind == Type.DATA]


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("name", BOARDS)
def test_outbox_that_an_outage_has_filled(name: str, outage: str, tmp_path: Path) -> None:
    birthkey = Command(tmp_path / "home")
    birthkey("init")
    serve = ("serve", "--listen", "127.0.0.1:0", "--policy", "open")
    with (
        running_process("--home", str(birthkey.home), *serve) as server,
        running_modem(Simulator(ssid="net", password="secret")) as modem,
        BOARDS[name](
            tmp_path / "board",
            modem.port,
            server=server.line().removeprefix("listening on "),
            server_key=birthkey("server-key").strip(),
            modem={"dialect": "esp_at", "ssid": "net", "password": "secret"},
            **OUTAGES[outage],
        ) as board,
    ):
        switch_on(board)
        board.says("^enrolled$", 60)
        modem.refuse_network = True
        modem.drop_connections()
        waiting, lost = board.says(r"^waiting (\d+), lost (.*)$", 120).groups()
        assert int(waiting) > 5
        assert len(json.loads(lost)) == 3
        modem.refuse_network = False
        sent = int(board.says(r"^sent (\d+), waiting 0, lost (.*), problem None$", 180)[1])
        assert "not stored" not in board.said
        assert ("flash is full" in board.said) is (outage == "full flash")
    kept = [number for number in range(1, sent + 1) if number not in json.loads(lost)]
    assert stored(birthkey.home) == kept
