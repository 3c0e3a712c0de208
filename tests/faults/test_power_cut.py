"""No power cut loses an identity, repeats a boot number or a command, or tears a reading."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from device import device_environment, micropython

SCRIPT = Path(__file__).with_name("power_cut.py")

# What may come of a cut; both kinds must have been seen, or the cuts missed the point.
OUTCOMES = {
    "first boot": {"no key yet", "the key was born"},
    "60 later boots": {"next boot number", "a boot number skipped"},
    "enrolment accepted": {"enrols again", "enrolled"},
    "identity erased": {"still who it was", "another device"},
    "first boot after it": {"no key yet", "the key was born"},
    "12 commands": {
        "begun, and not done",
        "done, and the result is lost",
        "done, and the result is known",
    },
    "8 readings spooled": {"reading not taken", "reading kept"},
    "8 readings acknowledged": {"reading still queued", "reading gone"},
}


def test_every_operation_on_flash_may_be_cut() -> None:
    ran = subprocess.run(
        # The script keeps several flashes at once, each in one piece.
        [micropython(), "-X", "heapsize=32M", str(SCRIPT)],
        env=device_environment(),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *rows, full = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {row["scenario"]: set(row["outcomes"]) for row in rows} == OUTCOMES
    for row in rows:
        assert row["cuts"] == sum(row["outcomes"].values()) >= 9
    assert full["readings"] > 0
    assert full["boots"] == 60
