"""What the shipped application says when something is wrong: what, where, and what to do.

The firmware runs as it ships, against a real server process and the modem simulator.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.simulator import Simulator, running
from boards.emulated.unix_port import UnixPort
from command import Command
from processes import Process
from processes import running as running_process

START = Callable[..., UnixPort]


class Installation:
    """A server with its own home, which may be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self.command = Command(home)
        self.command("init")
        self.key = self.command("server-key").strip()
        self.address = "127.0.0.1:0"

    def serve(self, policy: str = "open") -> Any:
        return running_process(
            "--home", str(self.command.home), "serve", "--listen", self.address, "--policy", policy
        )

    def listening(self, process: Process) -> None:
        self.address = process.line().removeprefix("listening on ")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


@pytest.fixture
def server(installation: Installation) -> Iterator[Installation]:
    with installation.serve() as process:
        installation.listening(process)
        yield installation


@pytest.fixture
def modem() -> Iterator[Simulator]:
    with running(Simulator(ssid="net", password="secret")) as modem:
        yield modem


@pytest.fixture
def start(installation: Installation, modem: Simulator, tmp_path: Path) -> Iterator[START]:
    boards = []

    def start(name: str = "board", board: Path | None = None, **configuration: Any) -> UnixPort:
        settings = {
            "server": installation.address,
            "server_key": installation.key,
            "modem": {"dialect": "esp_at", "ssid": "net", "password": "secret"},
            "interval_s": 0.1,
            "count": 1,
            **configuration,
        }
        options = {"board": board} if board else {}
        made = UnixPort(tmp_path / name, modem.port, **options, **settings)
        boards.append(made)
        made.start()
        return made

    yield start
    for board in boards:
        board.kill()


def test_no_modem_answers(server: Installation, modem: Simulator, start: START) -> None:
    modem.mute = True
    start().says("No modem answers: check its power, RX and TX")


def test_the_baud_rate_is_wrong(server: Installation, modem: Simulator, start: START) -> None:
    modem.on_to_board = lambda data: bytes(byte ^ 0xA5 for byte in data)
    start().says("the baud rate looks wrong")


def test_the_wifi_password_is_wrong(server: Installation, start: START) -> None:
    modem = {"dialect": "esp_at", "ssid": "net", "password": "wrong"}
    start(modem=modem).says("Wi-Fi 'net' refused: wrong password")


def test_the_server_cannot_be_reached(server: Installation, modem: Simulator, start: START) -> None:
    modem.refuse_network = True
    board = start()
    board.says(r"No TCP connection to 127.0.0.1 port \d+ .*check that the server runs")
    modem.refuse_network = False
    board.says("^all readings stored$")


def test_the_server_key_is_wrong(server: Installation, start: START) -> None:
    other = ServerKey.generate().public.hex()
    start(server_key=other).says("is the server's key the right one", 30)


def test_the_board_waits_for_approval(installation: Installation, start: START) -> None:
    with installation.serve("approve") as process:
        installation.listening(process)
        start().says("pending: this board waits for approval: `birthkey approve`")


def test_the_board_is_suspended_and_its_readings_wait(server: Installation, start: START) -> None:
    board = start()
    identity = board.says(r"^device (\w+), boot")[1]
    board.says("^all readings stored$")
    server.command("suspend", identity, "--why", "unpaid")
    board.start()
    board.says("1 queued; suspended: the operator has suspended this board: its readings wait")
    server.command("approve", identity)
    board.says("^all readings stored$", 30)


def test_the_board_is_revoked(server: Installation, start: START) -> None:
    board = start()
    identity = board.says(r"^device (\w+), boot")[1]
    board.says("^all readings stored$")
    server.command("revoke", identity, "--why", "stolen")
    board.start()
    board.says("^stopped: .*revoked: the operator has revoked this board for good")


def test_a_command_is_carried_out_once_and_its_result_shown(
    server: Installation, start: START
) -> None:
    board = start()
    identity = board.says(r"^device (\w+), boot")[1]
    board.says("^all readings stored$")
    for command in ('{"led": true}', '{"fly": true}'):
        server.command("send", identity, command)
    board.start(count=2)
    board.says("^command {'led': True}$")
    board.says("^the LED is on$")
    board.says("^command {'fly': True}$")
    board.says("^all readings stored$")
    shown = server.command("show", identity)
    assert "done: {led: true} gave {led: true}, " in shown
    assert 'done: {fly: true} gave failed: "ValueError: this board knows' in shown


def test_the_server_lost_its_registry(installation: Installation, start: START) -> None:
    with installation.serve() as process:
        installation.listening(process)
        board = start()
        board.says("^all readings stored$")
        process.stop(signal.SIGTERM)
    home = installation.command.home
    key = (home / "server.key").read_bytes()
    shutil.rmtree(home)
    installation.command("init")
    (home / "server.key").write_bytes(key)
    with installation.serve("approve") as process:
        installation.listening(process)
        board.start()
        board.says("unknown-device: the server does not know this board|pending", 30)
        board.says("pending: this board waits for approval", 30)


def test_flash_is_full(server: Installation, start: START, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    # Eight blocks: enough for an identity, and for no reading beside it.
    (tmp_path / "small" / "flash.bin").write_bytes(b"\xff" * 4096 * 8)
    start("small", spool=10_000).says("reading 1 lost: flash is full, 0 readings wait")


@pytest.mark.parametrize("damage", [0x00, 0xA5])
def test_flash_is_damaged(server: Installation, start: START, damage: int) -> None:
    board = start()
    board.says("^all readings stored$")
    flash = bytearray(board.flash.read_bytes())
    flash[: 2 * 4096] = bytes([damage]) * (2 * 4096)
    board.flash.write_bytes(flash)
    board.start()
    board.says("^stopped: flash holds data, but no file system that can be read")
    assert board.flash.read_bytes() == bytes(flash)


def test_entropy_is_refused(server: Installation, start: START, tmp_path: Path) -> None:
    folder = tmp_path / "stuck"
    folder.mkdir()
    source = (Path(__file__).parents[2] / "boards/emulated/unix/board.py").read_text()
    stuck = 'ENTROPY = (entropy.Source("ring oscillator", lambda count: b"\\1" * count, 1),)'
    (folder / "board.py").write_text(f"{source}\n\n{stuck}\n")
    board = start(board=folder)
    board.says("^stopped: entropy source 'ring oscillator' failed the repetition count test")
    board.start()
    board.says("^stopped: entropy source 'ring oscillator'")


def test_the_key_was_copied(server: Installation, start: START, tmp_path: Path) -> None:
    board = start()
    board.says("^all readings stored$")
    (tmp_path / "clone").mkdir()
    shutil.copy(board.flash, tmp_path / "clone" / "flash.bin")
    clone = start("clone")
    clone.says("^all readings stored$")
    clone.start()
    clone.says("^all readings stored$")
    board.start()
    board.says("cloned: two boards were heard with this key", 30)
    [device] = server.command("devices").splitlines()[1:]
    assert "cloned" in device


def test_the_configuration_is_wrong(server: Installation, start: START) -> None:
    board = start(server="no port")
    board.says('^stopped: "server" in .*birthkey.json is HOST:PORT$')
    board.start(server=server.address, server_key="12")
    board.says("^stopped: a server key has 128 hex digits")
    board.start(server_key=server.key, modem={"dialect": "hayes"})
    board.says("^stopped: unknown modem dialect 'hayes'")
