"""`birthkey ca init`, `issue`, `rotate` and `show`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.ca import Authority, CaError, KeyFile, Role
from birthkey_host.certificates import (
    Name,
    allowed_by,
    common_name,
    fingerprint,
    listed,
    names_of,
    parse_allowed,
    parse_names,
)
from birthkey_host.cli.common import Place, fail, printable
from birthkey_host.key_files import read

PASSWORD = "BIRTHKEY_CA_PASSWORD"  # noqa: S105

app = typer.Typer(
    help="The CA that signs the server's certificate for TLS; boards trust no other.",
    no_args_is_help=True,
)

PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help=f"Where the password of the CA's key is; else {PASSWORD}, or a prompt."
    ),
]

Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="A domain or network that it signs for, and no others; may be given again.",
    ),
]


@app.command("init")
def init(
    context: typer.Context,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt the CA's key with a password.")
    ] = False,
    names: Allowed = None,
    password_file: PasswordFile = None,
) -> None:
    """Make the CA, once.

    With --encrypt, or if a password is given in a file or in the environment, its key is encrypted.

    With --name example.com or --name 192.0.2.0/24 its certificate says that it signs for names and
    addresses in there alone. Browsers, OpenSSL and Python keep to that; mbed TLS, and so a board,
    does not look at it.
    """
    allowed = _allowed(names)
    password = _Password(password_file)
    ca = Authority(context.obj.home)
    try:
        made = ca.create(password.new if encrypt or password.given else _no_password, allowed)
    finally:
        _notes(ca)
    _describe(Role.CURRENT, made)
    typer.echo()
    typer.echo(f"Keep a copy of {ca.folder} where nobody else can read it.")
    typer.echo(f"Give {ca.bundle} to the boards: they connect to servers that this CA signed for.")
    typer.echo(
        "Then make the server's certificate, for the name or address that boards connect to:"
    )
    typer.echo(f"{context.obj.birthkey} ca issue NAME")


@app.command("issue")
def issue(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="DNS names and IP addresses that boards connect to."),
    ],
    password_file: PasswordFile = None,
) -> None:
    """Make the server's certificate, and a new key for it.

    The current CA signs it, for these names and no others: a board checks that the name or address
    it connects to is among them. *.example.com is for each name with one label instead of the *.
    tls.pem is replaced, and a running server takes it without a restart.
    """
    try:
        wanted = parse_names(names)
    except CaError as error:
        fail(str(error), code=2)
    password = _Password(password_file)
    with _entered(context) as ca:
        before = _names_now(ca)
        made = ca.issue(wanted, password.existing)
        password.say_if_unused()
    typer.echo(f"{ca.server_path} is for {listed(wanted)}")
    typer.echo("A running server takes it for its next connection, without a restart.")
    if lost := [name for name in before if name not in names_of(made)]:
        typer.echo(f"It is no longer for {listed(lost)}: boards that connect there refuse it.")


@app.command("rotate")
def rotate(
    context: typer.Context,
    switch: Annotated[
        bool, typer.Option("--switch", help="Second: every board has both; the next CA signs.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Third: delete the previous CA and its key.")
    ] = False,
    encrypt: Annotated[
        bool | None,
        typer.Option(
            "--encrypt/--no-encrypt",
            help="Whether to encrypt the next CA's key; else it is done as with the current one.",
        ),
    ] = None,
    names: Allowed = None,
    any_name: Annotated[
        bool, typer.Option("--any-name", help="The next CA signs for any name, unlike the current.")
    ] = False,
    password_file: PasswordFile = None,
) -> None:
    """Go to another CA, in three steps, so that no board is locked out.

    First: `rotate` makes the next CA, which signs for what the current one does, unless --name or
    --any-name says otherwise. ca.pem has both then, and the current one still signs. Give
    ca.pem to every board: one that lacks it cannot connect any more after the second step.

    Second: `rotate --switch`, when every board has it. The server's certificate is made again for
    its names, signed by the next CA. Copy tls.pem to where else it is used.

    Third: `rotate --finish`. Only the new CA is left in ca.pem. Give that to the boards in turn:
    until a board has it, it trusts the old CA too.

    If the CA's key has leaked, do all at once: `rotate`, `rotate --switch`, `rotate --finish`, and
    put ca.pem onto the boards by cable. None of them connects before it has it, and those that do
    not have it trust whoever has the key. What boards send is sealed to the server's own key all
    the same.

    To give a rotation up before its second step, delete ca/next.pem.
    """
    if (switch and finish) or ((switch or finish) and encrypt is not None):
        fail("the three steps are taken one by one, and --encrypt belongs to the first", code=2)
    if (names and any_name) or ((names or any_name) and (switch or finish)):
        fail("--name or --any-name, one of them, belongs to the first of the three steps", code=2)
    allowed = [] if any_name else _allowed(names) if names else None
    if password_file is not None and (finish or encrypt is False):
        fail(f"{'--finish' if finish else '--no-encrypt'} takes no password", code=2)
    password = _Password(password_file)
    with _entered(context) as ca:
        if switch:
            _switch(ca, password, context.obj)
        elif finish:
            _finish(ca)
        else:
            _begin(ca, password, encrypt, allowed, context.obj)


def _begin(
    ca: Authority,
    password: _Password,
    encrypt: bool | None,
    allowed: Sequence[Name] | None,
    place: Place,
) -> None:
    if encrypt is None:
        encrypt = password.given or ca.load(Role.CURRENT).encrypted
    _describe(Role.NEXT, ca.begin(password.new if encrypt else _no_password, allowed))
    typer.echo()
    typer.echo(f"{ca.bundle} has both CAs now, and the current one still signs.")
    typer.echo(f"Keep a new copy of {ca.folder}, and give ca.pem to every board.")
    typer.echo(f"When all boards have it: {place.birthkey} ca rotate --switch")


def _switch(ca: Authority, password: _Password, place: Place) -> None:
    made = ca.switch(password.existing)
    password.say_if_unused()
    typer.echo(printable(f"{common_name(ca.load(Role.CURRENT).certificate.subject)} signs now."))
    if made is None:
        typer.echo(f"There is no {ca.server_path} yet: {place.birthkey} ca issue NAME")
    else:
        typer.echo(f"{ca.server_path} was made again, for {listed(names_of(made))}.")
        typer.echo("A running server takes it for its next connection; copy it to other servers.")
    typer.echo(f"When every server has it: {place.birthkey} ca rotate --finish")


def _finish(ca: Authority) -> None:
    ca.finish()
    typer.echo(
        f"The previous CA and its key are deleted from {ca.folder}: delete older copies too."
    )
    typer.echo(f"{ca.bundle} has the new CA alone. Give it to the boards, which trust the previous")
    typer.echo("one until then.")


@app.command("show")
def show(context: typer.Context) -> None:
    """Show the CAs that there are, and the server's certificate."""
    place: Place = context.obj
    with _entered(context) as ca:
        for role, file in ca.roles().items():
            _describe(role, file)
            typer.echo()
        _line(ca.bundle.name, f"{' and '.join(ca.roles())}: what boards trust")
        typer.echo()
        _show_server(ca, place)
        typer.echo()
        typer.echo(place.hint(f"{ca.phase.value[0].upper()}{ca.phase.value[1:]}."))
        if paths := ca.open_to_others():
            folder = shlex.quote(str(ca.folder))
            _warn(f"others may use {' and '.join(map(str, paths))}: chmod -R go= {folder}")
        if ca.server_path.exists() and ca.server_path.stat().st_mode & 0o077:
            path = shlex.quote(str(ca.server_path))
            _warn(f"others may read {ca.server_path}, and the key in it: chmod 600 {path}")


def _show_server(ca: Authority, place: Place) -> None:
    try:
        server = ca.server()
    except CaError as error:
        _warn(place.hint(str(error)))
        return
    if server is None:
        _line(ca.server_path.name, place.hint("none yet; `birthkey ca issue NAME` makes it"))
        return
    _line(ca.server_path.name, listed(names_of(server.certificate)) or "for no name")
    _line("sha256", fingerprint(server.certificate))
    issuer = common_name(server.certificate.issuer) or "-"
    _line("signed by", issuer + (f", {server.signed_by}" if server.signed_by else ""))
    _line("verifies", "yes" if server.refusal is None else f"no: {server.refusal}")
    if server.signed_by is None:
        _warn(f"{ca.server_path} is signed by a CA that is not in {ca.bundle}: boards refuse it")


def _describe(role: Role, file: KeyFile) -> None:
    _line(role, common_name(file.certificate.subject))
    _line("sha256", fingerprint(file.certificate))
    _line("key", "encrypted" if file.encrypted else "not encrypted")
    if allowed := allowed_by(file.certificate):
        _line("signs for", f"{listed(allowed)} and no others")


def _line(name: str, text: str) -> None:
    typer.echo(printable(f"{name:<10} {text}"))


def _warn(sentence: str) -> None:
    typer.echo(printable(f"warning: {sentence}"), err=True)


def _allowed(names: Sequence[str] | None) -> list[Name]:
    try:
        return parse_allowed(names or ())
    except CaError as error:
        fail(str(error), code=2)


def _names_now(ca: Authority) -> list[Name]:
    try:
        server = ca.server()
    except CaError:  # `issue` says so
        return []
    return [] if server is None else names_of(server.certificate)


@contextmanager
def _entered(context: typer.Context) -> Iterator[Authority]:
    ca = Authority(context.obj.home)
    with ca:
        _notes(ca)
        yield ca


def _notes(ca: Authority) -> None:
    for sentence in ca.completed:
        _warn(sentence)


def _no_password(path: Path) -> None:
    return None


class _Password:
    """The password from `file`, else from the environment, else from whoever sits there."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._word = os.fsencode(os.environ.get(PASSWORD, ""))
        self._used = False
        if file is not None:
            self._word = read(file).removesuffix(b"\n").removesuffix(b"\r")
            if not self._word or b"\n" in self._word:
                fail(f"{file} is not one line with a password")

    @property
    def given(self) -> bool:
        """Whether nobody needs to be asked."""
        return bool(self._word)

    def existing(self, path: Path) -> bytes:
        """The password of a key that there is."""
        return self._ask(f"Password of {path}", confirm=False)

    def new(self, path: Path) -> bytes:
        """The password for a key that is being made."""
        return self._ask(f"Password for {path}", confirm=True)

    def say_if_unused(self) -> None:
        """Who gives a file believes that there is something to open."""
        if self._file is not None and not self._used:
            _warn(f"{self._file} was not needed: the key is not encrypted")

    def _ask(self, text: str, *, confirm: bool) -> bytes:
        self._used = True
        if self._word:
            return self._word
        if not _at_terminal():
            fail(f"there is nobody to ask for the password: give --password-file or {PASSWORD}")
        word: str = typer.prompt(
            printable(text), hide_input=True, confirmation_prompt=confirm, err=True
        )
        return os.fsencode(word)


def _at_terminal() -> bool:
    return sys.stdin.isatty()
