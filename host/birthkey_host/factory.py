"""The bench: a board on a cable proves that it holds its key, and is put on the allow-list.

The proof is the protocol's own: the board enrols with a server whose key was made for this one
time. So the signature is fresh, and it is worth nothing to any other server.
"""

from __future__ import annotations

from dataclasses import dataclass

from birthkey_host import bad_keys
from birthkey_host.cose import thumbprint
from birthkey_host.errors import FrameError
from birthkey_host.keys import ServerKey
from birthkey_host.legible import excerpt
from birthkey_host.life import ENDED
from birthkey_host.registry import Registry
from birthkey_host.repl import BoardError, Repl, ReplError
from birthkey_host.schema import State
from birthkey_host.verifier import Verifier

_PATIENCE = 300.0  # seconds: a small processor takes its time to make a key
# An import error is an answer.
_CODE = """\
def enrol():
    try:
        import board
        from birthkey import factory
    except ImportError as error:
        return str(error)
    return factory.enrol(board, KEY)
print(repr(enrol()))
"""
_FAILURES = ("EntropyError", "KeystoreError")  # sentences for people already


class FactoryError(Exception):
    """The board is not registered; the text says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A board that has shown that it holds a key."""

    device_id: bytes
    public_key: bytes
    """x || y, 64 bytes."""
    board: str
    firmware: str
    born: bool
    """Whether it made its key just now."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the registry holds of a board that was registered."""

    label: str | None
    state: str
    """`approved` until its first contact, `active` after it."""


def prove(repl: Repl, now: float) -> Proof:
    """Let the board make its key, if it has none, and prove that it holds it.

    Raises FactoryError or ReplError.
    """
    key = ServerKey.generate()
    try:
        said = repl.ask(f"KEY = {key.public!r}\n{_CODE}", _PATIENCE)
    except BoardError as error:
        if error.kind in _FAILURES:
            raise FactoryError(f"the board says: {error.text}") from None
        raise
    if isinstance(said, str):
        raise FactoryError(
            f"there is no birthkey on the board, or an older one ({excerpt(said, 200)}):"
            " `make flash` puts it there"
        )
    match said:
        case (bool(born), bytes(frame)):
            return _verified(key, born, frame, repl.port, now)
    raise ReplError(f"the board on {repl.port} answered what is no proof")


def _verified(key: ServerKey, born: bool, frame: bytes, port: str, now: float) -> Proof:
    """Check id, key and signature as a server does."""
    try:
        outcome = Verifier([key], lambda device_id: None).receive(frame, source=port, now=now)
    except FrameError as error:
        raise FactoryError(f"the board's proof is not good: {error}") from None
    enrol = outcome.enrol
    if enrol is None:
        raise FactoryError(f"the board's proof is not good: {outcome.detail or 'it is no enrol'}")
    return Proof(outcome.device_id, enrol.public_key, enrol.board, enrol.firmware, born)


def register(
    registry: Registry,
    proof: Proof,
    *,
    label: str | None,
    replaces: bytes | None,
    who: str,
    why: str,
    now: float,
) -> Entry:
    """Put the board on the allow-list, unless it is there. Raises FactoryError, RegistryError."""
    name = proof.device_id.hex()
    _check_key(registry, proof)
    device = registry.device(proof.device_id)
    if device is not None and device.state in ENDED:
        raise FactoryError(
            f"{name} is {device.state.value}, and that is for ever: `make flash ERASE_IDENTITY=1`,"
            f" then `birthkey factory --replaces {name}`"
        )
    if device is not None and device.state is State.SUSPENDED:
        raise FactoryError(f"{name} is suspended: `birthkey approve` ends that")
    if device is not None and device.state is State.ACTIVE:
        return _same(name, Entry(device.label, "active"), label)
    for approval in registry.approvals():
        if approval.device_id == proof.device_id:
            return _same(name, Entry(approval.label, "approved"), label)
    device = registry.approve(
        proof.device_id, label=label, replaces=replaces, who=who, why=why, now=now
    )
    if device is not None:
        return Entry(device.label, "active")
    [approval] = [row for row in registry.approvals() if row.device_id == proof.device_id]
    return Entry(approval.label, "approved")


def _check_key(registry: Registry, proof: Proof) -> None:
    whole = thumbprint(proof.public_key)
    if whole in bad_keys.PUBLISHED or whole in {row.thumbprint for row in registry.bad_keys()}:
        raise FactoryError(
            f"the key of {proof.device_id.hex()} is on the list of bad ones: others know its"
            " private half, so the board's entropy is not to be trusted either"
        )


def _same(name: str, entry: Entry, label: str | None) -> Entry:
    """A board that is registered already, and keeps its label."""
    if label not in (None, entry.label):
        present = f"as {entry.label}" if entry.label else "without a label"
        raise FactoryError(f"{name} is registered already, {present}")
    return entry
