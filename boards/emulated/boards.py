"""The boards that run on this computer, by the name that BOARD= takes."""

from __future__ import annotations

from boards.build import toolchain, unix_arm
from boards.emulated import rp2040
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2, Netduino2
from boards.emulated.unix_port import ArmUnixPort, UnixPort

BOARDS: dict[str, type[Emulator]] = {
    board.name: board for board in (UnixPort, ArmUnixPort, Mps2, Netduino2, rp2040.Rp2040)
}


def provision() -> None:
    """Fetch all emulators that are not in the cache yet. Raises BuildError."""
    unix_arm.command()
    for program in ("qemu-arm", "qemu-system-arm"):
        toolchain.environment(program)
    rp2040.provision()
