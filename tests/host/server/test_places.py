from __future__ import annotations

import random

import pytest

from birthkey_host.server.places import Full, Places

DEVICE, OTHER = b"d" * 16, b"o" * 16


def filled(total: int = 4, per_origin: int = 3, **origins: int) -> Places[str]:
    """Connections `a0`, `a1`, ... of origin `a`, and so on."""
    places = Places[str](total, per_origin)
    for origin, count in origins.items():
        for number in range(count):
            assert places.take(f"{origin}{number}", origin) is None
    return places


def test_everyone_has_a_place_while_there_are_any() -> None:
    assert len(filled(a=3, b=1)) == 4


def test_origin_with_the_most_unproven_gives_way() -> None:
    places = filled(a=1, b=3)
    assert places.take("c0", "c") == "b0"
    assert len(places) == 4


def test_oldest_gives_way_among_equals() -> None:
    places = filled(a=1, b=1, c=1, d=1)
    assert places.take("e0", "e") == "a0"
    assert places.take("f0", "f") == "b0"


def test_origin_with_the_most_gives_way_to_itself() -> None:
    places = filled(total=4, per_origin=10, a=1, b=3)
    assert places.take("b3", "b") == "b0"


def test_many_connections_of_one_origin_cannot_push_out_a_single_one() -> None:
    places = filled(total=10, per_origin=10, board=1, flood=9)
    for number in range(9, 1000):
        assert places.take(f"flood{number}", "flood") != "board0"


def test_full_origin_gives_way_to_itself() -> None:
    places = filled(total=100, per_origin=3, a=3, b=2)
    assert places.take("a3", "a") == "a0"
    assert len(places) == 5


def test_proven_connection_never_gives_way() -> None:
    places = filled(total=4, per_origin=4, a=3, b=1)
    places.prove("a0", DEVICE)
    assert [places.take(name, name[0]) for name in ("c0", "d0", "e0")] == ["a1", "a2", "b0"]
    assert places.proven("a0")


def test_table_of_proven_connections_is_full() -> None:
    places = filled(total=2, per_origin=2, a=2)
    places.prove("a0", DEVICE)
    places.prove("a1", OTHER)
    with pytest.raises(Full, match="too many connections"):
        places.take("b0", "b")
    assert len(places) == 2


def test_origin_of_proven_connections_is_full() -> None:
    places = filled(total=9, per_origin=1, a=1)
    places.prove("a0", DEVICE)
    with pytest.raises(Full, match="too many connections from there"):
        places.take("a1", "a")
    assert places.take("b0", "b") is None


def test_device_has_one_proven_connection_its_last() -> None:
    places = filled(total=2, per_origin=2, a=1, b=1)
    places.prove("a0", DEVICE)
    places.prove("b0", DEVICE)
    assert not places.proven("a0")
    assert places.take("c0", "c") == "a0"


def test_one_device_cannot_fill_the_table() -> None:
    places = filled(total=4, per_origin=4, a=4)
    for number in range(4):
        places.prove(f"a{number}", DEVICE)
    assert places.take("b0", "b") == "a0"
    assert places.proven("a3")


def test_connection_that_proves_itself_for_another_device_is_that_ones() -> None:
    places = filled(a=1)
    places.prove("a0", DEVICE)
    places.prove("a0", OTHER)
    places.prove("a0", OTHER)
    assert places.proven("a0")
    assert list(places._proven) == [OTHER]


def test_connection_in_doubt_gives_way() -> None:
    places = filled(total=2, per_origin=2, a=1, b=1)
    places.prove("a0", DEVICE)
    places.doubt("a0")
    places.doubt("a0")
    assert not places.proven("a0")
    assert places.take("c0", "c") == "b0"
    assert places.take("d0", "d") == "a0"


def test_place_is_free_again() -> None:
    places = filled(total=2, per_origin=1, a=1, b=1)
    places.prove("a0", DEVICE)
    places.leave("a0")
    places.leave("a0")
    assert len(places) == 1
    assert places.take("a1", "a") is None


def test_connection_that_has_left_can_neither_prove_nor_be_in_doubt() -> None:
    places = filled(a=1)
    places.leave("a0")
    places.prove("a0", DEVICE)
    places.doubt("a0")
    assert not places.proven("a0")


def test_nothing_is_left_behind_by_whatever_happens() -> None:
    dice = random.Random(7)
    places = Places[int](20, 8)
    present: set[int] = set()
    for connection in range(3000):
        try:
            victim = places.take(connection, f"origin {dice.randrange(6)}")
        except Full:
            pass
        else:
            present.add(connection)
            present.discard(-1 if victim is None else victim)
        for action in (places.leave, places.doubt):
            if present and dice.random() < 0.3:
                chosen = dice.choice(sorted(present))
                action(chosen)
                if action == places.leave:
                    present.discard(chosen)
        if present and dice.random() < 0.6:
            places.prove(dice.choice(sorted(present)), bytes([dice.randrange(30)]))
        unproven = {one for group in places._unproven.values() for one in group}
        assert set(places._origins) == present and len(places) <= 20
        assert unproven | set(places._devices) == present
        assert not unproven & set(places._devices)
        assert {c: d for d, c in places._proven.items()} == places._devices
        assert sum(places._counts.values()) == len(present)
        assert max(places._counts.values(), default=0) <= 8
    for connection in present:
        places.leave(connection)
    assert not (places._origins or places._counts or places._unproven or places._proven)
