"""What people can still do with a registry when boards have filled its disk, which has 24 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("full_disk.py")
SUPPORT = SCRIPT.parent.parent / "support"
DISK = 24_000_000
MOUNTED = ["unshare", "--user", "--map-root-user", "--mount"]
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


def on_a_small_disk(folder: Path, *command: str) -> str:
    """What a command prints that finds a disk of its own at `folder`."""
    try:
        done = subprocess.run(
            [*MOUNTED, "sh", "-c", MOUNT, "sh", str(DISK), str(folder), *command],
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file systems of one's own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(folder: Path, reserve: int) -> dict[str, object]:
    printed = on_a_small_disk(
        folder, sys.executable, str(SCRIPT), str(folder / "home"), str(reserve)
    )
    said = json.loads(printed)
    assert isinstance(said, dict)
    return said


def test_reserve_leaves_room_for_people(tmp_path: Path) -> None:
    said = filled(tmp_path, 8_000_000)
    assert (said["first"], said["more"], said["stranger"]) == (100, 0, "busy")
    assert 5_000_000 < int(str(said["free"])) < 8_000_000
    assert said["taken after that"] == 0
    assert " is suspended; " in str(said["suspend"])
    assert said["prune"] == "101 messages deleted"
    assert str(said["delete"]).endswith(f" with {int(str(said['filled'])) + 1} messages")
    assert said["then"] == 50  # messages are stored again


def test_without_it_nothing_makes_room_again(tmp_path: Path) -> None:
    said = filled(tmp_path, 0)
    assert (said["more"], said["stranger"]) == (0, "busy")
    assert int(str(said["free"])) < 100_000
    for command in ("prune", "delete"):
        assert str(said[command]).endswith("database or disk is full")
