"""From the bench to the first reading: a Cortex-M3 with birthkey's firmware, on a cable.

Its firmware comes with the emulator, so nothing but the configuration is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from birthkey_host.simulator import Simulator, running
from boards.emulated.qemu import Mps2
from command import Command
from flashing import Flash
from processes import running as running_process
from stock_images import mps2

flash = Flash(Mps2.name)


@pytest.fixture
def server(tmp_path: Path) -> Command:
    command = Command(tmp_path / "home")
    command("init")
    return command


@pytest.fixture
def modem(tmp_path: Path) -> Iterator[str]:
    with running(Simulator(ssid="net", password="secret", link=tmp_path / "uart")):
        yield str(tmp_path / "uart")


@pytest.fixture
def board(tmp_path: Path, modem: str) -> Iterator[Mps2]:
    with Mps2(tmp_path / "board", modem) as board:
        board.start()
        yield board


def test_from_the_bench_to_the_first_reading(
    server: Command, board: Mps2, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = json.loads(server("factory", "--port", board.repl, "--label", "Pump 7", "--json"))
    assert (listed["state"], listed["born"], listed["board"]) == (
        "approved",
        True,
        "qemu_mps2_an385",
    )
    serve = ("--home", str(server.home), "serve", "--listen", "127.0.0.1:0", "--policy")
    with running_process(*serve, "allowlist") as process:
        address = process.line().removeprefix("listening on ")
        monkeypatch.setenv("BIRTHKEY_WIFI_PASSWORD", "secret")
        way = ("--server", address, "--server-key", server("server-key").strip())
        said = flash("--port", board.repl, *way, "--modem", "esp_at", "--ssid", "net")
        assert "birthkey  0.1.0, part of the firmware\n" in said
        assert f"device {bytes.fromhex(listed['device']).hex(' ', 2)} is who it was\n" in said
        board.says("^reading 1 stored$", 30)
        assert f"device {listed['device']}, boot 2" in board.said
    assert "\tactive\tPump 7\tqemu_mps2_an385\t" in server("devices")


def test_second_run_writes_nothing(server: Command, board: Mps2) -> None:
    way = ("--server", "192.0.2.1:7155", "--server-key", server("server-key").strip())
    assert "/birthkey.json: written\n" in flash("--port", board.repl, *way, "--modem", "esp_at")
    said = flash("--port", board.repl, *way)
    assert "/birthkey.json: the same\n" in said
    assert said.endswith("everything was there already: nothing was written\n")


def test_identity_goes_when_its_id_is_typed(server: Command, board: Mps2) -> None:
    first = json.loads(server("factory", "--port", board.repl, "--json"))["device"]
    assert flash.fails("--port", board.repl, "--erase-identity", answer="no\n").startswith(
        "that is not its id"
    )
    said = flash("--port", board.repl, "--erase-identity", answer=f"{first}\n")
    assert f"identity {first} is erased" in said
    second = json.loads(server("factory", "--port", board.repl, "--json"))
    assert second["born"]
    assert second["device"] != first


def test_board_whose_flash_is_damaged_is_left_as_it_is(board: Mps2) -> None:
    board.kill()
    board.flash.write_bytes(b"\0" * board.flash_area.end)
    before = board.flash.read_bytes()
    board.start()
    sentence = flash.fails("--port", board.repl)
    assert sentence.startswith("the board says: flash holds data, but no file system that can be")
    board.kill()
    assert board.flash.read_bytes() == before


def test_another_board_is_on_the_port(board: Mps2) -> None:
    sentence = Flash("RPI_PICO").fails("--port", board.repl)
    assert sentence == (
        f"on {board.repl} is mps2-an385 with Cortex-M3, and RPI_PICO is a board with rp2040: say"
        " the right BOARD or PORT"
    )


def test_stock_firmware_that_cannot_carry_it(tmp_path: Path, server: Command) -> None:
    """Upstream's, which has neither clock nor littlefs."""
    with Mps2(tmp_path / "stock", elf=mps2()) as board:
        board.start()
        sentence = flash.fails("--port", board.repl, "--app")
        assert sentence.startswith("this firmware cannot carry birthkey, it has no ")
        assert "no vfs.VfsLfs2" in sentence
        assert "no time.ticks_ms" in sentence
        sentence = server.fails("factory", "--port", board.repl)
        assert sentence.startswith("there is no birthkey on the board")
