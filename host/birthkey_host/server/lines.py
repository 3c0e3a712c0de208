"""Log lines that others cause: as many as a disk can bear, and the number of the others."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineLimits:
    """How many lines are written one by one: of what is wrong, and as many of what is not."""

    burst: int = 200  # at once
    rate: float = 5.0  # a second
    source_burst: int = 50  # at once that one source causes
    source_rate: float = 1.0  # a second that one source causes
    sources: int = 1000  # that are remembered
    trace_burst: int = 10  # traces of errors at once
    trace_rate: float = 1 / 60  # of them a second


class Lines:
    """Writes to `log`, from any thread. `clock` returns seconds that never go back.

    Lines below WARNING have limits of their own, so that neither kind drives out the other.
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
        self._since = clock()
        self._wrong = _Budget(self._limits, clock())
        self._usual = _Budget(self._limits, clock())
        self._traces = _Bucket(self._limits.trace_burst, clock())

    def write(
        self,
        level: int,
        source: str,
        what: str,
        line: str,
        *arguments: object,
        error: BaseException | None = None,
    ) -> None:
        """Log a line that `source` caused, or count it under `what`.

        The trace of `error` goes with it, or once there were many, a word of what it is.
        """
        if not self.may(level, source, what):
            return
        if error is not None and not self._may_trace():
            line, arguments, error = f"{line}: %r", (*arguments, error), None
        self._log.log(level, line, *arguments, exc_info=error)

    def may(self, level: int, source: str, what: str) -> bool:
        """Whether a line may be written, which then counts as written; else it is counted."""
        now = self._clock()
        with self._lock:
            return self._budget(level).take(source, what, now)

    def sum_up(self, every: float = 0.0) -> None:
        """Log how many lines were held back since this was last done, if any were.

        `every`: it is done only if that many seconds have passed.
        """
        now = self._clock()
        with self._lock:
            if now - self._since < every:
                return
            seconds, self._since = now - self._since, now
            sums = [
                (logging.WARNING, self._wrong.empty()),
                (logging.INFO, self._usual.empty()),
            ]
        for level, (held, sources) in sums:
            if not held:
                continue
            kinds = ", ".join(f"{what} {count}" for what, count in held.most_common())
            [(busiest, count)] = sources.most_common(1)
            self._log.log(
                level,
                "%d more in the last %.0f s, not listed one by one: %s; most from %s, %d",
                held.total(),
                seconds,
                kinds,
                busiest,
                count,
            )

    def _budget(self, level: int) -> _Budget:
        return self._wrong if level >= logging.WARNING else self._usual

    def _may_trace(self) -> bool:
        now = self._clock()
        with self._lock:
            return self._traces.take(now, self._limits.trace_rate, self._limits.trace_burst)


class _Budget:
    """What may still be written, and what was held back."""

    def __init__(self, limits: LineLimits, now: float) -> None:
        self._limits = limits
        self._all = _Bucket(limits.burst, now)
        self._sources: OrderedDict[str, _Bucket] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._held_from: Counter[str] = Counter()

    def take(self, source: str, what: str, now: float) -> bool:
        limits = self._limits
        bucket = self._bucket(source, now)
        if bucket.take(now, limits.source_rate, limits.source_burst) and self._all.take(
            now, limits.rate, limits.burst
        ):
            return True
        self._held[what] += 1
        if source in self._held_from or len(self._held_from) < limits.sources:
            self._held_from[source] += 1
        return False

    def empty(self) -> tuple[Counter[str], Counter[str]]:
        """What was held back since the last time, by kind and by source."""
        held = self._held, self._held_from
        self._held, self._held_from = Counter(), Counter()
        return held

    def _bucket(self, source: str, now: float) -> _Bucket:
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = _Bucket(self._limits.source_burst, now)
            if len(self._sources) > self._limits.sources:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return bucket


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
