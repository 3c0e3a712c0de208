"""Claim codes: each lets one board in, once.

A code is 128 random bits, shown to the person who asked for it and to nobody after that. The
database keeps its SHA-256, which needs no salt: nobody can guess 128 bits. But a board's enrol
carries the code, and the log keeps enrols. So every code in a frame that is kept, for whatever
reason, is spent in the same transaction: what the database holds is spent or was never valid here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy import delete as delete_from
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from birthkey_host import events
from birthkey_host.schema import Action, Claim, Device, RegistryError

SIZE = 16
"""Bytes of a code."""

NAME = 8
"""Bytes of a code's name: the first ones of its SHA-256, which let nobody in."""


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


def name(sha256: bytes) -> bytes:
    """What a code is listed under, 8 bytes; the code itself is known to nobody here."""
    return sha256[:NAME]


def remove(
    session: Session, chosen: Sequence[bytes], *, who: str, why: str, now: float
) -> list[Claim]:
    """Make codes useless that no board has spent: by their names of 8 bytes, or the codes of 16.

    All of them or none: raises RegistryError for one that is spent or not known.
    """
    removed: dict[bytes, Claim] = {}
    for each in chosen:
        shown = each.hex() if len(each) == NAME else "this code"
        claim = _named_so(session, each)
        if claim is None:
            raise RegistryError(f"there is no {shown}; `birthkey claim list` lists what there is")
        if claim.spent is not None:
            raise RegistryError(
                f"{shown} is spent and lets nobody in any more; it stays on the list as the way in"
                " of its device"
            )
        removed[claim.sha256] = claim
    for claim in removed.values():
        session.delete(claim)
    _removed(session, len(removed), "by name", who, why, now)
    return list(removed.values())


def remove_label(session: Session, label: str, *, who: str, why: str, now: float) -> int:
    """Make the codes with this label useless that no board has spent; their number."""
    count = _delete(session, Claim.label == label)
    _removed(session, count, _named(label), who, why, now)
    return count


def remove_expired(session: Session, *, who: str, why: str, now: float) -> int:
    """Remove the codes that expired before a board spent them; their number."""
    count = _delete(session, Claim.expires <= now)
    _removed(session, count, "expired", who, why, now)
    return count


def withdraw(session: Session, codes: Sequence[bytes], *, who: str, now: float) -> int:
    """Make those of the codes useless that no board has spent: nobody was told them; how many."""
    digests = [_digest(code) for code in codes]
    count = sum(
        _delete(session, Claim.sha256.in_(digests[at : at + 500]))  # databases bound a statement
        for at in range(0, len(digests), 500)
    )
    _removed(session, count, "could not be printed", who, "", now)
    return count


def _delete(session: Session, which: ColumnElement[bool]) -> int:
    result = session.execute(delete_from(Claim).where(Claim.spent.is_(None), which))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _removed(session: Session, count: int, what: str, who: str, why: str, now: float) -> None:
    if count:
        fact = f"claim codes: {count}, {what}"
        why = f"{fact}; {why}" if why else fact
        events.append(session, at=now, who=who, action=Action.REMOVED, device_id=None, why=why)


def _named_so(session: Session, name_or_code: bytes) -> Claim | None:
    """The code of that name, locked."""
    if len(name_or_code) != NAME:
        return _claim(session, name_or_code)
    above = name_or_code + b"\xff" * (32 - NAME)
    row = select(Claim).where(Claim.sha256.between(name_or_code, above)).with_for_update()
    return session.scalars(row).first()


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
