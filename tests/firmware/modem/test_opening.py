"""What is left of a connection that could not be opened, whatever the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from birthkey import modem
from birthkey._port import run
from birthkey.modem import ModemError


class Uart:
    """Nobody is there."""

    def readinto(self, buffer: bytearray) -> None:
        return None

    def write(self, data: bytes) -> int:
        return len(data)


@pytest.mark.parametrize("error", [MemoryError(), ModemError("the modem refuses")])
@pytest.mark.parametrize("steps", [0, 3])
def test_no_connection_of_the_modem_stays_in_use(error: Exception, steps: int) -> None:
    made: Any = modem.open(Uart(), "esp_at")

    def fails(*_: object) -> Iterator[None]:
        for _ in range(steps):
            yield
        raise error

    made.dialect.open = fails
    for _ in range(2 * made.dialect.LINKS):
        made._up = True  # so far all was well
        with pytest.raises(type(error)):
            run(made._connect("server", 7155, "TCP"))
        assert made._streams == [None] * made.dialect.LINKS
        assert not made._up  # whether it has opened one, nobody knows
    assert len(made._spare) == 1
