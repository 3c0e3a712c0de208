"""How much one device may store: a token bucket for each, in memory. No clock; times are given."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Generous to a board that comes back with all that it has queued."""

    rate: float = 10.0  # messages a second, on average
    burst: int = 1000  # messages at once
    devices: int = 10_000  # that are remembered; those who stored something last


_REPEATS = 16


@dataclass(slots=True)
class _Account:
    left: float
    at: float
    newest: int = 0
    stored: deque[int] = field(default_factory=lambda: deque(maxlen=_REPEATS))


class Quota:
    """Counts what was stored, so that repeating what is stored costs a device nothing."""

    def __init__(self, limits: QuotaLimits | None = None) -> None:
        self._limits = limits or QuotaLimits()
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def refuses(self, device_id: bytes, counter: int, now: float) -> bool:
        """Whether a message is one too many; never one of the last that were stored."""
        account = self._accounts.get(device_id)
        if account is None or counter in account.stored:
            return False
        return self._left(account, now) < 1

    def spend(self, device_id: bytes, counter: int, newest: int, now: float) -> None:
        """Count a message that was stored, when `newest` was the device's highest boot number."""
        account = self._accounts.get(device_id)
        if account is None:
            account = self._accounts[device_id] = _Account(self._limits.burst, now)
        account.left = self._left(account, now) - 1
        account.at = now
        account.newest = newest
        account.stored.append(counter)
        self._accounts.move_to_end(device_id)
        if len(self._accounts) > self._limits.devices:
            self._accounts.popitem(last=False)

    def newest(self, device_id: bytes) -> int:
        """The highest boot number when the device last stored something, 0 if that is forgotten."""
        account = self._accounts.get(device_id)
        return 0 if account is None else account.newest

    def _left(self, account: _Account, now: float) -> float:
        earned = max(0.0, now - account.at) * self._limits.rate
        return min(account.left + earned, self._limits.burst)
