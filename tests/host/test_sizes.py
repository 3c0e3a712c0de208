"""Bytes as people write and read them."""

from __future__ import annotations

import pytest

from birthkey_host import sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("2000000", 2_000_000),
        ("16K", 16_000),
        ("50M", 50_000_000),
        ("50m", 50_000_000),
        ("2G", 2_000_000_000),
        ("1T", 10**12),
    ],
)
def test_parse(text: str, size: int) -> None:
    assert sizes.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "1.5G", "50MB", "5 M", "0x10", "\u00b2", "\u0665M", "1e6", "9" * 16]
)
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of bytes, such as 2000000, 50M or 2G"):
        sizes.parse(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (16_000, "16 kB"), (200_000_000, "200 MB")],
)
def test_text(size: int, text: str) -> None:
    assert sizes.text(size) == text
