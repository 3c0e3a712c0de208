"""`birthkey factory`."""

from __future__ import annotations

import io
import json
import time
from typing import Annotated

import segno
import typer

from birthkey_host.cli.common import (
    Label,
    Place,
    Why,
    device_id,
    fail,
    group,
    label,
    login,
    printable,
)
from birthkey_host.cli.printing import fitting, unguarded
from birthkey_host.factory import Entry, FactoryError, Proof, prove, register
from birthkey_host.repl import Repl, ReplError


def factory(
    context: typer.Context,
    port: Annotated[str, typer.Option(help="The serial port that the board is on.")],
    name: Label = None,
    replaces: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The revoked or cloned device whose place it takes."),
    ] = None,
    why: Why = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object instead of a line and a QR code.")
    ] = False,
) -> None:
    """Register a board on the bench, before it is packed; the server may then run as allowlist.

    The board makes its key, if it has none yet, and proves that it holds it. Its id is printed,
    also as a QR code for the box. Running it again changes nothing and prints the same.
    """
    place: Place = context.obj
    chosen = label(name)
    replaced = None if replaces is None else device_id([replaces])
    with place.open_registry() as registry:
        try:
            with Repl(port) as repl:
                proof = prove(repl, time.time())
            entry = register(
                registry,
                proof,
                label=chosen,
                replaces=replaced,
                who=login(),
                why=printable(why) or "at the bench",
                now=time.time(),
            )
        except (FactoryError, ReplError) as error:
            fail(str(error))
    if as_json:
        typer.echo(_json(proof, entry))
        return
    typer.echo(f"{group(proof.device_id)}  {printable(entry.label or '')}".rstrip())
    typer.echo(qr_code(proof.device_id, unguarded().encoding))


def qr_code(identity: bytes, encoding: str | None = None) -> str:
    """The id's hex digits as a QR code of characters. `birthkey approve` takes what it says.

    Where the encoding has no blocks, a module is two characters wide, and light is what is drawn.
    """
    drawn = io.StringIO()
    # Capital letters make it smaller: QR codes have a mode for them.
    code = segno.make_qr(identity.hex().upper())
    code.terminal(drawn, compact=True)
    blocks = drawn.getvalue()
    if fitting(blocks, encoding) == blocks:
        return blocks
    rows = code.matrix_iter(border=4)
    return "".join("".join("  " if dark else "##" for dark in row) + "\n" for row in rows)


def _json(proof: Proof, entry: Entry) -> str:
    return json.dumps(
        {
            "device": proof.device_id.hex(),
            "public_key": proof.public_key.hex(),
            "board": proof.board,
            "firmware": proof.firmware,
            "label": entry.label,
            "state": entry.state,
            "born": proof.born,
        }
    )
