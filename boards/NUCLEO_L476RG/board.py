"""ST's NUCLEO-L476RG: the modem is on USART1, README.md has the wiring."""

import pyb
from internal_flash import Flash
from machine import UART, Pin, unique_id
from micropython import const

from birthkey import keystore
from birthkey.crypto import entropy

_RXBUF = const(1024)  # what comes in while the board signs: 90 ms at 115200 bits a second
_INTERNAL = const(0x70000)  # the channels of the ADC that are inside the chip

NAME = "nucleo_l476rg"
CONFIG = "/birthkey.json"
STATE = "/birthkey.id"
# os.urandom is the chip's random number generator.
ENTROPY = entropy.SOURCES
UNIQUE_ID = unique_id()
MODEM = "esp_at"  # the dialect of what README.md wires up
FILE_SYSTEM = Flash().area()

_mounted = False


def uart():
    """The modem's UART."""
    return UART(1, 115200, rxbuf=_RXBUF)


def mount():
    """Mount littlefs at /, once; KeystoreError when flash is damaged."""
    global _mounted
    if not _mounted:
        keystore.mount(Flash(), "/")
        _mounted = True


def temperature():
    """Degrees Celsius, from the sensor on the chip, as ST calibrated it."""
    return pyb.ADCAll(12, _INTERNAL).read_core_temp()


def command(body):
    """{"led": true} and {"led": false}: the green LED."""
    on = body.get("led")
    if len(body) != 1 or not isinstance(on, bool):
        raise ValueError('this board knows {"led": true} and {"led": false}')
    Pin("LED_GREEN", Pin.OUT).value(on)
    return body
