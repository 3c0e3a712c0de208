"""The one place for what differs between MicroPython's ports and CPython.

Everything else in the package imports `const`, the clocks, `Timer` and `run`
from here and stays the same on every interpreter.
"""

import gc
import os
import sys
import time

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


try:
    from time import sleep_ms, ticks_add, ticks_diff, ticks_ms, ticks_us
except ImportError:  # CPython
    # The same modular arithmetic as MicroPython's: a difference is only meaningful
    # between moments less than half a period apart.
    _PERIOD = 1 << 30

    def ticks_ms():
        return time.monotonic_ns() // 1_000_000 & (_PERIOD - 1)

    def ticks_us():
        return time.monotonic_ns() // 1_000 & (_PERIOD - 1)

    def ticks_add(ticks, delta):
        return (ticks + delta) & (_PERIOD - 1)

    def ticks_diff(end, start):
        return ((end - start + _PERIOD // 2) & (_PERIOD - 1)) - _PERIOD // 2

    def sleep_ms(milliseconds):
        time.sleep(milliseconds / 1000)


class Timer:
    """Milliseconds that run out; they pass between two looks, and only then.

    Ticks wrap, so a moment that is kept is worth nothing after a long pause, and a difference
    of half a period or more comes out negative: then the time is up, however much was left.
    """

    def __init__(self, milliseconds):
        self.start(milliseconds)

    def start(self, milliseconds):
        self._left = milliseconds
        self._looked = ticks_ms()

    def left(self):
        """Look: the milliseconds that are left, 0 when the time is up."""
        now = ticks_ms()
        passed = ticks_diff(now, self._looked)
        self._looked = now
        self._left = max(self._left - passed, 0) if passed >= 0 else 0
        return self._left


try:
    from os import fsync as _fsync

    def sync(file):
        """Push what was written to a file down to the disk."""
        file.flush()
        _fsync(file.fileno())

except ImportError:  # MicroPython: littlefs commits a file when it is closed

    def sync(file):
        file.flush()


if hasattr(os, "ilistdir"):

    def listing(path):
        """(name, bytes; None for a folder) of all that is in the folder, in no order."""
        for entry in os.ilistdir(path):
            name = entry[0]
            if entry[1] & 0x4000:
                yield name, None
            else:
                # littlefs gives the size; asking for it would cost another search in the folder.
                yield name, entry[3] if len(entry) > 3 else os.stat(path + "/" + name)[6]

else:  # CPython

    def listing(path):
        """(name, bytes; None for a folder) of all that is in the folder, in no order."""
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name, None if entry.is_dir() else entry.stat().st_size


try:
    import tls
except ImportError:
    tls = None

# Whether an operating system collects randomness, for whoever asks for it in C.
OS_RANDOM = sys.platform in ("linux", "darwin")


def set_clock(seconds):
    """Set the board's clock to Unix seconds of 2000 to 2099, in UTC; False where it has none.

    The date is reckoned here: `time.gmtime` of some ports ends in 2038, and some count from 2000.
    """
    try:
        from machine import RTC
    except ImportError:
        return False
    days, second = divmod(seconds, 86400)
    # Years begin in March, so that the leap day is the last one. From March 2000 on every fourth
    # year has one, and the months' lengths, from March on, repeat after five of them: 153 days.
    since = days - 11017
    year = (4 * since + 3) // 1461
    day = since - 1461 * year // 4
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 2000 + month // 10
    month = (month + 2) % 12 + 1
    # 1970 began with a Thursday. STM32 takes 1 to 7 for Monday to Sunday, the others reckon it
    # themselves.
    weekday = (days + 3) % 7 + 1
    RTC().datetime(
        (year, month, day + 1, weekday, second // 3600, second // 60 % 60, second % 60, 0)
    )
    return True


def free_heap():
    """Bytes of heap that are free; 0x7FFFFFFF where nobody counts them."""
    return gc.mem_free() if hasattr(gc, "mem_free") else 0x7FFFFFFF


def run(steps):
    """Drive a generator of waiting steps to its end; give what it returns.

    Code that has to wait is written as a generator that yields each time it found
    nothing to do. Synchronous callers drive it with this; asyncio programs with
    `arun`.
    """
    try:
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            sleep_ms(1)
    finally:
        steps.close()  # also when Ctrl-C ends it: MicroPython finalises no generators


async def arun(steps):
    """Drive a generator of waiting steps from an asyncio task; give what it returns."""
    import asyncio

    try:
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            await asyncio.sleep(0.001)
    finally:
        # A cancelled task lets go of the modem at once: MicroPython finalises no generators.
        steps.close()
