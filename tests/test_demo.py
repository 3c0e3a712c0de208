"""`make demo` goes as told, and says what the README promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent / "demo"

FIRST = (
    "it made its own key",
    "it enrolled over the AT modem; the server lets it wait: pending",
    "five SenML readings signed, sealed, stored and acknowledged",
)
SECOND = (
    "the same identity, boot 2, three more readings",
    "command 1 waits for ",
    "it went down with the answer to the board's next reading",
    "the board carried it out, once, and signed the result: done: {led: true} gave {led: true}",
)
ATTACKS = (
    "refused by layer cbor",
    "refused by layer signature: not signed by the key",
    "refused by layer signature: not signed by the key",
    "refused by layer seal: sealed to server",
)
LAST = (
    "refused by layer replay, once both were heard; both are locked out",
    "its readings are stored again",
    "there is no word of a reading, and no id of the board",
    "Every step went as told",
)
PLAIN = (
    *FIRST,
    *SECOND,
    "refused by layer seal: the seal does not open",
    "nothing is lost",
    *ATTACKS,
    "stored once",
    "it cannot read what it gets: sealed to server",
    "the board believes no answer of it, and keeps its reading",
    *LAST,
)
TLS = (
    *FIRST,
    "all of it through TLS, which ends on the board",
    *SECOND,
    "TLS ends it: closed the TLS connection from 127.0.0.1: what it sent was changed on its way",
    "nothing is lost",
    *ATTACKS,
    "TLS ends it: closed the TLS connection from 127.0.0.1: what it sent was changed on its way",
    "the board refuses its certificate: another CA signed it, and nothing was sent",
    "a board that is set up for TLS speaks TLS, or not at all",
    "the server refuses it, and says why: tls-required",
    *LAST,
)


@pytest.mark.parametrize("told", [PLAIN, TLS], ids=["plain", "TLS"])
@pytest.mark.parametrize("board", ["UNIX", "QEMU_MPS2_AN385"])
def test_the_demo_goes_as_told(board: str, told: tuple[str, ...], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(DEMO), "--board", board, *(["--tls"] if told is TLS else [])],
        env={**os.environ, "BIRTHKEY_DEMO_HOME": str(tmp_path / "demo")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    position = 0
    for sentence in told:
        position = ran.stdout.find(sentence, position + 1)
        assert position >= 0, f"not said, or out of order: {sentence}\n{ran.stdout}"
    assert "\x1b" not in ran.stdout
