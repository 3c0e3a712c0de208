from __future__ import annotations

import pytest

from birthkey_host.origins import networks
from birthkey_host.server.newcomers import NewcomerLimits, Newcomers

HERE, THERE = networks("192.0.2.1"), networks("192.0.2.2")
HOUR = 3600.0


@pytest.fixture
def newcomers() -> Newcomers:
    """Five at once from one address, one an hour, and four times as many of all."""
    return Newcomers(NewcomerLimits(at_once=5, origins=4))


def take(newcomers: Newcomers, source: str, count: int, now: float = 0.0) -> int:
    """How many of so many are taken."""
    where = networks(source)
    taken = 0
    for _ in range(count):
        if newcomers.refuses(where, now) is None:
            newcomers.spend(where, now)
            taken += 1
    return taken


def test_address_has_a_burst_and_a_rate(newcomers: Newcomers) -> None:
    assert take(newcomers, "192.0.2.1", 50) == 5
    assert newcomers.refuses(HERE, 0.0) == "too many new devices came from 192.0.2.1"
    assert newcomers.refuses(THERE, 0.0) is None
    assert take(newcomers, "192.0.2.1", 50, 2 * HOUR) == 2


def test_all_together_have_a_burst_and_a_rate(newcomers: Newcomers) -> None:
    assert sum(take(newcomers, f"192.0.2.{number}", 1) for number in range(50)) == 20
    assert newcomers.refuses(HERE, 0.0) == "too many new devices came"
    assert sum(take(newcomers, f"192.0.2.{number}", 1, HOUR) for number in range(50)) == 4


def test_addresses_of_one_subscriber_count_together() -> None:
    newcomers = Newcomers(NewcomerLimits(at_once=5, origins=100))
    assert sum(take(newcomers, f"2001:db8:1:2::{number:x}", 1) for number in range(50)) == 5
    assert sum(take(newcomers, f"2001:db8:1:{number:x}::1", 1) for number in range(50)) == 5
    assert sum(take(newcomers, f"2001:db8:1:{number:x}00::1", 1) for number in range(50)) == 10


def test_asking_costs_nothing(newcomers: Newcomers) -> None:
    for _ in range(100):
        assert newcomers.refuses(HERE, 0.0) is None
    assert take(newcomers, "192.0.2.1", 5) == 5


def test_buckets_that_are_full_again_are_forgotten_and_no_others() -> None:
    newcomers = Newcomers(NewcomerLimits(at_once=5, origins=10_000))
    for number in range(20_000):
        take(newcomers, f"10.0.{number >> 8}.{number & 255}", 1)
    take(newcomers, "192.0.2.1", 5)
    assert len(newcomers) == 20_001
    assert newcomers.refuses(HERE, 0.0)
    take(newcomers, "192.0.2.2", 1, HOUR)
    assert len(newcomers) == 2
    assert take(newcomers, "192.0.2.1", 5, HOUR) == 1


def test_common_bucket_bounds_what_is_remembered(newcomers: Newcomers) -> None:
    for hour in range(100):
        for number in range(100):
            take(newcomers, f"10.{hour}.0.{number}", 1, hour * HOUR)
    assert len(newcomers) <= 20


def test_clock_that_goes_back_takes_nothing_away(newcomers: Newcomers) -> None:
    assert take(newcomers, "192.0.2.1", 3, 1e9) == 3
    assert take(newcomers, "192.0.2.1", 3, 0.0) == 2


def test_clock_that_is_set_back_holds_nobody_up(newcomers: Newcomers) -> None:
    """It was years ahead, until somebody put it right."""
    ahead = 10 * 365 * 24 * HOUR
    assert take(newcomers, "192.0.2.1", 50, ahead) == 5
    assert take(newcomers, "192.0.2.1", 50, 0.0) == 0
    assert take(newcomers, "192.0.2.1", 50, 2 * HOUR) == 2
    assert len(newcomers) == 1
    take(newcomers, "192.0.2.2", 1, 100 * HOUR)
    assert len(newcomers) == 1  # the other one is full again, and forgotten
