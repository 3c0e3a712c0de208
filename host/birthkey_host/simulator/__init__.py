"""A modem simulator: a pty that answers as an ESP-AT Wi-Fi modem, with real sockets behind it.

async with Simulator(ssid="home") as modem:
    ...  # the board opens modem.port

with running(Simulator(ssid="home")) as modem:  # in a thread, for synchronous code
    ...
"""

from .firmware import ESP_AT_2, ESP_AT_3_3, FIRMWARES, NONOS_1_7, Firmware
from .modem import Direction, Hook, Recorder, Simulator, running

__all__ = [
    "ESP_AT_2",
    "ESP_AT_3_3",
    "FIRMWARES",
    "NONOS_1_7",
    "Direction",
    "Firmware",
    "Hook",
    "Recorder",
    "Simulator",
    "running",
]
