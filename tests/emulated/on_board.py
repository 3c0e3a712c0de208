"""Runs on a board, beside the firmware, for the tests of tests/emulated."""

import gc

import board
from birthkey import Device, modem
from birthkey.transport.serial import Serial


class Soak:
    """A device that delivers readings, and the heap that it leaves."""

    def __init__(self, server_key, server=None):
        """`server` is (host, port) behind a modem; without one the UART leads to it."""
        board.mount()
        if server:
            link = modem.open(board.uart(), "esp_at", ssid="net", password="secret")
        else:
            link = Serial(board.uart())
        self._device = Device(
            link,
            server=server,
            server_key=server_key,
            board=board.NAME,
            path=board.STATE,
            sources=board.ENTROPY,
        )

    def deliver(self, count):
        """Deliver so many readings, one after the other."""
        for number in range(count):
            if not self._device.send({"t": number / 8}, 60000):
                raise RuntimeError(self._device.problem)

    def heap(self):
        """Bytes in use, and bytes that can be had in one piece."""
        gc.collect()
        used = gc.mem_alloc()
        least, most = 0, gc.mem_free() + 1
        while most - least > 32:
            size = (least + most) // 2
            try:
                bytearray(size)
                least = size
            except MemoryError:
                most = size
            gc.collect()
        return used, least
