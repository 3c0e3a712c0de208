"""ChaCha20-Poly1305 in machine code, on the boards that run it."""

from __future__ import annotations

from contextlib import closing

import pytest

from device import Interpreter


@pytest.mark.parametrize("board", ["QEMU_MPS2_AN385", "RPI_PICO"])
def test_machine_code_and_python_agree(board: str) -> None:
    with closing(Interpreter(board)) as device:
        assert device.call("firmware.crypto.on_device:thumb_and_python", 80) == []
