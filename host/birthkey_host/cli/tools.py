"""`birthkey inspect` and `modem`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.cli.common import Place, fail, printable, table
from birthkey_host.cli.output import OutputLost
from birthkey_host.inspect import Explanation, Field, explain
from birthkey_host.simulator import Simulator

_MOST = 65536  # bytes read of a file; a frame has at most 4096


def inspect(
    context: typer.Context,
    frame: Annotated[str, typer.Argument(help="Hex digits, a file of them or of bytes, or -.")],
) -> None:
    """Explain a frame, a signed-frame, a message or an answer, byte by byte.

    With the server's key and registry at hand it is judged as the server would. Exits 1 if it is
    refused.
    """
    place: Place = context.obj
    data = _bytes(frame)
    keys = [place.server_key()] if os.path.exists(place.key_path) else []
    with ExitStack() as stack:
        lookup = None
        if place.registry_url is not None or os.path.exists(place.registry_path):
            lookup = stack.enter_context(place.open_registry()).lookup
        explanation = explain(data, keys, lookup)
    _print(explanation)
    if explanation.layer is not None:
        typer.echo(printable(f"refused by {explanation.layer}: {explanation.reason}"))
        raise typer.Exit(1)
    typer.echo("nothing is wrong with it")


def _print(explanation: Explanation) -> None:
    typer.echo(f"{explanation.kind}, {len(explanation.data)} bytes")
    table(("bytes", "field", "value", "meaning"), _rows(explanation.fields, 0))
    if explanation.opened is not None:
        typer.echo("\nopened with the server's key:")
        _print(explanation.opened)


def _rows(fields: Iterable[Field], depth: int) -> Iterator[tuple[str, str, str, str]]:
    for field in fields:
        name = "  " * depth + field.name
        yield f"{field.start}..{field.end}", name, field.value, field.meaning
        yield from _rows(field.children, depth + 1)


def _bytes(frame: str) -> bytes:
    if frame == "-":
        return _unhex(sys.stdin.buffer.read(_MOST))
    if os.path.isfile(frame):
        try:
            with open(frame, "rb") as file:
                return _unhex(file.read(_MOST))
        except OSError as error:
            fail(f"cannot read {frame}: {error.strerror}")
    try:
        return bytes.fromhex(frame)
    except ValueError:
        fail(f"{frame[:40]!r} is neither a file nor hex digits", code=2)


def _unhex(data: bytes) -> bytes:
    """Hex digits and spaces mean bytes; anything else is itself."""
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError:
        return data


def modem(
    link: Annotated[
        Path | None, typer.Option(help="Make a symbolic link to the port, under this name.")
    ] = None,
    ssid: Annotated[str | None, typer.Option(help="The only network; else any will do.")] = None,
    password: Annotated[str | None, typer.Option(help="Its password; else any will do.")] = None,
    baud: Annotated[
        int | None,
        typer.Option(min=1, max=20_000_000, help="Bits a second; else as fast as it goes."),
    ] = None,
) -> None:
    """Run a simulated ESP-AT modem on a serial port of its own until SIGINT or SIGTERM."""
    try:
        asyncio.run(_run(Simulator(link=link, ssid=ssid, password=password, baud=baud)))
    except OSError as error:
        fail(f"cannot make the port: {error}")


async def _run(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A terminal that closes ends it, too, and does not leave the link behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    lost = None
    async with simulator:
        try:
            typer.echo(f"modem on {simulator.port}")
        except OutputLost as error:
            lost = error  # raised in there, it would come out in an ExceptionGroup
        else:
            await stop.wait()
    if lost is not None:
        raise lost
