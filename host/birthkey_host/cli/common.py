"""What the commands share: where things are, errors, ids, and safe printing."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from birthkey_host.cli.drawing import draw
from birthkey_host.cli.lazy import Failure
from birthkey_host.cli.printing import cell, fitting, unguarded
from birthkey_host.database import left_of_a_missing
from birthkey_host.keys import ServerKey
from birthkey_host.legible import excerpt, legible
from birthkey_host.registry import QUOTA, Registry, RegistryError
from birthkey_host.schema import LABEL

Id = Annotated[list[str], typer.Argument(metavar="ID", help="The whole id, grouped or not.")]
MaybeId = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="The whole id, grouped or not.")
]
Why = Annotated[str, typer.Option(help="The reason, for the audit log.")]
Label = Annotated[
    str | None, typer.Option("--label", help=f"What to call it, up to {LABEL} characters.")
]


_LOGIN_UID = Path("/proc/self/loginuid")  # kept by the kernel; nobody but root writes there
_NO_LOGIN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Place:
    """The options that come before the command."""

    home: Path
    registry_url: str | None
    home_typed: bool = False
    """Whether the home was given on the command line, and not by BIRTHKEY_HOME or not at all."""

    @property
    def birthkey(self) -> str:
        """The command with these options, as it is typed into a shell.

        A URL with a password in it is not repeated: who types it knows it.
        """
        words = ["birthkey"]
        if self.home_typed:
            words += ["--home", str(self.home)]
        if self.registry_url is not None:
            words += ["--registry", "URL" if _is_secret(self.registry_url) else self.registry_url]
        return shlex.join(words)

    def hint(self, sentence: str) -> str:
        """The sentence, with each command that it quotes, as `birthkey init`, fit to be typed."""
        return re.sub("`birthkey(?= [a-z])", lambda _: f"`{self.birthkey}", sentence)

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
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            fail(self._missing(path))
        except OSError as error:
            fail(f"cannot read {path}: {error.strerror}")

    def _missing(self, path: Path) -> str:
        """What to do about a file that is not there, in a sentence: an empty registry in the place
        of one that got lost would be in its way."""
        look = "and --home DIR says where to look"
        if path == self.registry_path:
            if (left := left_of_a_missing(path)) is not None:
                return left
            if os.path.lexists(self.key_path):
                return (
                    f"there is no {path}, but a key, which is made with a registry: put that back,"
                    f" or a backup of it; if there never was one, `birthkey init` makes it, {look}"
                )
        return f"there is no {path}; `birthkey init` makes it, {look}"


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Say what is wrong and exit; code 2 is for what was typed wrong.

    What it quotes as `birthkey COMMAND` gets the options that this command was given.
    """
    raise Failure(sentence, code)


def _is_secret(url: str) -> bool:
    try:
        return make_url(url).password is not None
    except ArgumentError:
        return False


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
    if text is not None and not (0 < len(text) <= LABEL and text == legible(text)):
        fail(f"a label is 1 to {LABEL} characters that can be printed", code=2)
    return text


def login() -> str:
    """Who asks, for the audit log: the user that the system runs this for, as `ada (uid 1000)`.

    Who became another one after he logged in, as with sudo, is named too. Nothing is taken from the
    environment, where everyone is who he says he is.
    """
    uid = os.getuid()
    try:
        first = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        first = _NO_LOGIN
    became = "" if first in (uid, _NO_LOGIN) else f", logged in as {_user(first)}"
    return _user(uid) + became


def _user(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):  # a user without a name, as in many containers
        return f"uid {uid}"
    return f"{excerpt(name, 64)} (uid {uid})"


def group(identity: bytes) -> str:
    """An id as people read it: hex digits in groups of four."""
    return identity.hex(" ", 2)


def moment(seconds: float | None) -> str:
    """Unix seconds as UTC; `-` for None, and words for what no calendar holds."""
    if seconds is None:
        return "-"
    try:
        text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a registry may hold anything
        return "after the year 9999" if seconds > 0 else "before the year 1"
    return text.replace("+00:00", "Z")


def printable(text: str) -> str:
    """`text` without anything that could steer a terminal or hide: see `legible`."""
    return legible(text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for a person at a terminal; else lines with tabs between what `cell` makes.

    What `rows` yields is printed as it comes, and not kept.
    """
    console = Console(file=unguarded())
    if console.is_terminal:
        shown = ([fitting(printable(text), console.encoding) for text in row] for row in rows)
        draw(console, header, shown)
        return
    for row in chain([header], rows):  # a program reads it
        typer.echo("\t".join(map(cell, row)))
