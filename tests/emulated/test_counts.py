"""What `make bench` counts on emulated boards is the same in every run."""

from __future__ import annotations

import pytest

from bench.emulated import COUNTS, count


@pytest.mark.parametrize("name", ["m3", "rp2040"])
def test_counts_repeat_exactly(name: str) -> None:
    first = count(COUNTS[name])
    assert first["p256.sign"] > first["message"] / 10 > 0
    assert count(COUNTS[name]) == first
