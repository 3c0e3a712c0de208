from __future__ import annotations

import pytest

from birthkey_host.server.quota import Quota, QuotaLimits

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


@pytest.fixture
def quota() -> Quota:
    return Quota(QuotaLimits(rate=2.0, burst=3, devices=2))


def store(quota: Quota, device: bytes, *counters: int, now: float = 0.0) -> None:
    for counter in counters:
        assert not quota.refuses(device, counter, now)
        quota.spend(device, counter, 7, now)


def test_burst_is_free_and_one_more_is_not(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    assert quota.refuses(A, 4, 0.0)


def test_time_earns_messages(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    assert quota.refuses(A, 4, 0.4)
    store(quota, A, 4, now=0.5)
    assert quota.refuses(A, 5, 0.9)
    store(quota, A, 5, now=1.0)


def test_long_silence_earns_no_more_than_the_burst(quota: Quota) -> None:
    store(quota, A, 1)
    store(quota, A, 2, 3, 4, now=1e6)
    assert quota.refuses(A, 5, 1e6)


def test_asking_costs_nothing(quota: Quota) -> None:
    store(quota, A, 1)
    for counter in range(100):
        assert not quota.refuses(A, counter, 0.0)


def test_what_was_stored_of_late_is_never_refused(quota: Quota) -> None:
    many = Quota(QuotaLimits(rate=0.0, burst=20))
    store(many, A, *range(20))
    assert [counter for counter in range(21) if many.refuses(A, counter, 0.0)] == [0, 1, 2, 3, 20]


def test_devices_have_quotas_of_their_own(quota: Quota) -> None:
    store(quota, A, 1, 2, 3)
    store(quota, B, 1, 2, 3)
    assert quota.refuses(A, 4, 0.0) and quota.refuses(B, 4, 0.0)


def test_few_devices_are_remembered_those_of_late(quota: Quota) -> None:
    store(quota, A, 1, 2)
    store(quota, B, 1, 2, 3)
    store(quota, A, 3)
    store(quota, C, 1)
    assert len(quota) == 2
    assert quota.refuses(A, 4, 0.0) and not quota.refuses(B, 4, 0.0)


def test_clock_that_goes_back_takes_nothing_away(quota: Quota) -> None:
    store(quota, A, 1, now=100.0)
    store(quota, A, 2, 3, now=50.0)
    assert quota.refuses(A, 4, 50.0)
    store(quota, A, 4, now=50.5)


def test_newest_boot_is_told_again(quota: Quota) -> None:
    assert quota.newest(A) == 0
    store(quota, A, 1)
    assert quota.newest(A) == 7
