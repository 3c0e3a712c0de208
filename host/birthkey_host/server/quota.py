"""How fast one device may store things: token buckets for each, in memory. Times are given.

A boot is kept with the first frame of it, which costs the disk as much as a message does. So boots
have a bucket of their own, or else one message in boot after boot would cost nothing. A board that
restarts in a loop is told busy, keeps its readings, and delivers them all in a boot that counts.

An account is forgotten when its buckets are full again, and not before: what is forgotten would
have a full burst. So there is an account for each device that stored something of late.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field

from birthkey_host.server.bucket import Bucket, Rate


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Generous to a board that comes back with all that it has queued, or wakes to send."""

    messages: Rate = field(default_factory=lambda: Rate(burst=1000, rate=10.0))
    boots: Rate = field(default_factory=lambda: Rate(burst=100, rate=0.1))


_REPEATS = 16
_FORGET = 2  # accounts looked at for each one that is written: so the full ones become fewer


@dataclass(slots=True)
class _Account:
    messages: Bucket
    boots: Bucket
    newest: int
    stored: array[int]  # counters, the last at the end


class Quota:
    """Counts what was stored, so that repeating what is stored costs a device nothing."""

    def __init__(self, limits: QuotaLimits | None = None) -> None:
        self._limits = limits or QuotaLimits()
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()  # who stored last at the end

    def __len__(self) -> int:
        return len(self._accounts)

    def refuses(self, device_id: bytes, counter: int, boot: int, now: float) -> str | None:
        """Why a message in a frame of that boot is one too many, in a sentence; None if it is not.

        Never one of the last that were stored, sent again in a boot that is known.
        """
        account = self._accounts.get(device_id)
        if account is None:
            return None
        if boot > account.newest and account.boots.now(self._limits.boots, now) < 1:
            return "it has started too often"
        if counter in account.stored or account.messages.now(self._limits.messages, now) >= 1:
            return None
        return "it has sent too many messages"

    def spend(
        self, device_id: bytes, counter: int, newest: int, now: float, *, stored: bool, booted: bool
    ) -> None:
        """Count a message that was `stored`, and a boot that was new, or one of the two.

        `newest` is the device's highest boot number after it.
        """
        account = self._accounts.get(device_id)
        if account is None:
            account = self._accounts[device_id] = _Account(
                Bucket(self._limits.messages.burst, now),
                Bucket(self._limits.boots.burst, now),
                newest,
                array("Q"),
            )
        account.newest = newest
        if stored:
            account.messages.spend(self._limits.messages, now)
            account.stored.append(counter)
            del account.stored[:-_REPEATS]
        if booted:
            account.boots.spend(self._limits.boots, now)
        self._accounts.move_to_end(device_id)
        self._forget(now)

    def newest(self, device_id: bytes) -> int:
        """The highest boot number when the device last stored something, 0 if that is forgotten."""
        account = self._accounts.get(device_id)
        return 0 if account is None else account.newest

    def _forget(self, now: float) -> None:
        """Drop those at the front that are full. None is there longer than its buckets fill."""
        for _ in range(_FORGET):
            device_id, account = next(iter(self._accounts.items()))
            full = account.messages.is_full(self._limits.messages, now)
            if not full or not account.boots.is_full(self._limits.boots, now):
                return
            del self._accounts[device_id]
