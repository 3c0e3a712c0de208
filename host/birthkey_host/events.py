"""Audit events: who did what to a device, when and why, in a chain of hashes.

Each event's hash is SHA-256 over the hash before it and the event's encoding, so that none can be
changed, inserted or removed without every later hash changing. What the chain alone cannot show is
that its end was cut off: keep the last hash somewhere else to see that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from birthkey_host import cbor
from birthkey_host.schema import Action, Event, Meta

GENESIS = bytes(32)
"""The hash before the first event."""


class BrokenChain(ValueError):
    """An event does not continue the chain; `.number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"event {number} does not continue the chain")
        self.number = number


def append(
    session: Session, *, at: float, who: str, action: Action, device_id: bytes | None, why: str
) -> Event:
    """Add an event at the end of the chain, in the caller's transaction.

    `at`: Unix seconds. `device_id` is None for what is about no device, as issuing claim codes.
    """
    session.execute(select(Meta.version).with_for_update()).all()  # nobody else finds this end
    last = session.scalars(select(Event).order_by(Event.number.desc()).limit(1)).one_or_none()
    event = Event(
        number=last.number + 1 if last else 1,
        at=at,
        who=who,
        action=action,
        device_id=device_id,
        why=why,
    )
    event.hash = digest(last.hash if last else GENESIS, event)
    session.add(event)
    session.flush()  # so that a second event of this transaction finds this one
    return event


def digest(previous: bytes, event: Event) -> bytes:
    """SHA-256(previous || CBOR [number, at, who, action, device_id, why]), 32 bytes."""
    fields = [
        event.number,
        float(event.at),
        event.who,
        event.action.value,
        event.device_id,
        event.why,
    ]
    return hashlib.sha256(previous + cbor.dumps(fields)).digest()


def verify(events: Iterable[Event]) -> bytes:
    """Follow the chain from its start and return its last hash; `BrokenChain` where it breaks."""
    previous = GENESIS
    for event in events:
        if event.hash != digest(previous, event):
            raise BrokenChain(event.number)
        previous = event.hash
    return previous
