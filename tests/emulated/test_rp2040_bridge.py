"""The emulated RP2040 as a board: it does what the chip does, and what it must for the tests."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boards.build import firmware
from boards.emulated.rp2040 import Rp2040, provision
from flash_journal import operations
from rp2040_board import ECHO, Wire, repl

MPREMOTE = str(Path(sys.executable).parent / "mpremote")
HERE = Path(__file__).parent
# Any point of the curve is a server's key: this one is its base point.
SERVER_KEY = (
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
NOT_CONFIGURED = "stopped: there is no /birthkey.json"
CONFIGURATION: dict[str, Any] = {
    "server": "127.0.0.1:1",
    "server_key": SERVER_KEY,
    "modem": {"dialect": "esp_at", "ssid": "", "password": ""},
}
BLANK = b"\xff" * Rp2040.flash_area.end


@pytest.fixture(scope="module")
def image() -> Path:
    return firmware.image("RPI_PICO").flashable


@pytest.fixture
def board(image: Path, tmp_path: Path) -> Iterator[Rp2040]:
    """A board that has formatted its flash, and is on."""
    with Rp2040(tmp_path / "board", image=image) as board:
        board.start()
        board.says(NOT_CONFIGURED)
        yield board


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def mpremote(board: Rp2040, *arguments: str) -> str:
    """What mpremote prints."""
    ran = subprocess.run(
        [MPREMOTE, "connect", board.repl, *arguments], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_core_agrees_with_rp2040js() -> None:
    ran = subprocess.run(
        ["node", str(HERE / "rp2040_core.mjs"), "30000", "1"],
        env={**os.environ, "RP2040_MODULES": str(provision())},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("30000 instructions gave the same")


def test_mpremote_works_as_on_a_board(board: Rp2040, tmp_path: Path) -> None:
    here = tmp_path / "notes.txt"
    here.write_text("kept\n" * 1000)
    mpremote(board, "cp", str(here), ":notes.txt")
    assert "5000 notes.txt" in mpremote(board, "ls")
    back = tmp_path / "back.txt"
    mpremote(board, "cp", ":notes.txt", str(back))
    assert back.read_text() == here.read_text()
    said = mpremote(board, "mount", str(tmp_path), "exec", "print(open('notes.txt').read(4))")
    # The second line goes around the buffer that the first one may still be in.
    assert sorted(said.splitlines()) == [
        f"Local directory {tmp_path} is mounted at /remote",
        "kept",
    ]
    assert mpremote(board, "exec", "import machine; print(machine.freq())") == "125000000\n"
    mpremote(board, "reset")
    board.says(f"(?s){NOT_CONFIGURED}.*{NOT_CONFIGURED}")
    assert "5000 notes.txt" in mpremote(board, "ls")
    assert board.statistics()["boots"] == 2


def test_ctrl_c_stops_the_frozen_application(image: Path, tmp_path: Path) -> None:
    with Rp2040(tmp_path, image=image, **CONFIGURATION) as board:
        board.start()
        board.says("^device")
        with repl(board) as there:
            assert there.ask("print(1 + 1)") == 2


def test_flash_outlives_a_kill(board: Rp2040) -> None:
    with repl(board) as there:
        there.run("with open('/kept', 'w') as file: file.write('here')")
    board.kill()
    with board.filesystem() as flash:
        with flash.open("/kept") as file:
            assert file.read() == "here"
        with flash.open("/given", "w") as file:
            file.write("there")
    board.switch_on()
    board.says(NOT_CONFIGURED)
    with repl(board) as there:
        assert there.ask("print(repr(open('/kept').read() + open('/given').read()))") == "herethere"


def test_journal_tells_what_is_on_flash(image: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Rp2040(tmp_path / "board", image=image, journal=journal) as board:
        board.start()
        board.says(NOT_CONFIGURED)
        with repl(board) as there:
            there.run("with open('/file', 'wb') as file: file.write(bytes(range(256)) * 40)")
            # It is killed while it writes; from then on the journal and the flash stand still.
            there._transport.exec_raw_no_follow(
                "while True:\n  with open('/other', 'wb') as file: file.write(bytes(999))"
            )
            time.sleep(2)
        board.kill()
    done = operations(journal)
    assert {operation.kind for operation in done} == {"erase", "program"}
    assert all(operation.offset >= board.flash_area.offset for operation in done)
    found = board.flash.read_bytes()[board.flash_area.offset :]
    expected = bytearray(BLANK)
    for operation in done[:-1]:
        operation.apply(expected, len(operation.data))
    before = bytes(expected)[board.flash_area.offset :]
    done[-1].apply(expected, len(done[-1].data))
    # The last one is noted before it is done.
    assert found in (bytes(expected)[board.flash_area.offset :], before)
    with board.filesystem() as flash, flash.open("/file", "rb") as file:
        assert file.read() == bytes(range(256)) * 40


def test_firmware_is_refreshed_and_files_are_not(image: Path, board: Rp2040) -> None:
    with repl(board) as there:
        there.run("with open('/kept', 'w') as file: file.write('here')")
    board.kill()
    content = bytearray(board.flash.read_bytes())
    firmware_before = bytes(content[:4096])
    content[:4096] = bytes(4096)
    board.flash.write_bytes(content)
    board.switch_on()
    board.says(NOT_CONFIGURED)
    board.kill()
    assert board.flash.read_bytes()[:4096] == firmware_before
    with board.filesystem() as flash:
        assert flash.listdir("/") == ["kept"]


@pytest.mark.parametrize("baud", [115200, 921600])
def test_uart_loses_nothing_in_either_direction(
    baud: int, wire: Wire, image: Path, tmp_path: Path
) -> None:
    data = random.Random(baud).randbytes(baud // 10)  # what takes a second on the wire
    with Rp2040(tmp_path, wire.tty, image=image) as board:
        board.start()
        board.says(NOT_CONFIGURED)
        with repl(board) as there:
            there._transport.exec_raw_no_follow(ECHO.format(baud=baud, count=len(data)))
            board.says("^.*ready$")
            assert wire.exchange(data, len(data), 60) == data
            out, error = there._transport.follow(timeout=10)
        [_, sent] = board.statistics()["uarts"]
    assert error == b""
    assert sent == {"sent": len(data), "received": len(data), "overruns": 0, "missed": 0}
    microseconds = int(out.split()[-1])
    assert microseconds == pytest.approx(1e6, rel=0.05)


def test_uart_overruns_when_nobody_empties_its_fifo(
    wire: Wire, image: Path, tmp_path: Path
) -> None:
    code = """
from machine import UART, disable_irq, enable_irq
from time import sleep_ms, ticks_us, ticks_diff
uart = UART(1, 115200, tx=4, rx=5, rxbuf=2048)
print("ready")
while not uart.any():
    pass
state = disable_irq()
start = ticks_us()
while ticks_diff(ticks_us(), start) < 20_000:
    pass
enable_irq(state)
sleep_ms(200)
print(uart.any())
"""
    with Rp2040(tmp_path, wire.tty, image=image) as board:
        board.start()
        board.says(NOT_CONFIGURED)
        with repl(board) as there:
            there._transport.exec_raw_no_follow(code)
            board.says("^.*ready$")
            wire.send(bytes(500))
            out, error = there._transport.follow(timeout=10)
        [_, counted] = board.statistics()["uarts"]
    assert error == b""
    # In 20 ms 230 bytes come in, and 32 of them fit.
    assert 180 < counted["overruns"] < 210
    assert int(out.split()[-1]) + counted["overruns"] == counted["received"] == 500


def test_resets_and_their_causes(board: Rp2040) -> None:
    cause = "import machine; print(machine.reset_cause() == machine.{})"
    with repl(board) as there:
        assert there.ask(cause.format("PWRON_RESET")) is True
        there._transport.exec_raw_no_follow("machine.reset()")
    board.says(f"(?s){NOT_CONFIGURED}.*{NOT_CONFIGURED}")
    with repl(board) as there:
        assert there.ask(cause.format("WDT_RESET")) is True
        there._transport.exec_raw_no_follow(
            "machine.WDT(timeout=500)\nopen('/fed', 'w').close()\nwhile True: pass"
        )
    board.says(f"(?s)({NOT_CONFIGURED}.*){{3}}")
    with repl(board) as there:
        assert there.ask(cause.format("WDT_RESET")) is True
        assert there.ask("import os; print(os.listdir('/'))") == ["fed"]
    assert board.statistics()["boots"] == 3


def test_unique_id_is_given_or_of_the_folder(image: Path, tmp_path: Path) -> None:
    said = set()
    for name, given in (("one", None), ("two", None), ("three", bytes(range(8)))):
        with Rp2040(tmp_path / name, image=image, unique_id=given) as board:
            board.start()
            board.says(NOT_CONFIGURED)
            with repl(board) as there:
                found = there.ask("import machine; print(machine.unique_id())")
            assert found == board.unique_id
            said.add(found)
    assert len(said) == 3


def test_randomness_comes_from_where_it_is_told_to(image: Path, tmp_path: Path) -> None:
    collect = """
import board
from birthkey.crypto import entropy
try:
    print(repr(entropy.collect(board.ENTROPY)))
except entropy.EntropyError as error:
    print(repr(str(error)))
"""

    def collected(name: str, rosc: str = "host", adc: str = "host") -> Any:
        with Rp2040(tmp_path / name, image=image, rosc=rosc, adc=adc) as board:
            board.start()
            board.says(NOT_CONFIGURED)
            with repl(board) as there:
                return there.ask(collect)

    assert len({collected("host 1"), collected("host 2")}) == 2
    assert "'ring oscillator' failed the repetition count test" in collected("o", rosc="ones")
    assert "'ADC noise' failed the repetition count test" in collected("a", adc="ones")


def test_temperature_is_that_of_a_room(board: Rp2040) -> None:
    with repl(board) as there:
        celsius = there.ask("import board; print([board.temperature() for _ in range(50)])")
    assert 19 < min(celsius) < max(celsius) < 24
    assert len(set(celsius)) > 1


def test_a_free_run_repeats_to_the_cycle(image: Path, tmp_path: Path) -> None:
    """The birth of a key, which is the same one each time."""
    ran = []
    for number, seed in enumerate((b"a", b"a", b"b")):
        journal = tmp_path / f"journal {number}"
        with Rp2040(
            tmp_path / f"board {number}",
            image=image,
            unique_id=bytes(8),
            journal=journal,
            seed=seed,
            stop_at=", new key",
            **CONFIGURATION,
        ) as board:
            board.start()
            board.wait(60)
        counted = board.statistics()
        del counted["host_seconds"]
        ran.append((counted, board.said, journal.read_bytes()))
    assert ran[0] == ran[1]
    assert ran[0][1] != ran[2][1]


def test_waiting_takes_as_long_as_on_a_board(board: Rp2040) -> None:
    with repl(board) as there:
        for code in ("time.sleep(2)", "for _ in range(2000): time.sleep_ms(1)"):
            start = time.monotonic()
            there.run(f"import time\n{code}")
            # The board catches up with up to 5 ms that its emulator lost before.
            assert 1.99 <= time.monotonic() - start < 4


def test_statistics_at_the_end(board: Rp2040) -> None:
    assert board.process
    board.process.send_signal(signal.SIGTERM)
    board.process.wait(10)
    counted = board.statistics()
    assert counted["boots"] == 1 and counted["flash"]["erasures"] >= 2
    assert counted["cycles"] > counted["instructions"] > 1_000_000


def test_does_not_outlive_who_started_it(board: Rp2040) -> None:
    assert board.process and board.process.stdin
    board.process.stdin.close()
    assert board.process.wait(10) == 0
