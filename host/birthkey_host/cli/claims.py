"""`birthkey claim new`, `claim list` and `claim remove`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from birthkey_host import claims
from birthkey_host.cli import output
from birthkey_host.cli.common import (
    Label,
    Place,
    Why,
    fail,
    group,
    label,
    login,
    moment,
    printable,
    table,
)
from birthkey_host.registry import DAY, Registry, RegistryError
from birthkey_host.schema import Claim

LONGEST = 36525
"""Days, a hundred years: what is to last longer is given no end."""

app = typer.Typer(help="Claim codes, each of which lets one board in.", no_args_is_help=True)


@app.command("new")
def new(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 1,
    name: Label = None,
    expires: Annotated[
        float | None,
        typer.Option(metavar="DAYS", help=f"Valid for so long, 0 to {LONGEST}; else for ever."),
    ] = None,
) -> None:
    """Print new claim codes, one a line.

    For `serve --policy claim`. They are shown only now. If not all of them can be printed, on a
    full disk or into a pipe that is closed, none of them lets a board in.
    """
    place: Place = context.obj
    now = time.time()
    end = None if expires is None else now + _days(expires) * DAY
    with place.open_registry() as registry:
        codes = registry.issue_claims(count, label=label(name), expires=end, who=login(), now=now)
        # After the commit: a pager that holds the output back would hold the registry's lock, too.
        try:
            typer.echo("\n".join(code.hex() for code in codes))
            output.confirm()
        except BaseException as error:
            _withdraw(registry, codes)
            if isinstance(error, output.OutputLost):
                output.give_up()
                fail(f"{error}; none of the claim codes counts that were to be printed")
            raise


@app.command("list")
def listed(context: typer.Context) -> None:
    """List what is known of the codes.

    Not the codes: nobody here knows them any more. What each is listed under is for `remove`.
    """
    place: Place = context.obj
    now = time.time()
    with place.open_registry() as registry:
        cells = (
            (claims.name(row.sha256).hex(), row.label or "-", moment(row.issued), *_state(row, now))
            for row in registry.each_claim()
        )
        table(("claim", "label", "issued", "state", "when", "device"), cells)


@app.command("remove")
def remove(
    context: typer.Context,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="As `list` names them, or the codes themselves."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--label", help="All with this label that are not spent.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="All that expired before a board spent them.")
    ] = False,
    why: Why = "",
) -> None:
    """Make codes useless that no board has spent.

    Spent ones stay on the list: they are how their devices got in.
    """
    place: Place = context.obj
    ways = [bool(chosen), name is not None, expired]
    if sum(ways) != 1:
        fail(
            "say which: the codes by what `birthkey claim list` names them, or --label LABEL, or"
            " --expired",
            code=2,
        )
    wanted = [_claim(text) for text in chosen or ()]
    who, because, now = login(), printable(why), time.time()
    with place.open_registry() as registry:
        if expired:
            count = registry.remove_claims_expired(who=who, why=because, now=now)
        elif name is not None:
            count = registry.remove_claims_labelled(name, who=who, why=because, now=now)
            if not count:
                fail(f"there is no code with the label {name!r} that is not spent")
        else:
            count = len(registry.remove_claims(wanted, who=who, why=because, now=now))
    typer.echo("1 code is removed" if count == 1 else f"{count} codes are removed")


def _withdraw(registry: Registry, codes: Sequence[bytes]) -> None:
    try:
        registry.withdraw_claims(codes, who=login(), now=time.time())
    except RegistryError as error:
        fail(
            f"the claim codes could not be printed, and not be withdrawn either: {error}; `birthkey"
            " claim list` lists them and `birthkey claim remove` removes them"
        )


def _days(days: float) -> float:
    if not 0 <= days <= LONGEST:  # nor is NaN
        fail(
            f"--expires takes 0 to {LONGEST} days, and {days:g} is none of these; codes that it is"
            " not given for never expire",
            code=2,
        )
    return days


def _claim(text: str) -> bytes:
    if not re.fullmatch("[0-9a-fA-F]{16}|[0-9a-fA-F]{32}", text):
        fail(
            f"{text[:40]!r} is no claim: 16 hex digits, as `birthkey claim list` shows them, or a"
            " code of 32",
            code=2,
        )
    return bytes.fromhex(text)


def _state(row: Claim, now: float) -> tuple[str, str, str]:
    if row.spent is not None and row.device_id is not None:
        return "spent", moment(row.spent), group(row.device_id)
    if row.expires is not None and row.expires <= now:
        return "expired", moment(row.expires), "-"
    return "valid", "for ever" if row.expires is None else f"until {moment(row.expires)}", "-"
