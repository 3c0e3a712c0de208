"""Why a device counts as cloned, checked anew from the two frames that are kept.

Nothing is taken from the registry on trust but the device's public key: each frame's signature is
verified again, and what the two say is compared again. Anyone who has these rows can do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from birthkey_host import cose, signatures
from birthkey_host.errors import FrameError
from birthkey_host.message import Message, Type, decode_message, parse_status
from birthkey_host.schema import Device, Evidence, Proof

PROOFS = {
    Proof.COUNTER: "one counter, two messages: a board gives each message a counter of its own",
    Proof.BOOT: "one boot number, two encapsulated keys: a board makes one key for each boot",
    Proof.STATUS: "a board says that it was told of a boot above its own: another has booted on",
}


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One of the two frames."""

    row: Evidence
    message: Message | None
    """What it says; None if that cannot be read."""
    authentic: bool
    """Whether the device's key signed it, for that server, `enc` and boot."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is held against a device."""

    proof: Proof
    exhibits: tuple[Exhibit, Exhibit]
    proven: bool
    """Whether the two frames show what `proof` says."""


def examine(device: Device, rows: Sequence[Evidence]) -> Case | None:
    """Check a device's evidence, as `Registry.evidence` gives it; None without any."""
    if len(rows) != 2:
        return None
    first, second = (_exhibit(device, row) for row in rows)
    proof = rows[1].proof
    proven = first.authentic and second.authentic and _shows(proof, first, second)
    return Case(proof, (first, second), proven)


def _exhibit(device: Device, row: Evidence) -> Exhibit:
    try:
        signed = cose.SignedFrame.decode(row.signed_frame)
        message = decode_message(signed.payload)
    except FrameError:
        return Exhibit(row, None, authentic=False)
    to_be_signed = signed.to_be_signed(cose.uplink_aad(row.server_id, row.enc, row.boot))
    backend = signatures.backend(signatures.BACKENDS[0])
    authentic = signed.kid == device.device_id and backend.verify(
        device.public_key, to_be_signed, signed.signature
    )
    return Exhibit(row, message, authentic)


def _shows(proof: Proof, first: Exhibit, second: Exhibit) -> bool:
    one, other = first.message, second.message
    assert one is not None and other is not None
    if proof is Proof.COUNTER:
        return one.counter == other.counter and one.encode() != other.encode()
    if proof is Proof.BOOT:
        return first.row.boot == second.row.boot and first.row.enc != second.row.enc
    try:
        status = parse_status(other.body)
    except ValueError:
        return False
    return other.type == Type.STATUS and status.newest == first.row.boot > second.row.boot
