"""`birthkey send`."""

from __future__ import annotations

import json
import math
import re
import time
from typing import Annotated

import typer

from birthkey_host import commands
from birthkey_host.cli.common import Place, Why, device_id, fail, group, login, moment, printable
from birthkey_host.registry import DAY

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}
_LONGEST = 366 * DAY


def send(
    context: typer.Context,
    device: Annotated[str, typer.Argument(metavar="ID", help="The whole id; quoted if grouped.")],
    command: Annotated[str, typer.Argument(metavar="JSON", help='An object, as {"led": true}.')],
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="Not sent any more after so long: 90s, 10m, 2h, 7d.")
    ] = "1d",
    why: Why = "",
) -> None:
    """Queue a command for a device.

    It goes down with the answer to the next message of its board, which carries it out once, or not
    at all. `birthkey show` tells what came of it.
    """
    place: Place = context.obj
    wanted = device_id([device])
    now = time.time()
    end = now + _seconds(expires)
    try:
        body = _parse(command)
        commands.encode(body)
    except ValueError as error:
        fail(str(error), code=2)
    with place.open_registry() as registry:
        row = registry.command(wanted, body, expires=end, who=login(), why=printable(why), now=now)
    typer.echo(f"command {row.id} waits for {group(wanted)} until {moment(end)}")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST:
        fail(f"{text!r} is no time like 90s, 10m, 2h or 7d, and at most 366d", code=2)
    return seconds


def _parse(text: str) -> object:
    """JSON, strictly. Raises ValueError, a sentence."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"the command is not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError("the command is nested too deep") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise ValueError(f"the command has {json.dumps(twice)} twice")
    return members


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"boards have floats of 32 bits, and {digits} is too large for them")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"the command is not valid JSON: there is no {name} in it")
