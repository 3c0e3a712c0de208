"""The serial ports of this machine, and what is on them."""

from __future__ import annotations

from collections.abc import Iterator

from serial.tools import list_ports  # type: ignore[import-untyped]

from birthkey_host.repl import Repl, ReplError
from boards.flash.probe import Found, probe


def listing(*, ask: bool) -> Iterator[str]:
    """A line for each port. `ask` stops what runs on the boards for a moment.

    Only ports on USB are asked: others belong to who knows what.
    """
    found = sorted(list_ports.comports())
    if not found:
        yield "no serial ports: plug a board in"
    for port in found:
        line = f"{port.device}  {port.description}"
        if ask and port.vid is not None:
            line += f"  {_asked(port.device)}"
        yield line


def _asked(port: str) -> str:
    try:
        with Repl(port) as repl:
            return summary(probe(repl))
    except ReplError as error:
        return str(error)


def summary(found: Found) -> str:
    """A board in a line."""
    words = f"{found.machine}, {found.family} {found.version}"
    if found.birthkey:
        words += f", birthkey {found.birthkey}"
    if found.identity is not None and not found.identity.damaged:
        words += f", device {found.identity.device_id.hex(' ', 2)}"
    return words
