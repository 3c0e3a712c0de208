from __future__ import annotations

import pytest

from birthkey_host.server.bucket import Rate
from birthkey_host.server.quota import Quota, QuotaLimits

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
MESSAGES, BOOTS = "it has sent too many messages", "it has started too often"


@pytest.fixture
def quota() -> Quota:
    return Quota(QuotaLimits(messages=Rate(burst=3, rate=2.0), boots=Rate(burst=2, rate=0.1)))


def store(quota: Quota, device: bytes, *counters: int, now: float = 0.0) -> None:
    """In a boot that is known."""
    for counter in counters:
        assert quota.refuses(device, counter, 7, now) is None
        quota.spend(device, counter, 7, now, stored=True, booted=False)


def start(quota: Quota, device: bytes, *boots: int, now: float = 0.0) -> None:
    """Send a message again that is stored, each time in a boot that is new."""
    for boot in boots:
        assert quota.refuses(device, 1, boot, now) is None
        quota.spend(device, 1, boot, now, stored=False, booted=True)


def test_burst_is_free_and_one_more_is_not(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    assert quota.refuses(A, 4, 7, 0.0) == MESSAGES


def test_time_earns_messages(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    assert quota.refuses(A, 4, 7, 0.4)
    store(quota, A, 4, now=0.5)
    assert quota.refuses(A, 5, 7, 0.9)
    store(quota, A, 5, now=1.0)


def test_long_silence_earns_no_more_than_the_burst(quota: Quota) -> None:
    store(quota, A, 1)
    store(quota, A, 2, 3, 4, now=1e6)
    assert quota.refuses(A, 5, 7, 1e6)


def test_clock_that_is_set_back_holds_no_device_up(quota: Quota) -> None:
    """It was years ahead, until somebody put it right."""
    store(quota, A, 1, 2, 3, now=3e8)
    start(quota, A, 8, 9, now=3e8)
    assert quota.refuses(A, 4, 7, 0.0) == MESSAGES
    assert quota.refuses(A, 1, 10, 0.0) == BOOTS
    store(quota, A, 4, 5, 6, now=1.5)
    start(quota, A, 10, now=10.0)


def test_asking_costs_nothing(quota: Quota) -> None:
    store(quota, A, 1)
    for counter in range(100):
        assert quota.refuses(A, counter, 9, 0.0) is None


def test_what_was_stored_of_late_is_never_refused() -> None:
    many = Quota(QuotaLimits(messages=Rate(burst=20, rate=0.0)))
    store(many, A, *range(20))
    free = [counter for counter in range(21) if many.refuses(A, counter, 7, 0.0)]
    assert free == [0, 1, 2, 3, 20]


def test_counters_of_64_bits(quota: Quota) -> None:
    store(quota, A, (1 << 64) - 1, 1, 2)
    assert quota.refuses(A, (1 << 64) - 1, 7, 0.0) is None


def test_one_message_in_boot_after_boot_costs_boots(quota: Quota) -> None:
    store(quota, A, 1)
    start(quota, A, 8, 9)
    assert quota.refuses(A, 1, 10, 0.0) == BOOTS
    assert quota.refuses(A, 1, 10, 9.9) == BOOTS
    start(quota, A, 10, now=10.0)


def test_boot_that_counted_delivers_all_that_waits(quota: Quota) -> None:
    start(quota, A, 8, 9)
    assert quota.refuses(A, 2, 10, 5.0) == BOOTS
    assert [quota.refuses(A, counter, 9, 5.0) for counter in (2, 3, 4)] == [None] * 3
    start(quota, A, 11, now=10.0)
    for counter in (2, 3, 4):
        assert quota.refuses(A, counter, 11, 10.0) is None
        quota.spend(A, counter, 11, 10.0, stored=True, booted=False)


def test_devices_have_quotas_of_their_own(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    store(quota, B, 1, 2, 3)
    assert quota.refuses(A, 4, 7, 0.0) and quota.refuses(B, 4, 7, 0.0)


def test_account_that_is_not_full_is_never_forgotten(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    for number in range(50_000):
        store(quota, number.to_bytes(16, "big"), 1)
    assert quota.refuses(A, 4, 7, 0.0) == MESSAGES
    start(quota, B, 8, 9, now=1.0)
    for number in range(50_000):
        store(quota, number.to_bytes(16, "big"), 2, now=10.0)
    assert quota.refuses(B, 1, 10, 10.0) == BOOTS


def test_accounts_that_are_full_again_are_forgotten(quota: Quota) -> None:
    for number in range(1000):
        store(quota, number.to_bytes(16, "big"), 1, now=number / 100)
    assert len(quota) == 50  # half a second's


def test_forgotten_account_is_like_a_new_one(quota: Quota) -> None:
    store(quota, A, 1)
    store(quota, B, 1, now=5.0)
    assert (len(quota), quota.newest(A)) == (1, 0)
    store(quota, A, 2, 3, 4, now=5.0)
    assert quota.refuses(A, 5, 7, 5.0)


def test_clock_that_goes_back_takes_nothing_away(quota: Quota) -> None:
    store(quota, A, 1, now=100.0)
    store(quota, A, 2, 3, now=50.0)
    assert quota.refuses(A, 4, 7, 50.0)
    store(quota, A, 4, now=50.5)


def test_newest_boot_is_told_again(quota: Quota) -> None:
    assert quota.newest(A) == 0
    store(quota, A, 1)
    assert quota.newest(A) == 7
