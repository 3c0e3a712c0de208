"""Room on the disk that boards may not take, so that people can still put things right.

Who suspends, deletes or prunes needs room: SQLite writes what it changes to its log first, and it
overwrites what it deletes. So when little is left a server takes no new devices, and when less is
left nothing new at all: boards are told busy, and keep their readings. Times are given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from birthkey_host import sizes
from birthkey_host.room import Room


@dataclass(frozen=True, slots=True)
class ReserveLimits:
    """`growth` bytes are kept free of all that boards send; times in seconds."""

    growth: int = 64_000_000
    interval: float = 1.0  # between two looks
    notices: float = 60.0  # between two lines of the log about it

    @property
    def strangers(self) -> int:
        """Bytes below which no device is taken that nobody approved."""
        return 2 * self.growth

    @property
    def log(self) -> int:
        """Bytes of the disk for SQLite's log, which the free part of its file is no room for."""
        return self.growth // 4


class Reserve:
    """Looks at the room by `measure`, which gives None where that cannot be known."""

    def __init__(
        self, measure: Callable[[], Room | None], limits: ReserveLimits | None = None
    ) -> None:
        self._measure = measure
        self._limits = limits or ReserveLimits()
        self._looked: float | None = None
        self._noticed: float | None = None
        self.no_strangers: str | None = None
        """Why no device is taken that nobody approved, in a sentence; None if they are."""
        self.no_growth: str | None = None
        """Why nothing new is stored, in a sentence; None if it is."""

    def look(self, now: float) -> str | None:
        """Measure anew, if it is time; what the log should say of it now, in a sentence."""
        if not _is_over(self._looked, self._limits.interval, now):
            return None
        self._looked = now
        room, limits = self._measure(), self._limits
        self.no_growth = self.no_strangers = None
        if room is not None and room.disk < limits.log:
            self.no_growth = self.no_strangers = _short(room.disk, limits.log)
        elif room is not None:
            left = room.disk + room.file
            self.no_growth = _short(left, limits.growth)
            self.no_strangers = _short(left, limits.strangers)
        return self._notice(now)

    def _notice(self, now: float) -> str | None:
        if self.no_strangers is None:
            self._noticed = None
            return None
        if not _is_over(self._noticed, self._limits.notices, now):
            return None
        self._noticed = now
        what = "takes no new devices that nobody approved"
        if self.no_growth is not None:
            what = "stores nothing new, and tells boards busy"
        why = self.no_growth or self.no_strangers
        return (
            f"{what}: {why}; `birthkey prune --before DATE` and `birthkey delete ID` make room, or"
            " start the server with a smaller --reserve"
        )


def _is_over(since: float | None, interval: float, now: float) -> bool:
    """Whether the time is over; a clock that went back ends it."""
    return since is None or not 0 <= now - since < interval


def _short(left: int, limit: int) -> str | None:
    if left >= limit:
        return None
    return f"{sizes.text(left)} are left for the registry, less than {sizes.text(limit)}"
