"""A crowd that connects and says nothing cannot keep boards out; a hundred places stand for all."""

from __future__ import annotations

import statistics

import pytest

from faults.crowd import Crowd


@pytest.mark.parametrize("moving", [0.0, 5.0], ids=["silent", "hello"])
def test_fewer_addresses_than_places_push_nobody_out(moving: float) -> None:
    crowd = Crowd(addresses=90, rate=50, delay=3.0, places=100, moving=moving, boards=5)
    at_first, waits = crowd.run(200)
    assert at_first == 1.0
    assert max(waits) == pytest.approx(3.0)


@pytest.mark.parametrize("moving", [0.0, 5.0], ids=["silent", "hello"])
def test_board_is_served_though_all_others_come_and_go_while_it_connects(moving: float) -> None:
    """In the three seconds that it needs, half as many again come as there are places."""
    crowd = Crowd(addresses=1000, rate=50, delay=3.0, places=100, moving=moving, boards=5)
    at_first, waits = crowd.run(300)
    assert at_first > 0.05
    assert statistics.median(waits) < 60
    assert max(waits) < 1800


def test_crowd_a_tenth_as_fast_is_hardly_noticed() -> None:
    crowd = Crowd(addresses=1000, rate=5, delay=3.0, places=100, boards=5)
    at_first, waits = crowd.run(400)
    assert at_first > 0.75
    assert statistics.median(waits) == pytest.approx(3.0)
