"""A token bucket: how often something may be done, on average and at once. Times are given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """What a bucket holds, and how fast it fills."""

    burst: float
    """Tokens of a full bucket."""
    rate: float
    """Tokens that it earns each second."""


@dataclass(slots=True)
class Bucket:
    """`left` tokens at the time `at`, in seconds of any clock. Starts full."""

    left: float
    at: float

    def now(self, limit: Rate, now: float) -> float:
        """The tokens in it. A clock that went back takes none away, and it earns from there on."""
        self.at = min(self.at, now)
        return min(self.left + (now - self.at) * limit.rate, limit.burst)

    def spend(self, limit: Rate, now: float) -> None:
        """Take one out. It may be the last, and more than there are: ask `now` before."""
        self.left = self.now(limit, now) - 1
        self.at = now

    def is_full(self, limit: Rate, now: float) -> bool:
        """Whether it is as good as a new one, so that it may be forgotten."""
        return self.now(limit, now) >= limit.burst
