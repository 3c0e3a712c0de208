"""ST's NUCLEO-WL55JC: the modem is on USART1, README.md has the wiring."""

from internal_flash import Flash
from machine import ADC, UART, Pin, mem16, unique_id
from micropython import const

from birthkey import keystore
from birthkey.crypto import entropy

_RXBUF = const(1024)  # what comes in while the board signs: 90 ms at 115200 bits a second

# What the temperature sensor read at ST, at 3.3 V: at 30 and at 130 degrees.
_CALIBRATION_30 = const(0x1FFF75A8)
_CALIBRATION_130 = const(0x1FFF75C8)

NAME = "nucleo_wl55"
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
    """Degrees Celsius, from the sensor on the chip; the board's supply is 3.3 V."""
    low = mem16[_CALIBRATION_30]
    high = mem16[_CALIBRATION_130]
    return 30 + ((ADC(ADC.CORE_TEMP).read_u16() >> 4) - low) * 100 / (high - low)


def command(body):
    """{"led": true} and {"led": false}: the green LED."""
    on = body.get("led")
    if len(body) != 1 or not isinstance(on, bool):
        raise ValueError('this board knows {"led": true} and {"led": false}')
    Pin("LED_GREEN", Pin.OUT).value(on)
    return body
