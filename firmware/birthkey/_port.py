"""The one place for what differs between MicroPython's ports and CPython.

Everything else in the package imports `const`, the clocks and `run`
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
    """Set the board's clock to Unix seconds, in UTC; False where it has none to set."""
    try:
        from machine import RTC
    except ImportError:
        return False
    # Some ports count from 2000.
    if time.gmtime(0)[0] == 2000:
        seconds -= 946684800
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    # STM32 takes 1 to 7 for Monday to Sunday, the others reckon it themselves.
    RTC().datetime((year, month, day, weekday + 1, hour, minute, second, 0))
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
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        sleep_ms(1)


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
