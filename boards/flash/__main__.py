"""`make flash`: puts firmware, application and configuration onto a board, and checks all of it.

What is on the board already is not written again, and an interrupted run is simply repeated. The
identity, a folder on the board's flash, is never wiped but by --erase-identity.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from birthkey_host.cli.common import printable
from birthkey_host.cli.printing import fitting
from birthkey_host.repl import ReplError
from boards.build.cache import BuildError
from boards.build.firmware import names
from boards.flash.configuration import Changes, ConfigurationError
from boards.flash.firmware import METHODS, FirmwareError
from boards.flash.identity import IdentityError
from boards.flash.image import ImageError
from boards.flash.ports import listing
from boards.flash.session import Session

PASSWORD = "BIRTHKEY_WIFI_PASSWORD"  # noqa: S105  the name of a variable

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def flash(
    board: Annotated[
        str | None, typer.Argument(metavar="BOARD", help="A folder of boards/, as RPI_PICO.")
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(help="The board's serial port, or the drive that its boot loader shows."),
    ] = None,
    server: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="The server.")] = None,
    server_key: Annotated[
        str | None, typer.Option(metavar="HEX", help="As `birthkey server-key` prints it.")
    ] = None,
    backup_key: Annotated[
        str | None, typer.Option(metavar="HEX", help="A second key of the server.")
    ] = None,
    claim: Annotated[
        str | None, typer.Option(metavar="CODE", help="As `birthkey claim new` prints it.")
    ] = None,
    modem: Annotated[
        str | None, typer.Option(metavar="DIALECT", help="The modem's dialect, as esp_at.")
    ] = None,
    ssid: Annotated[str | None, typer.Option(help="The Wi-Fi network.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help=f"Holds the network's password; else {PASSWORD}, or it is asked for."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The ca.pem of `birthkey ca`: the board speaks TLS, or not at all."
        ),
    ] = None,
    client_certificate: Annotated[
        bool, typer.Option("--client-certificate", help="Show the server one, in TLS.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="A birthkey.json to begin with, instead of the board's.")
    ] = None,
    firmware: Annotated[
        Path | None,
        typer.Option(help="The image to flash; else it is built, or taken from the cache."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"How to write it: {', '.join(METHODS)}; for the RP2040 it is uf2."),
    ] = None,
    application_only: Annotated[
        bool, typer.Option("--app", help="Leave the firmware, and copy birthkey beside it.")
    ] = False,
    erase_identity: Annotated[
        bool,
        typer.Option("--erase-identity", help="Make the board forget who it is, for ever."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for the id of an identity to erase.")
    ] = False,
    list_ports: Annotated[
        bool, typer.Option("--list", help="List serial ports, and ask what is on those with USB.")
    ] = False,
) -> None:
    """Flash a board. Nothing is written that is there already; an identity is never touched."""
    console = Console(highlight=False, soft_wrap=True)
    if list_ports or port is None or board is None:
        for line in listing(ask=list_ports):
            console.print(fitting(printable(line), console.encoding), markup=False)
        if list_ports:
            return
        _fail("say which board is on which port: make flash BOARD=NAME PORT=PORT", code=2)
    try:
        if board not in names():
            _fail(f"there is no board {board}: boards/ has {', '.join(names())}", code=2)
        changes = Changes(
            file=config,
            server=server,
            server_key=server_key,
            backup_key=backup_key,
            claim=claim,
            modem=_modem(modem, ssid, password_file),
            ca=ca,
            client_certificate=client_certificate,
        )
        if method is not None and method not in METHODS:
            _fail(f"there is no method {method}: there is {', '.join(METHODS)}", code=2)
        session = Session(board, port, console, method)
        session.run(
            changes,
            image=firmware,
            application_only=application_only,
            erase_identity=erase_identity,
            confirm=None if yes else _typed_id,
        )
    except (BuildError, ConfigurationError, IdentityError, ImageError) as error:
        _fail(str(error))
    except (FirmwareError, ReplError) as error:
        _fail(f"{error}")


def _modem(dialect: str | None, ssid: str | None, password_file: Path | None) -> dict[str, str]:
    """What the options say of the modem. The password is never one: others would see it."""
    said = {"dialect": dialect, "ssid": ssid}
    if password_file is not None:
        try:
            said["password"] = password_file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {password_file}: {error}") from None
    elif PASSWORD in os.environ:
        said["password"] = os.environ[PASSWORD]
    elif ssid is not None:
        if not is_terminal():
            raise ConfigurationError(
                f"the password of {ssid} is missing: {PASSWORD} (empty for an open network) or"
                " --password-file"
            )
        said["password"] = typer.prompt(f"Password of {ssid}", hide_input=True, default="")
    return {name: value for name, value in said.items() if value is not None}


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def _typed_id(shown: str) -> str:
    """What is typed when the id of the identity that is to go has to be typed back."""
    answer: str = typer.prompt(
        "Its readings will be refused, and the board will be another device.\n"
        f"Type {shown} to erase it"
    )
    return answer


def _fail(sentence: str, code: int = 1) -> NoReturn:
    typer.echo(printable(f"flash: {sentence}"), err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m boards.flash")
