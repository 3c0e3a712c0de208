"""Claim codes: each lets one board in, once.

A code is 128 random bits, shown to the person who asked for it and to nobody after that. The
database keeps its SHA-256, which needs no salt: nobody can guess 128 bits. But a board's enrol
carries the code, and the log keeps enrols. So every code in a frame that is kept, for whatever
reason, is spent in the same transaction: what the database holds is spent or was never valid here.
"""

from __future__ import annotations

import hashlib
import os

from sqlalchemy import select
from sqlalchemy.orm import Session

from birthkey_host import events
from birthkey_host.schema import Action, Claim, Device

SIZE = 16
"""Bytes of a code."""


def issue(
    session: Session, count: int, *, label: str | None, expires: float | None, who: str, now: float
) -> list[bytes]:
    """Make `count` codes that are valid until `expires`, Unix seconds, or for ever."""
    codes = [os.urandom(SIZE) for _ in range(count)]
    session.add_all(
        Claim(sha256=_digest(code), label=label, issued=now, expires=expires) for code in codes
    )
    why = f"claim codes: {count}, {_named(label)}"
    events.append(session, at=now, who=who, action=Action.ISSUED, device_id=None, why=why)
    return codes


def is_valid(session: Session, code: bytes | None, now: float) -> bool:
    """Whether `code` would let a board in; it stays locked, so that it is still so at the end."""
    claim = _claim(session, code)
    return (
        claim is not None and claim.spent is None and (claim.expires is None or now < claim.expires)
    )


def spend(session: Session, device: Device, code: bytes | None, now: float) -> None:
    """Make `code` useless, expired or not, if it was issued here and is not spent yet.

    The device takes the label of its code, unless it has one.
    """
    claim = _claim(session, code)
    if claim is None or claim.spent is not None:
        return
    claim.spent = now
    claim.device_id = device.device_id
    device.label = device.label or claim.label
    why = f"spent a claim code, {_named(claim.label)}"
    events.append(
        session,
        at=now,
        who="server",
        action=Action.CLAIMED,
        device_id=device.device_id,
        why=why,
    )


def _claim(session: Session, code: bytes | None) -> Claim | None:
    if code is None:
        return None
    row = select(Claim).where(Claim.sha256 == _digest(code)).with_for_update()
    return session.scalars(row).one_or_none()


def _named(label: str | None) -> str:
    return f"label {label}" if label else "without a label"


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()
