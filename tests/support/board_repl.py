"""The worker on an emulated board, spoken to over the serial port of its REPL."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from littlefs import LittleFS
from mpremote.transport_serial import SerialTransport

from boards.emulated.emulator import Emulator

TESTS = Path(__file__).parents[1]
ON_BOARD = {
    "device_worker.py": "support/device_worker.py",
    "emulated/hostile_frames.py": "emulated/hostile_frames.py",
    "emulated/on_board.py": "emulated/on_board.py",
    "emulated/p256_mbedtls.py": "emulated/p256_mbedtls.py",
    "emulated/p256_room.py": "emulated/p256_room.py",
    "emulated/p256_stack.py": "emulated/p256_stack.py",
    "emulated/tls_client.py": "emulated/tls_client.py",
    "firmware/crypto/on_device.py": "firmware/crypto/on_device.py",
    "p256_probe.py": "support/p256_probe.py",
    "vectors/board.py": "vectors/board.py",
}
SECONDS = 60.0  # for one answer


class BoardRepl:
    """Switches the board on, with what tests put beside its firmware on its flash."""

    def __init__(self, board: Emulator, prompts: bool = True) -> None:
        """`prompts`: it prints a prompt by itself; stock firmware waits for who connects."""
        self._board = board
        self._prompts = prompts
        try:
            self._transport = self._start()
        except BaseException:
            board.kill()
            raise

    def _start(self) -> SerialTransport:
        board = self._board
        with board.filesystem() as flash:
            _copy(flash)
        board.start()
        if self._prompts:
            board.says("^>>> ")
        transport = SerialTransport(board.repl, timeout=SECONDS * board.patience)
        transport.enter_raw_repl(soft_reset=False)
        transport.exec_raw_no_follow("import device_worker")
        return transport

    def ask(self, request: str) -> str:
        port = self._transport.serial
        port.write(request.encode())
        answer: bytes = port.read_until(b"\n")
        if not answer.startswith(b"{") or not answer.endswith(b"\n"):
            port.timeout = 1
            raise RuntimeError(f"no answer, but {answer + port.read(4096)!r}")
        return answer.decode()

    def close(self) -> None:
        self._transport.serial.close()
        self._board.kill()


def _copy(flash: LittleFS) -> None:
    for path, source in ON_BOARD.items():
        flash.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        with flash.open(path, "wb") as file:
            file.write((TESTS / source).read_bytes())
