"""`birthkey backup` and `upgrade`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.backup import JOURNAL, Taken
from birthkey_host.cli.common import Place, fail
from birthkey_host.cli.work import LongWork
from birthkey_host.database import SUFFIXES
from birthkey_host.schema import VERSION

_OF_SQLITE = (*SUFFIXES, JOURNAL)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE, once the copy is whole.")
    ] = False,
) -> None:
    """Copy the registry into one file, while servers go on.

    FILE may be new; with --overwrite, also a registry, such as an earlier copy, and nothing else.

    It is checked, and whole or not there. Copying registry.sqlite3 by other means gives yesterday's
    data or nothing. The server's key, the folder `ca`, ca.pem and tls.pem are files that do not
    change by themselves: copy them, too, and keep them as secret. For a database elsewhere take its
    own means, as pg_dump.
    """
    place: Place = context.obj
    kept = (*_others(place), *(Path(f"{place.registry_path}{each}") for each in _OF_SQLITE))
    with (
        place.open_registry() as registry,
        LongWork("copying", share=0, stopped="stopped; no copy was made") as work,
    ):
        try:
            registry.backup(file, replace=overwrite, between=work, kept=kept)
        except Taken:
            fail(f"there is a {file} already; --overwrite replaces it")
    typer.echo(f"{file} is a whole copy of the registry; {_also(place)}")


def upgrade(
    context: typer.Context,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="Make no copy of the registry before.")
    ] = False,
) -> None:
    """Bring a registry of an earlier version up to this program's.

    Stop the servers that use it first. It is copied before, into a file beside it.
    """
    place: Place = context.obj
    copy = None
    if not no_backup:
        if place.registry_url is not None:
            fail(
                "make a copy of the registry first, with the database's own means, and upgrade with"
                " --no-backup",
                code=2,
            )
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        copy = place.registry_path.with_name(f"registry.before-upgrade.{moment}.sqlite3")
    if place.registry_url is None and not place.registry_path.exists():
        fail(f"there is no {place.registry_path}")
    stopped = "stopped; the registry was left as it was"
    with place.registry() as registry, LongWork("copying", share=0, stopped=stopped) as work:
        before = registry.upgrade(copy, between=work)
    typer.echo(f"the registry has version {VERSION}; it had {before}")
    if copy is not None:
        typer.echo(f"{copy} is a copy of what it was: remove it when you do not need it")


def _others(place: Place) -> tuple[Path, ...]:
    """What belongs to the home beside the registry, whether it is there or not."""
    return (place.key_path, *(place.home / name for name in ("ca", "ca.pem", "tls.pem")))


def _also(place: Place) -> str:
    """What else belongs into a backup, of what there is."""
    there = [str(path) for path in _others(place) if path.exists()]
    return f"not in it: {', '.join(there)}" if there else "the server's key is not in it"
