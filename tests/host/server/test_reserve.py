from __future__ import annotations

import pytest

from birthkey_host.room import Room
from birthkey_host.server.reserve import Reserve, ReserveLimits

M = 1_000_000
LIMITS = ReserveLimits(growth=64 * M)


class Disk:
    """Has as much room as is asked of it."""

    def __init__(self) -> None:
        self.room: Room | None = None
        self.looks = 0

    def __call__(self) -> Room | None:
        self.looks += 1
        return self.room


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.mark.parametrize(
    ("free", "within", "strangers", "growth"),
    [
        (1000, 0, True, True),
        (128, 0, True, True),
        (127, 0, False, True),
        (64, 0, False, True),
        (63, 0, False, False),
        (0, 0, False, False),
        (20, 44, False, True),  # there is room where something was deleted
        (20, 108, True, True),
        (16, 112, True, True),
        (15, 1000, False, False),  # but none for the log
    ],
)
def test_what_is_taken(disk: Disk, free: int, within: int, strangers: bool, growth: bool) -> None:
    reserve = Reserve(disk, LIMITS)
    disk.room = Room(free * M, within * M)
    reserve.look(0.0)
    assert (reserve.no_strangers is None, reserve.no_growth is None) == (strangers, growth)


def test_unknown_room_is_no_obstacle(disk: Disk) -> None:
    reserve = Reserve(disk, LIMITS)
    assert reserve.look(0.0) is None
    assert (reserve.no_strangers, reserve.no_growth) == (None, None)


def test_no_reserve_is_no_obstacle(disk: Disk) -> None:
    reserve = Reserve(disk, ReserveLimits(growth=0))
    disk.room = Room(0, 0)
    assert reserve.look(0.0) is None
    assert (reserve.no_strangers, reserve.no_growth) == (None, None)


def test_it_is_looked_at_once_a_second(disk: Disk) -> None:
    reserve = Reserve(disk, LIMITS)
    disk.room = Room(1000 * M, 0)
    for tenth in range(31):
        reserve.look(tenth / 10)
    assert disk.looks == 4
    reserve.look(-100.0)  # a clock that was set back
    assert disk.looks == 5


def test_log_says_it_once_a_minute_and_when_it_begins(disk: Disk) -> None:
    reserve = Reserve(disk, LIMITS)
    said: dict[int, str] = {}
    for second in range(200):
        disk.room = Room((1000 if second < 10 or 100 <= second < 110 else 100) * M, 0)
        notice = reserve.look(float(second))
        if notice is not None:
            said[second] = notice
    assert list(said) == [10, 70, 110, 170]
    assert said[10] == (
        "takes no new devices that nobody approved: 100 MB are left for the registry, less than"
        " 128 MB; `birthkey prune --before DATE` and `birthkey delete ID` make"
        " room, or start the server with a smaller --reserve"
    )
    disk.room = Room(5 * M, 500 * M)
    assert reserve.look(300.0) == (
        "stores nothing new, and tells boards busy: 5 MB are left for the registry, less than"
        " 16 MB; `birthkey prune --before DATE` and `birthkey delete ID` make"
        " room, or start the server with a smaller --reserve"
    )
