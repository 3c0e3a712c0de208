"""How many new devices are taken that nobody approved or gave a claim code. Times are given.

Each is a row and audit events for ever, or under the policy `open` a device with a quota of its
own. So each origin, and all of them together, have a bucket of new devices. Buckets that are full
again are forgotten, and others not; what is spent of the common one bounds how many those are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from birthkey_host.origins import Network
from birthkey_host.server.bucket import Bucket, Rate

HOUR = 3600.0
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class NewcomerLimits:
    """A workshop's boards on one day, from one address."""

    at_once: int = AT_ONCE
    """New devices of one address; it earns a fifth as many each hour."""
    origins: int = 10
    """How many times as many of all addresses."""

    def rate(self, share: int) -> Rate:
        """What `share` addresses may bring together."""
        return Rate(burst=self.at_once * share, rate=self.at_once * share / 5 / HOUR)


class Newcomers:
    """The buckets of new devices."""

    def __init__(self, limits: NewcomerLimits | None = None) -> None:
        self._limits = limits or NewcomerLimits()
        self._all = self._limits.rate(self._limits.origins)
        self._total = Bucket(self._all.burst, 0.0)
        self._buckets: OrderedDict[str, tuple[Bucket, Rate]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def refuses(self, networks: Sequence[Network], now: float) -> str | None:
        """Why one more from there is one too many, in a sentence; None if it is not."""
        for network in networks:
            found = self._buckets.get(network.name)
            if found is not None and found[0].now(found[1], now) < 1:
                return f"too many new devices came from {network.name}"
        return "too many new devices came" if self._total.now(self._all, now) < 1 else None

    def spend(self, networks: Sequence[Network], now: float) -> None:
        """Count a device that was taken."""
        self._total.spend(self._all, now)
        for network in networks:
            bucket, rate = self._buckets.get(network.name) or self._new(network, now)
            bucket.spend(rate, now)
            self._buckets.move_to_end(network.name)
        while self._buckets:
            name, (bucket, rate) = next(iter(self._buckets.items()))
            if not bucket.is_full(rate, now):
                return
            del self._buckets[name]

    def _new(self, network: Network, now: float) -> tuple[Bucket, Rate]:
        rate = self._limits.rate(network.share)
        self._buckets[network.name] = bucket = Bucket(rate.burst, now), rate
        return bucket
