"""A board in QEMU: UART 1 is the modem's, a file plays the flash."""

import sys
from time import ticks_ms

import machine
from machine import UART, mem32, unique_id
from micropython import const
from qemu import Flash

from birthkey import keystore
from birthkey.crypto import entropy

NAME = getattr(sys.implementation, "_build", "qemu").lower()
CONFIG = "/birthkey.json"
STATE = "/birthkey.id"
# os.urandom reads the random number generator of the computer that QEMU runs on. A processor
# that counts instructions instead of time has no jitter to measure.
ENTROPY = (entropy.Source("urandom", entropy.urandom, 4),)
UNIQUE_ID = unique_id()
MODEM = "esp_at"

# Arm's CMSDK watchdog (Cortex-M System Design Kit, chapter 4).
_WATCHDOG_CONTROL = const(0x40008008)
_WATCHDOG_LOCK = const(0x40008C00)
_WATCHDOG_KEY = const(0x1ACCE551)

_mounted = False


def uart():
    return UART(1, 115200)


def mount():
    """Mount littlefs at /, once; KeystoreError when flash is damaged."""
    global _mounted
    if not _mounted:
        keystore.mount(Flash(), "/")
        _mounted = True


class _Watchdog:
    def __init__(self):
        self._wdt = machine.WDT(timeout=8000)
        self.feed = self._wdt.feed

    def release(self):
        mem32[_WATCHDOG_LOCK] = _WATCHDOG_KEY
        mem32[_WATCHDOG_CONTROL] = 0


def watchdog():
    """Resets the board when nobody has called `feed` for 8 s, until `release`; None without one."""
    return _Watchdog() if hasattr(machine, "WDT") else None


def temperature():
    """Degrees Celsius; there is no sensor here, so the clock makes a curve."""
    return 21 + ticks_ms() % 4096 / 1024


def command(body):
    """{"led": true} and {"led": false}: there is no LED here, so it is said."""
    on = body.get("led")
    if len(body) != 1 or not isinstance(on, bool):
        raise ValueError('this board knows {"led": true} and {"led": false}')
    print("the LED is", "on" if on else "off")
    return body
