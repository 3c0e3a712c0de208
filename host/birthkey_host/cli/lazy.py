"""The commands of `birthkey`: each is loaded when it is called, and not for the list of all."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from birthkey_host.errors import Unable

COMMANDS = {
    "init": ("server", "init", "Make the server's key and an empty registry."),
    "serve": (
        "server",
        "serve",
        "Serve boards over TCP and TLS, or one on a serial port, until SIGINT or SIGTERM.",
    ),
    "server-key": (
        "server",
        "server_key",
        "Print the server's public key as boards are given it: 128 hex digits, x || y.",
    ),
    "devices": ("devices", "devices", "List the devices, the oldest first."),
    "show": ("devices", "show", "Show one device, its commands and what happened to it."),
    "factory": (
        "factory",
        "factory",
        "Register a board on the bench, before it is packed; the server may then run as allowlist.",
    ),
    "approve": ("life", "approve", "Let a device in, by its whole id."),
    "suspend": ("life", "suspend", "Refuse a device until it is approved again."),
    "revoke": ("life", "revoke", "Refuse a device for ever, as a stolen one."),
    "delete": ("life", "delete", "Delete a device and all that it sent."),
    "messages": ("messages", "messages", "Print the stored messages, the oldest first."),
    "prune": ("life", "prune", "Delete old messages."),
    "backup": (
        "keeping",
        "backup",
        "Copy the registry into one file, while servers go on.",
    ),
    "upgrade": (
        "keeping",
        "upgrade",
        "Bring a registry of an earlier version up to this program's.",
    ),
    "send": ("send", "send", "Queue a command for a device."),
    "audit": ("audit", "audit", "Print who did what, when and why, or check it."),
    "inspect": (
        "tools",
        "inspect",
        "Explain a frame, a signed-frame, a message or an answer, byte by byte.",
    ),
    "modem": (
        "tools",
        "modem",
        "Run a simulated ESP-AT modem on a serial port of its own until SIGINT or SIGTERM.",
    ),
    "claim": ("claims", "app", "Claim codes, each of which lets one board in."),
    "bad-key": ("bad_keys", "app", "Keys that must not become a device's."),
    "ca": (
        "ca",
        "app",
        "The CA that signs the server's certificate for TLS; boards trust no other.",
    ),
}
"""By name, in the order of the help text: the module, what in it, and how its own help begins."""


class Failure(Exception):
    """A command ends here: the sentence is printed, and `code` is its exit code."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Commands(TyperGroup):
    """The group of all of them. Turns what cannot be done into a sentence."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, _, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text))  # for help texts alone

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if found is None else load(str(found.name)), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Failure, Unable) as error:
            from birthkey_host.cli.common import printable

            sentence = printable(f"birthkey: {ctx.obj.hint(str(error))}")
            typer.echo(sentence, err=True)
            raise typer.Exit(error.code if isinstance(error, Failure) else 1) from error


@cache
def load(name: str) -> TyperCommand | TyperGroup:
    """The command itself, from its module."""
    module, attribute, _ = COMMANDS[name]
    found = getattr(import_module(f"birthkey_host.cli.{module}"), attribute)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    command = get_group(alone).commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)
    return command
