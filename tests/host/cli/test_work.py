"""The progress of long works, as a person sees it."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from birthkey_host.reference_device import ReferenceDevice
from command import Command
from processes import BIRTHKEY
from recording import Server, data


def at_a_terminal(*arguments: str) -> bytes:
    """What a command draws there."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [BIRTHKEY, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(theirs)
        drawn = b""
        while True:
            try:
                drawn += os.read(ours, 65536)
            except OSError:  # so a terminal ends
                break
        assert process.wait(60) == 0, drawn
        return drawn
    finally:
        os.close(ours)


@pytest.mark.parametrize("command", ["backup", "delete"])
def test_progress_is_drawn_and_not_spelt(
    birthkey: Command, server: Server, enrolled: ReferenceDevice, tmp_path: Path, command: str
) -> None:
    server(enrolled, data(enrolled))
    target = {"backup": str(tmp_path / "copy"), "delete": enrolled.device_id.hex()}[command]
    drawn = at_a_terminal("--home", str(birthkey.home), command, target)
    assert b"\x1b[?25l" in drawn and b"\x1b[?25h" in drawn  # the cursor goes, and comes back
    assert rb"\u001b" not in drawn
