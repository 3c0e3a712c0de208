"""Raspberry Pi Pico and Pico W: the modem is on UART 1, README.md has the wiring.

Written for firmware of our own and for stock MicroPython alike.
"""

import os
import sys
import time

from machine import ADC, UART, WDT, Pin, mem32, unique_id
from micropython import const
from rp2 import Flash

from birthkey import keystore
from birthkey.crypto import entropy

_TX = const(4)
_RX = const(5)
_RESET = const(2)
_RESET_MS = const(20)
_RXBUF = const(1024)  # what comes in while the board signs: 90 ms at 115200 bits a second

_SENSOR = const(4)  # the ADC's channel with the temperature sensor on it
_RANDOMBIT = const(0x4006001C)  # of the ring oscillator
_PAGE = const(256)

_WATCHDOG_MS = const(8000)
_WATCHDOG_CTRL = const(0x40058000)  # RP2040 data sheet, section 4.7.6
_WATCHDOG_ENABLE = const(0x40000000)
_CLEAR = const(0x3000)  # section 2.1.2: what is written there clears these bits

# rpi_pico or rpi_pico_w; firmware older than 1.25 does not know which it is.
NAME = getattr(sys.implementation, "_build", "RPI_PICO").lower()
CONFIG = "/birthkey.json"
STATE = "/birthkey.id"
UNIQUE_ID = unique_id()
MODEM = "esp_at"  # the dialect of what README.md wires up


def _ring_oscillator(count):
    """Eight raw bits a sample. What `os.urandom` makes of them would hide one that is stuck."""
    samples = bytearray(count)
    for i in range(count):
        bits = 0
        for _ in range(8):
            bits = bits << 1 | mem32[_RANDOMBIT] & 1
        samples[i] = bits
    return bytes(samples)


def _adc_noise(count):
    """The last bits of the temperature sensor's voltage."""
    sensor = ADC(_SENSOR)
    samples = bytearray(count)
    for i in range(count):
        samples[i] = sensor.read_u16() >> 4 & 0xFF  # 12 bits, of which 8 are kept
    return bytes(samples)


# The ring oscillator is not good enough alone, says the RP2040's data sheet: it can be influenced
# from outside. So little is claimed for it, and whoever attacks it has to get at the others too.
ENTROPY = (
    entropy.Source("ring oscillator", _ring_oscillator, 1),
    entropy.Source("ADC noise", _adc_noise, 1 / 8),
    # Clock and processor run from one crystal: nothing is claimed for what that leaves.
    entropy.Source("timing jitter", entropy.timing_jitter, 0),
)


def uart():
    """The modem's UART; its reset line is let go."""
    Pin(_RESET, Pin.OPEN_DRAIN, value=1)
    return UART(1, 115200, tx=Pin(_TX), rx=Pin(_RX), rxbuf=_RXBUF)


def reset_modem():
    """Pull the modem's reset line: for applications whose modem does not come back by itself."""
    line = Pin(_RESET, Pin.OPEN_DRAIN, value=0)
    time.sleep_ms(_RESET_MS)
    line.value(1)


class _Watchdog:
    """The chip's; unlike MicroPython's it lets go."""

    def __init__(self):
        self._wdt = WDT(timeout=_WATCHDOG_MS)
        self.feed = self._wdt.feed

    def release(self):
        mem32[_WATCHDOG_CTRL + _CLEAR] = _WATCHDOG_ENABLE


def watchdog():
    """Resets the board when nobody has called `feed` for 8 s, until `release`."""
    return _Watchdog()


def mount():
    """Mount littlefs at /, unless stock firmware has done so; KeystoreError if flash is damaged."""
    if os.statvfs("/")[0]:
        keystore.mounted(Flash(), "/")
    else:
        keystore.mount(Flash(), "/", _PAGE)


def temperature():
    """Degrees Celsius, from the sensor on the chip: good to a few degrees."""
    volts = ADC(_SENSOR).read_u16() * 3.3 / 65535
    return 27 - (volts - 0.706) / 0.001721


def command(body):
    """{"led": true} and {"led": false}: the board's LED."""
    on = body.get("led")
    if len(body) != 1 or not isinstance(on, bool):
        raise ValueError('this board knows {"led": true} and {"led": false}')
    Pin("LED", Pin.OUT).value(on)
    return body
