"""What the commands share: where things are, errors, ids, and safe printing."""

from __future__ import annotations

import getpass
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy import URL
from typer.core import TyperGroup

from birthkey_host.certificates import CaError
from birthkey_host.keys import ServerKey
from birthkey_host.registry import QUOTA, Registry, RegistryError
from birthkey_host.schema import LABEL

Id = Annotated[list[str], typer.Argument(metavar="ID", help="The whole id, grouped or not.")]
Why = Annotated[str, typer.Option(help="The reason, for the audit log.")]
Label = Annotated[
    str | None, typer.Option("--label", help=f"What to call it, up to {LABEL} characters.")
]


class Commands(TyperGroup):
    """Turns what the registry or the CA refuses into a sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (RegistryError, CaError) as error:
            fail(str(error))


@dataclass(frozen=True, slots=True)
class Place:
    """The options that come before the command."""

    home: Path
    registry_url: str | None

    @property
    def key_path(self) -> Path:
        """The server's key."""
        return self.home / "server.key"

    @property
    def registry_path(self) -> Path:
        """The default registry."""
        return self.home / "registry.sqlite3"

    def registry(self, *, quota: int = QUOTA) -> Registry:
        """The registry, unopened."""
        url = self.registry_url or URL.create("sqlite", database=str(self.registry_path))
        return Registry(url, quota=quota)

    def open_registry(self, *, quota: int = QUOTA) -> Registry:
        """The registry, which is there and of this version."""
        if self.registry_url is None:
            self._need(self.registry_path)
        registry = self.registry(quota=quota)
        try:
            registry.check()
        except RegistryError:
            registry.close()
            raise
        return registry

    def server_key(self) -> ServerKey:
        """The server's key."""
        self._need(self.key_path)
        try:
            return ServerKey.load(self.key_path)
        except OSError as error:
            fail(f"cannot read {self.key_path}: {error.strerror}")
        except ValueError as error:
            fail(str(error))

    def _need(self, path: Path) -> None:
        if not path.exists():
            fail(f"there is no {path}; `birthkey init` makes it, and --home DIR says where to look")


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Say what is wrong and exit; code 2 is for what was typed wrong."""
    typer.echo(printable(f"birthkey: {sentence}"), err=True)
    raise typer.Exit(code)


def device_id(words: Sequence[str]) -> bytes:
    """The id in `words`: 32 hex digits, with any grouping by spaces, colons and hyphens."""
    text = re.sub(r"[\s:-]", "", "".join(words))
    if re.fullmatch("[0-9a-fA-F]{32}", text):
        return bytes.fromhex(text)
    if re.fullmatch("[0-9a-fA-F]{1,31}", text):
        fail(
            f"an id has 32 hex digits, and this has {len(text)}: give the whole id, because"
            " anyone can make a key whose id begins like another's",
            code=2,
        )
    fail("an id is 32 hex digits; `birthkey devices` lists them", code=2)


def label(text: str | None) -> str | None:
    """A label as it was typed, if it is one."""
    if text is not None and not (0 < len(text) <= LABEL and text.isprintable()):
        fail(f"a label is 1 to {LABEL} characters that can be printed", code=2)
    return text


def login() -> str:
    """Who asks, for the audit log."""
    try:
        return printable(getpass.getuser())
    except (OSError, KeyError, ImportError):  # a user without a name, as in many containers
        return "unknown"


def group(identity: bytes) -> str:
    """An id as people read it: hex digits in groups of four."""
    return identity.hex(" ", 2)


def moment(seconds: float | None) -> str:
    """Unix seconds as UTC; `-` for None."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """`text` without anything that could steer a terminal or hide: escaped as in JSON."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for a person at a terminal; else lines of cells with tabs between them."""
    console = Console()
    if not console.is_terminal:  # a program reads it
        for row in itertools.chain([header], rows):
            typer.echo("\t".join(printable(cell) for cell in row))
        return
    drawn = Table(*(Column(name, overflow="fold") for name in header))  # nothing is cut off
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))  # Text: no markup is read
    console.print(drawn)
