"""Command lines of an AT modem, taken apart strictly.

Source: ESP-AT User Guide, "AT Command Set", section "AT Command Types".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Value = str | int | None  # None: an omitted parameter

_COMMAND = re.compile(r"AT(?:E([01])|(\+[A-Z_]+)(\?|=.*)?)?", re.DOTALL)
# A parameter is a quoted string, a number or nothing. A comma, a quotation mark and a
# backslash inside a string need a backslash: what real firmware makes of them bare differs
# between releases, so a board that forgets to escape has to hear about it here.
_PARAMETER = re.compile(r'(?:"((?:\\.|[^\\",])*)"|([0-9]{1,10}))?(?=,|\Z)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Refused(Exception):
    """The modem answers ERROR, after the text where there is one."""


class Parameters:
    """The parameters of one command, taken one after the other."""

    def __init__(self, values: list[Value]) -> None:
        self._values = values

    def integer(self, low: int, high: int) -> int:
        """The next one; low <= it <= high. Raises Refused."""
        value = self._values.pop(0) if self._values else None
        if not isinstance(value, int) or not low <= value <= high:
            raise Refused
        return value

    def optional(self, low: int, high: int, default: int) -> int:
        """The next one, as `integer`; `default` when there is none. Raises Refused."""
        return self.integer(low, high) if self._values else default

    def text(self) -> str:
        """The next one, unescaped. Raises Refused unless it is a string."""
        value = self._values.pop(0) if self._values else None
        if not isinstance(value, str):
            raise Refused
        return value

    def end(self) -> None:
        """Raises Refused if there is one left."""
        if self._values:
            raise Refused


@dataclass(frozen=True)
class Command:
    """`name` is "" for a bare AT, "E" (with one parameter) or such as "+CIPMUX"."""

    name: str
    form: str  # "" to execute, "?" to query, "=" to set
    parameters: Parameters


def parse(line: bytes) -> Command:
    """One line of any content, its CR LF included. Raises Refused."""
    # surrogateescape: an SSID that is not UTF-8 stays what it is.
    match = _COMMAND.fullmatch(line.removesuffix(b"\r\n").decode("utf-8", "surrogateescape"))
    if match is None or not line.endswith(b"\r\n"):
        raise Refused
    echo, name, rest = match.groups("")
    if echo:
        return Command("E", "=", Parameters([int(echo)]))
    return Command(name, rest[:1], Parameters(_values(rest[1:]) if rest[:1] == "=" else []))


def _values(text: str) -> list[Value]:
    values: list[Value] = []
    position = 0
    while position <= len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise Refused
        quoted, number = match.groups()
        if quoted is not None:
            values.append(_ESCAPE.sub(r"\1", quoted))
        else:
            values.append(int(number) if number else None)
        position = match.end() + 1
    return values
