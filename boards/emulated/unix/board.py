"""MicroPython's Unix port as a board: a pty is its UART, a file its flash.

The environment takes the place of the wiring: BIRTHKEY_UART names the pty,
BIRTHKEY_FLASH the file, BIRTHKEY_CONFIG the configuration, and BIRTHKEY_UNIQUE_ID the
number of the chip, hex digits.
"""

import os
import time
from binascii import unhexlify

from birthkey import keystore
from birthkey.crypto import entropy
from flash import FileFlash
from uart import PtyUart

NAME = "unix"
CONFIG = os.getenv("BIRTHKEY_CONFIG") or "birthkey.json"
STATE = "/flash/birthkey.id"
ENTROPY = entropy.SOURCES
UNIQUE_ID = unhexlify(os.getenv("BIRTHKEY_UNIQUE_ID") or "")


def uart():
    path = os.getenv("BIRTHKEY_UART")
    if not path:
        raise ValueError("BIRTHKEY_UART is not set: it names the pty that the modem is on")
    return PtyUart(path)


def mount():
    """Mount littlefs on the flash file."""
    keystore.mount(FileFlash(os.getenv("BIRTHKEY_FLASH") or "flash.bin"), "/flash")


def reset():
    """Ends with status 1: whoever has started it starts it again."""
    raise SystemExit(1)


def temperature():
    """Degrees Celsius; there is no sensor here, so the clock makes a curve."""
    return 21 + time.ticks_ms() % 4096 / 1024


def command(body):
    """{"led": true} and {"led": false}: there is no LED here, so it is said."""
    on = body.get("led")
    if len(body) != 1 or not isinstance(on, bool):
        raise ValueError('this board knows {"led": true} and {"led": false}')
    print("the LED is", "on" if on else "off")
    return body
