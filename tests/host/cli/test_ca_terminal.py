"""`birthkey ca` at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess

from birthkey_host.key_files import KeyFile
from command import Command
from processes import BIRTHKEY

WORD = "correct horse battery"


def test_at_a_terminal_the_password_is_not_shown(nothing: Command) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BIRTHKEY, "--home", str(nothing.home), "ca", "init", "--encrypt"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        for question in (b"current.pem: ", b"confirmation: "):
            while not shown.endswith(question):
                assert select.select([ours], [], [], 20)[0], shown
                shown += os.read(ours, 1000)
            os.write(ours, WORD.encode() + b"\n")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert WORD.encode() not in shown
    assert KeyFile.load(nothing.home / "ca/current.pem").encrypted
