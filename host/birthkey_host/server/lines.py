"""Log lines that strangers cause: as many as a disk can bear, and the number of the others."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineLimits:
    """How many lines are written one by one."""

    burst: int = 200  # at once
    rate: float = 5.0  # a second
    source_burst: int = 50  # at once that one source causes
    source_rate: float = 1.0  # a second that one source causes
    sources: int = 1000  # that are remembered


class Lines:
    """Writes to `log`, from any thread. `clock` returns seconds that never go back.

    Somebody calls `sum_up` every now and then, and at the end.
    """

    def __init__(
        self,
        log: logging.Logger,
        limits: LineLimits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._limits = limits or LineLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Bucket(self._limits.burst, clock())
        self._sources: OrderedDict[str, _Bucket] = OrderedDict()
        self._since = clock()
        self._held: Counter[str] = Counter()
        self._held_from: Counter[str] = Counter()

    def write(
        self,
        level: int,
        source: str,
        what: str,
        line: str,
        *arguments: object,
        error: BaseException | None = None,
    ) -> None:
        """Log a line that `source` caused, with the trace of `error`, or count it under `what`."""
        now = self._clock()
        with self._lock:
            written = self._bucket(source, now).take(
                now, self._limits.source_rate, self._limits.source_burst
            ) and self._all.take(now, self._limits.rate, self._limits.burst)
            if not written:
                self._hold(source, what)
        if written:
            self._log.log(level, line, *arguments, exc_info=error)

    def sum_up(self, *, every: float = 0.0) -> None:
        """Log how many lines were held back since this was last done, if any were.

        `every`: seconds that must have passed since then; else nothing is done.
        """
        now = self._clock()
        with self._lock:
            if now - self._since < every:
                return
            held, sources, seconds = self._held, self._held_from, now - self._since
            self._held, self._held_from, self._since = Counter(), Counter(), now
        if held:
            kinds = ", ".join(f"{what} {count}" for what, count in held.most_common())
            [(busiest, count)] = sources.most_common(1)
            self._log.warning(
                "%d more in the last %.0f s, not listed one by one: %s; most from %s, %d",
                held.total(),
                seconds,
                kinds,
                busiest,
                count,
            )

    def _bucket(self, source: str, now: float) -> _Bucket:
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = _Bucket(self._limits.source_burst, now)
            if len(self._sources) > self._limits.sources:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return bucket

    def _hold(self, source: str, what: str) -> None:
        self._held[what] += 1
        if source in self._held_from or len(self._held_from) < self._limits.sources:
            self._held_from[source] += 1


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float

    def take(self, now: float, rate: float, burst: int) -> bool:
        self.left = min(self.left + (now - self.at) * rate, burst)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True
