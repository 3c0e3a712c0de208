"""`make demo` goes as told, and says what the README promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent / "demo"

TOLD = (
    "it made its own key",
    "it enrolled over the AT modem; the server lets it wait: pending",
    "five SenML readings signed, sealed, stored and acknowledged",
    "the same identity, boot 2, three more readings",
    "refused by layer seal: the seal does not open",
    "nothing is lost",
    "refused by layer cbor",
    "refused by layer signature: not signed by the key",
    "refused by layer signature: not signed by the key",
    "refused by layer seal: sealed to server",
    "stored once",
    "it cannot read what it gets: sealed to server",
    "the board believes no answer of it, and keeps its reading",
    "refused by layer replay, once both were heard; both are locked out",
    "its readings are stored again",
    "Every step went as told",
)


@pytest.mark.parametrize("board", ["UNIX", "QEMU_MPS2_AN385"])
def test_the_demo_goes_as_told(board: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(DEMO), "--board", board],
        env={**os.environ, "BIRTHKEY_DEMO_HOME": str(tmp_path / "demo")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    position = 0
    for sentence in TOLD:
        position = ran.stdout.find(sentence, position + 1)
        assert position >= 0, f"not said, or out of order: {sentence}\n{ran.stdout}"
    assert "\x1b" not in ran.stdout
