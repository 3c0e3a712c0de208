"""Serial ports without hardware: ptys that are wired to each other."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import tty
from collections.abc import Callable, Iterator

Noise = Callable[[bytes], bytes]  # what becomes of bytes on the wire


def clean(data: bytes) -> bytes:
    return data


@contextlib.contextmanager
def loopback_uart(
    from_first: Noise = clean, from_second: Noise = clean
) -> Iterator[tuple[str, str]]:
    """The paths of two serial ports that are wired to each other."""
    masters, slaves = zip(os.openpty(), os.openpty(), strict=True)
    for slave in slaves:
        tty.setraw(slave)
    stop = os.pipe()

    def carry() -> None:
        with selectors.DefaultSelector() as selector:
            for here, there, noise in zip(
                masters, masters[::-1], (from_first, from_second), strict=True
            ):
                selector.register(here, selectors.EVENT_READ, (there, noise))
            selector.register(stop[0], selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    there, noise = key.data
                    os.write(there, noise(os.read(key.fd, 1024)))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield os.ttyname(slaves[0]), os.ttyname(slaves[1])
    finally:
        os.write(stop[1], b".")
        thread.join()
        for descriptor in (*masters, *slaves, *stop):
            os.close(descriptor)
