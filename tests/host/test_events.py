from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from birthkey_host import cbor, events
from birthkey_host.database import open_engine
from birthkey_host.schema import VERSION, Action, Base, Event, Meta

DEVICE = bytes(range(16))


@pytest.fixture
def session(url: str, tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "registry.sqlite3").touch()
    engine = open_engine(url, busy_timeout=1)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Meta(number=1, version=VERSION))
        yield session
    engine.dispose()


@pytest.fixture
def chain(session: Session) -> list[Event]:
    return [
        events.append(
            session,
            at=1000.5 + number,
            who="ada",
            action=Action.APPROVED,
            device_id=DEVICE,
            why=f"reason {number}",
        )
        for number in range(4)
    ]


def test_empty_chain_ends_where_it_begins() -> None:
    assert events.verify([]) == events.GENESIS == bytes(32)


def test_events_are_numbered_from_one(chain: list[Event]) -> None:
    assert [event.number for event in chain] == [1, 2, 3, 4]


def test_hash_covers_the_hash_before_and_the_encoded_event(chain: list[Event]) -> None:
    encoded = cbor.dumps([2, 1001.5, "ada", "approved", DEVICE, "reason 1"])
    assert chain[1].hash == hashlib.sha256(chain[0].hash + encoded).digest()


def test_whole_chain_verifies_to_its_last_hash(chain: list[Event]) -> None:
    assert events.verify(chain) == chain[-1].hash


def test_chain_survives_the_database(session: Session, chain: list[Event]) -> None:
    session.commit()
    session.expire_all()
    assert events.verify(session.query(Event).order_by(Event.number)) == chain[-1].hash


def test_whole_seconds_hash_alike_before_and_after_the_database(session: Session) -> None:
    event = events.append(session, at=5, who="ada", action=Action.CLONED, device_id=DEVICE, why="")
    session.commit()
    session.expire_all()
    assert events.verify([event]) == event.hash


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", 1.0),
        ("who", "eve"),
        ("action", Action.EXPIRED),
        ("device_id", bytes(16)),
        ("why", "nothing"),
        ("hash", bytes(32)),
    ],
)
def test_changed_event_breaks_the_chain_there(
    chain: list[Event], field: str, value: object
) -> None:
    setattr(chain[2], field, value)
    with pytest.raises(events.BrokenChain) as broken:
        events.verify(chain)
    assert broken.value.number == 3


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_removed_event_breaks_the_chain(chain: list[Event], removed: int) -> None:
    del chain[removed]
    with pytest.raises(events.BrokenChain):
        events.verify(chain)


def test_removed_event_is_not_hidden_by_new_numbers(chain: list[Event]) -> None:
    del chain[1]
    for number, event in enumerate(chain, start=1):
        event.number = number
    with pytest.raises(events.BrokenChain) as broken:
        events.verify(chain)
    assert broken.value.number == 2


def test_swapped_events_break_the_chain(chain: list[Event]) -> None:
    chain[1], chain[2] = chain[2], chain[1]
    with pytest.raises(events.BrokenChain):
        events.verify(chain)


def test_rolled_back_event_leaves_no_gap(session: Session, chain: list[Event]) -> None:
    session.commit()
    for undo in (True, False):
        event = events.append(
            session, at=2000.0, who="ada", action=Action.APPROVED, device_id=DEVICE, why=""
        )
        assert event.number == 5
        if undo:
            session.rollback()
    assert events.verify(session.query(Event).order_by(Event.number)) == event.hash
