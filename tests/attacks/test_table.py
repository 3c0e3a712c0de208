"""docs/attacks.md says what the tests try."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TABLE = Path(__file__).with_name("table.py")


def test_the_page_is_up_to_date() -> None:
    ran = subprocess.run(
        [sys.executable, str(TABLE), "--check"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
