"""The identity on a board: it outlives every flashing, and goes only when a person says so."""

from __future__ import annotations

from collections.abc import Callable

from birthkey_host.repl import Repl
from boards.flash.probe import Found, Identity

_DAMAGED = "damaged"

# Thousands of readings may have to go with it.
_PATIENCE = 600


class IdentityError(Exception):
    """An identity stays, or has changed; the text says why."""


def erase(repl: Repl, found: Found, confirm: Callable[[str], str] | None) -> str:
    """Erase the identity, once its id was typed back, or without when `confirm` is None.

    What was erased.
    """
    identity = found.identity
    assert identity is not None
    shown = _DAMAGED if identity.damaged else identity.device_id.hex()
    if confirm is not None and "".join(confirm(shown).split()).lower() != shown:
        raise IdentityError("that is not its id: nothing was erased, and nothing written")
    if found.birthkey is None:
        raise IdentityError(
            "the board has an identity, and no birthkey that could erase it: repeat the command"
            " without ERASE_IDENTITY=1, which puts it there, and then with it"
        )
    repl.run(f"from birthkey.erasure import erase\nerase({found.state!r})", patience=_PATIENCE)
    return shown


def check_kept(before: Identity | None, after: Found) -> str | None:
    """Refuse a board whose identity is not the one it had; else a sentence about it, if any."""
    now = after.identity
    if before is None:
        return None
    if now is None or now.public != before.public:
        raise IdentityError(
            "the identity is not the one that the board had before: its flash is damaged, or the"
            " firmware looks for it elsewhere; nothing of it was erased by this command"
        )
    if now.damaged:
        return "the identity is damaged, and was before"
    return f"device {now.device_id.hex(' ', 2)} is who it was"
