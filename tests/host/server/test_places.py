from __future__ import annotations

import random

import pytest

from birthkey_host.origins import origin
from birthkey_host.server.places import Full, Places

DEVICES = [bytes([number]) * 16 for number in range(40)]
DEVICE, OTHER = DEVICES[:2]


class Table(Places[str]):
    """Places of connections `a0`, `a1`, ... from `a`, and so on; chance is the same each time."""

    def __init__(self, total: int = 4, per_source: int = 3, **origins: int) -> None:
        super().__init__(total, per_source, random.Random(7))
        self.now = 0.0
        for source, count in origins.items():
            for number in range(count):
                assert self.come(f"{source}{number}") is None

    def come(self, connection: str, source: str | None = None) -> str | None:
        """Who has to go for it."""
        source = connection.rstrip("0123456789") if source is None else source
        return self.take(connection, origin(source), self.now)

    def has(self, connection: str) -> bool:
        return connection in self._places


def test_everyone_has_a_place_while_there_are_any() -> None:
    assert len(Table(a=3, b=1)) == 4


def test_origin_with_the_most_unproven_gives_way() -> None:
    table = Table(a=1, b=3)
    assert table.come("c0") in ("b0", "b1", "b2")
    assert len(table) == 4


def test_anyone_gives_way_among_equals() -> None:
    victims = set()
    for number in range(50):
        table = Table(a=1, b=1, c=1, d=1)
        table._random.seed(number)
        victims.add(table.come("e0"))
    assert victims == {"a0", "b0", "c0", "d0"}


def test_origin_with_the_most_gives_way_to_itself() -> None:
    table = Table(total=4, per_source=10, a=1, b=3)
    assert table.come("b3") in ("b0", "b1", "b2")


def test_many_connections_of_one_origin_cannot_push_out_a_single_one() -> None:
    table = Table(total=10, per_source=10, board=1, flood=9)
    for number in range(9, 1000):
        table.come(f"flood{number}")
    assert table.has("board0")


def test_full_origin_gives_way_to_itself() -> None:
    table = Table(total=100, per_source=3, a=3, b=2)
    assert table.come("a3") in ("a0", "a1", "a2")
    assert len(table) == 5


class TestNetworks:
    """Of IPv6, where whoever has one has many."""

    @pytest.mark.parametrize(
        ("address", "most"),
        [("2001:db8::{}", 10), ("2001:db8:0:{}::1", 20), ("2001:db8:0:{}00::1", 40)],
        ids=["/64", "/56", "/48"],
    )
    def test_each_level_has_its_share(self, address: str, most: int) -> None:
        table = Table(total=1000, per_source=10)
        for number in range(100):
            table.come(f"x{number}", address.format(number))
        assert len(table) == most

    def test_networks_side_by_side_have_one_each(self) -> None:
        table = Table(total=1000, per_source=1)
        for number in range(100):
            table.come(f"x{number}", f"2001:db8:{number}::1")
        assert len(table) == 100

    def test_one_with_a_thousand_networks_cannot_push_out_a_single_one(self) -> None:
        table = Table(total=100, per_source=1000)
        for number, address in enumerate(("192.0.2.1", "2001:db8:ffff::1")):
            table.come(f"board{number}", address)
        for number in range(1000):
            table.come(f"x{number}", f"2001:db8:0:{number:x}::1")
        assert table.has("board0") and table.has("board1")

    def test_within_a_network_the_part_with_the_most_gives_way(self) -> None:
        table = Table(total=12, per_source=1000)
        table.come("quiet", "2001:db8:0:100::1")
        table.come("still", "2001:db8:0:201::1")
        for number in range(100):
            table.come(f"x{number}", f"2001:db8:0:2{number % 2 * 2:02}::1")
        assert table.has("quiet") and table.has("still")


class TestWaiting:
    def test_frame_that_waits_keeps_the_place(self) -> None:
        table = Table(total=10, a=1)
        table.waits("a0")
        for number in range(1000):
            table.come(f"b{number}", f"source {number}")
        assert table.has("a0")

    def test_frame_that_waits_no_more_does_not(self) -> None:
        table = Table(total=10, a=1)
        table.waits("a0")
        table.rests("a0")
        for number in range(1000):
            table.come(f"b{number}", f"source {number}")
        assert not table.has("a0")

    def test_frames_that_wait_are_no_way_to_keep_the_table(self) -> None:
        """The idle one is one among many, however many of the others have sent something."""
        table = Table(total=100, board=1)
        for number in range(100):
            table.come(f"x{number}", f"source {number}")
            table.waits(f"x{number}")
        assert table.has("board0")
        assert len(table._waiting) > 90

    def test_what_is_being_handled_never_goes(self) -> None:
        table = Table(total=1, a=1)
        table.handled("a0")
        with pytest.raises(Full, match="too many connections"):
            table.come("b0")
        assert table.has("a0") and len(table) == 1
        table.rests("a0")
        assert table.come("b0") == "a0"

    def test_source_whose_frame_is_being_handled_is_full(self) -> None:
        table = Table(total=9, per_source=1, a=1)
        table.handled("a0")
        with pytest.raises(Full, match="too many connections from there"):
            table.come("a1")
        assert table.come("b0") is None

    def test_one_that_waits_for_a_time_keeps_its_place_for_that_time(self) -> None:
        table = Table(total=10, a=1)
        table.waits("a0", until=5.0)
        table.now = 4.9
        for number in range(1000):
            table.come(f"b{number}", f"source {number}")
        assert table.has("a0")
        table.now = 5.0
        for number in range(1000):
            table.come(f"c{number}", f"source {number}")
        assert not table.has("a0")

    def test_time_may_be_given_again(self) -> None:
        table = Table(total=2, a=1, b=1)
        table.waits("a0", until=5.0)
        table.waits("b0", until=6.0)
        table.waits("a0", until=7.0)
        table.now = 6.5
        assert table.come("c0") == "b0"


class TestProven:
    def test_it_does_not_give_way_to_strangers(self) -> None:
        table = Table(total=4, per_source=4, a=3, b=1)
        table.prove("a0", DEVICE)
        for number in range(1000):
            table.come(f"x{number}", f"source {number}")
        assert table.has("a0") and table.device("a0") == DEVICE

    def test_all_places_proven_the_idlest_gives_way(self) -> None:
        table = Table(total=4, per_source=4, a=4)
        for number in range(4):
            table.prove(f"a{number}", DEVICES[number])
        table.waits("a0")
        table.rests("a0")
        assert table.come("b0") == "a1"

    def test_quarter_is_for_those_who_have_not_proven_themselves(self) -> None:
        """Else the only one that has not yet would go for the next one."""
        table = Table(total=40, per_source=40, a=40)
        for number in range(40):
            table.prove(f"a{number}", DEVICES[number])
        gone = [table.come(f"b{number}", f"source {number}") for number in range(10)]
        assert gone == [f"a{number}" for number in range(10)]
        more = {table.come(f"c{number}", f"source {number}") for number in range(1000)}
        assert not any(str(victim).startswith("a") for victim in more)

    def test_source_of_proven_connections_gives_way_to_itself(self) -> None:
        table = Table(total=9, per_source=1, a=1)
        table.prove("a0", DEVICE)
        assert table.come("a1") == "a0"
        assert table.come("b0") is None

    def test_it_goes_while_its_frame_waits_only_if_no_other_can(self) -> None:
        table = Table(total=2, per_source=2, a=2)
        table.prove("a0", DEVICE)
        table.prove("a1", OTHER)
        table.waits("a0")
        assert table.come("b0") == "a1"
        table.handled("b0")
        assert table.come("c0") == "a0"

    def test_device_has_one_its_last(self) -> None:
        table = Table(total=2, per_source=2, a=1, b=1)
        table.prove("a0", DEVICE)
        table.prove("b0", DEVICE)
        assert table.device("a0") is None
        assert table.come("c0") == "a0"

    def test_one_device_cannot_fill_the_table(self) -> None:
        table = Table(total=4, per_source=4, a=4)
        for number in range(4):
            table.prove(f"a{number}", DEVICE)
        assert table.come("b0") in ("a0", "a1", "a2")
        assert table.device("a3") == DEVICE

    def test_connection_that_proves_itself_for_another_device_is_that_ones(self) -> None:
        table = Table(a=1)
        table.prove("a0", DEVICE)
        table.prove("a0", OTHER)
        table.prove("a0", OTHER)
        assert table.device("a0") == OTHER
        assert list(table._devices) == [OTHER]

    def test_connection_in_doubt_gives_way(self) -> None:
        table = Table(total=4, per_source=4, a=4)
        table.prove("a0", DEVICE)
        table.prove("a1", OTHER)
        table.doubt("a0")
        table.doubt("a0")
        assert table.device("a0") is None
        assert {table.come(f"b{n}", f"source {n}") for n in range(100)} >= {"a0", "a2", "a3"}
        assert table.has("a1")

    def test_connection_that_has_left_can_neither_prove_nor_be_in_doubt(self) -> None:
        table = Table(a=1)
        table.leave("a0")
        table.prove("a0", DEVICE)
        table.doubt("a0")
        table.waits("a0", until=1.0)
        table.rests("a0")
        assert table.device("a0") is None


def test_place_is_free_again() -> None:
    table = Table(total=2, per_source=1, a=1, b=1)
    table.prove("a0", DEVICE)
    table.leave("a0")
    table.leave("a0")
    assert len(table) == 1
    assert table.come("a1") is None


def test_one_gives_way_when_the_system_has_no_more() -> None:
    table = Table(total=100, a=1, b=3)
    assert table.give_way(0.0) in ("b0", "b1", "b2")
    assert len(table) == 3
    for name in list(table._places):
        table.handled(name)
    assert table.give_way(0.0) is None


def test_nothing_is_left_behind_by_whatever_happens() -> None:
    dice = random.Random(7)
    places = Places[int](20, 5, random.Random(8))
    present: dict[int, str] = {}
    for connection in range(4000):
        address = dice.choice(["192.0.2.{}", "2001:db8:0:{}::1", "2001:db8:{}::"])
        source = address.format(dice.randrange(1, 7))
        now = connection / 10
        try:
            victim = places.take(connection, origin(source), now)
        except Full:
            pass
        else:
            present[connection] = source
            if victim is not None:
                del present[victim]
        for action in (places.leave, places.doubt, places.waits, places.handled, places.rests):
            if present and dice.random() < 0.3:
                chosen = dice.choice(sorted(present))
                action(chosen)
                if action == places.leave:
                    del present[chosen]
        if present and dice.random() < 0.6:
            places.prove(dice.choice(sorted(present)), bytes([dice.randrange(30)]))
        if present and dice.random() < 0.3:
            places.waits(dice.choice(sorted(present)), until=now + 1)
        assert set(places._places) == set(present) and len(places) <= 20
        for network, count in ((n.all, n.limit) for n in places._networks.values()):
            assert 0 < network <= count
        names = {name for source in present.values() for name in origin(source)}
        assert set(places._networks) == names
        assert {c: p.device for c, p in places._places.items() if p.device} == {
            connection: device for device, connection in places._devices.items()
        }
        assert places._whole.all == len(present)
        assert places._whole.proven == len(places._devices)
    for connection in list(present):
        places.leave(connection)
    assert not (places._places or places._networks or places._devices or places._until)
    assert not (places._idle or places._waiting)
    assert not (places._idle._by_weight or places._idle._heaviest or places._idle._networks)
    assert not (places._whole.resting or places._whole.waiting or places._whole.all)
