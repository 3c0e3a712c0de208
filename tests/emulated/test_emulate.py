"""`make emulate`: a board to type into, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from birthkey_host.keys import ServerKey
from boards.emulated.unix_port import ROOT

BIN = Path(sys.executable).parent


@contextmanager
def emulating(board: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """What `make emulate BOARD=... ...` runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boards.emulated", *board.split()],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in settings.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # no signal that it cannot catch: it would leave the emulator running
        process.communicate(timeout=20)


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The line that it prints with this in it."""
    assert process.stdout
    told = ""
    for line in process.stdout:
        told += line
        if found := re.search(pattern, line):
            return found
    raise AssertionError(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_board_is_typed_into_until_it_is_switched_off(
    tmp_path: Path, number: signal.Signals
) -> None:
    with emulating("QEMU_MPS2_AN385", FLASH=tmp_path, UNIQUE_ID="0102030405060708") as process:
        modem = until(process, r"modem +(\S+), a simulated")[1]
        port = until(process, r"mpremote connect (\S+)$")[1]
        assert Path(modem).exists()
        ran = subprocess.run(
            [BIN / "mpremote", "connect", port, "exec", "import board; print(board.UNIQUE_ID)"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stdout == "b'\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08'\n", ran
        assert b"stopped: there is no /birthkey.json" in (tmp_path / "console.log").read_bytes()
        [emulator] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not Path(f"/proc/{emulator}").exists()
    assert (tmp_path / "flash.bin").exists()


def test_board_without_a_repl_prints_to_the_terminal(tmp_path: Path) -> None:
    key = ServerKey.generate().public.hex()
    (tmp_path / "birthkey.json").write_text(
        f'{{"server": "127.0.0.1:1", "server_key": "{key}", "modem": {{"dialect": "esp_at"}}}}'
    )
    for boot in (1, 2):
        with emulating("UNIX", FLASH=tmp_path) as process:
            until(process, "mpremote cannot connect")
            until(process, rf"^device \w+, boot {boot}\b")
            until(process, "The modem is in no network")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("board", "settings", "complaint"),
    [
        ("", {}, "BOARD is missing: UNIX, "),
        ("ESP32", {}, "invalid choice: 'ESP32' .*UNIX"),
        ("UNIX", {"UNIQUE_ID": "xyz"}, "'xyz' is not a row of hex digits"),
    ],
)
def test_what_is_wrong_is_said(board: str, settings: dict[str, str], complaint: str) -> None:
    with emulating(board, **settings) as process:
        until(process, complaint)
        assert process.wait(20) == 2
