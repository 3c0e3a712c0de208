"""The ticks of a clock by hand, which wrap where a test wants it; runs on the device."""

import sys

import birthkey._port  # noqa: F401

_port = sys.modules["birthkey._port"]
_start, _period = 0, 1 << 30


def choose(before_wrap, period):
    """Have clocks begin so many milliseconds before their first wrap; 0: at 0."""
    global _start, _period
    _start, _period = -before_wrap & period - 1, period


def difference(end, start):
    return ((end - start + _period // 2) & (_period - 1)) - _period // 2


def by(clock, function, *args):
    """Call the function while it is `clock()`, milliseconds that never wrap."""
    kept = _port.ticks_ms, _port.ticks_diff
    _port.ticks_ms = lambda: _start + clock() & _period - 1
    _port.ticks_diff = difference
    try:
        return function(*args)
    finally:
        _port.ticks_ms, _port.ticks_diff = kept


class Timed:
    """A Timer, or what has one, and the clock that it looks at."""

    def __init__(self, make, *args):
        self._now = 0
        module, name = make.split(":")
        __import__(module)
        self._made = by(self._clock, getattr(sys.modules[module], name), *args)

    def _clock(self):
        return self._now

    def wait(self, milliseconds):
        self._now += milliseconds

    def call(self, name, *args):
        return by(self._clock, getattr(self._made, name), *args)
