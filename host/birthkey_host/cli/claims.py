"""`birthkey claim new` and `claim list`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from birthkey_host.cli.common import Label, Place, group, label, login, moment, table
from birthkey_host.registry import DAY
from birthkey_host.schema import Claim

app = typer.Typer(help="Claim codes, each of which lets one board in.", no_args_is_help=True)


@app.command("new")
def new(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 1,
    name: Label = None,
    expires: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Valid for so long; else for ever.")
    ] = None,
) -> None:
    """Print new claim codes, one a line.

    For `serve --policy claim`. They are shown only now.
    """
    place: Place = context.obj
    now = time.time()
    with place.open_registry() as registry:
        codes = registry.issue_claims(
            count,
            label=label(name),
            expires=None if expires is None else now + expires * DAY,
            who=login(),
            now=now,
        )
    for code in codes:
        typer.echo(code.hex())


@app.command("list")
def listed(context: typer.Context) -> None:
    """List what is known of the codes.

    Not the codes: nobody here knows them any more.
    """
    place: Place = context.obj
    now = time.time()
    with place.open_registry() as registry:
        rows = registry.claims()
    cells = [(row.label or "-", moment(row.issued), *_state(row, now)) for row in rows]
    table(("label", "issued", "state", "when", "device"), cells)


def _state(row: Claim, now: float) -> tuple[str, str, str]:
    if row.spent is not None and row.device_id is not None:
        return "spent", moment(row.spent), group(row.device_id)
    if row.expires is not None and row.expires <= now:
        return "expired", moment(row.expires), "-"
    return "valid", "for ever" if row.expires is None else f"until {moment(row.expires)}", "-"
