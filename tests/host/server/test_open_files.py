from __future__ import annotations

import resource

import pytest

from birthkey_host.server import open_files

INFINITY = resource.RLIM_INFINITY


class Limit:
    """The limit on open files of a process that may be root."""

    def __init__(self, soft: int, hard: int, *, root: bool = False, most: int = 1 << 20) -> None:
        self.now, self._root, self._most = (soft, hard), root, most

    def get(self, which: int) -> tuple[int, int]:
        return self.now

    def set(self, which: int, limits: tuple[int, int]) -> None:
        soft, hard = limits
        if soft > hard:
            raise ValueError("current limit exceeds maximum limit")
        if hard > self.now[1] and not self._root:
            raise ValueError("not allowed to raise maximum limit")
        if hard > self._most:
            raise OSError("Operation not permitted")
        self.now = limits


@pytest.mark.parametrize(
    ("limit", "allowed", "then"),
    [
        (Limit(1024, 1 << 20), 10_000, (10_096, 1 << 20)),
        (Limit(1 << 20, 1 << 20), 10_000, (1 << 20, 1 << 20)),
        (Limit(INFINITY, INFINITY), 10_000, (INFINITY, INFINITY)),
        (Limit(1024, 4096), 4000, (4096, 4096)),
        (Limit(1024, 4096, root=True), 10_000, (10_096, 10_096)),
        (Limit(1024, 4096, root=True, most=5000), 4000, (4096, 4096)),
        (Limit(50, 50), 1, (50, 50)),
    ],
    ids=["room", "enough", "no limit", "too few", "root", "too few for root", "hardly any"],
)
def test_limit_is_raised_as_far_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, limit: Limit, allowed: int, then: tuple[int, int]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    assert open_files.allow(10_000) == allowed
    assert limit.now == then
