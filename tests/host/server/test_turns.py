from __future__ import annotations

import random

from birthkey_host.server.turns import Turns


def order(turns: Turns[str]) -> str:
    taken = []
    while (item := turns.pop()) is not None:
        taken.append(item)
    return " ".join(taken)


def queued(*items: str) -> Turns[str]:
    """Each item is named after its groups: `ab1` is in `b`, which is in `a`."""
    turns = Turns[str]()
    for item in items:
        turns.push(item, item[:-1])
    return turns


def test_groups_take_turns_at_each_level() -> None:
    turns = queued("ax1", "ax2", "ay1", "bx1", "bx2", "bx3")
    assert order(turns) == "ax1 bx1 ay1 bx2 ax2 bx3"
    assert not turns and not turns._groups


def test_who_has_just_come_waits_for_two_turns_at_most() -> None:
    turns = queued(*(f"{group}{n}" for group in "abcdefghij" for n in range(9)))
    for _ in range(20):
        assert turns.pop() is not None
    turns.push("z1", "z")
    assert "z1" in (turns.pop(), turns.pop())


def test_who_comes_again_and_again_waits_for_the_others() -> None:
    turns = queued(*(f"{group}{n}" for group in "abcdefghij" for n in range(99)))
    taken = []
    for number in range(100):
        if "z" not in turns._groups:
            turns.push(f"z{number}", "z")
        taken.append(str(turns.pop())[0])
    assert 5 <= taken.count("z") <= 20
    assert min(taken.count(group) for group in "abcdefghij") >= 5


def test_all_who_have_just_come_do_not_keep_the_others_waiting() -> None:
    turns = queued("a1", "a2")
    assert turns.pop() == "a1"
    for number in range(100):
        turns.push(f"new {number}", (f"new {number}",))
    assert "a2" in [turns.pop() for _ in range(4)]


def test_turn_that_was_had_elsewhere_may_count() -> None:
    turns = queued("ax1", "ax2", "ay1", "bx1")
    assert turns.remove("ax1", "ax", spend=0)
    assert order(turns) == "bx1 ay1 ax2"


def test_turn_that_was_had_elsewhere_may_count_for_the_lower_groups() -> None:
    turns = queued("ax1", "ax2", "ay1", "bx1")
    assert turns.remove("ax1", "ax", spend=1)
    assert order(turns) == "ay1 bx1 ax2"


def test_what_was_taken_back_had_no_turn() -> None:
    turns = queued("ax1", "ax2", "ay1", "bx1")
    assert turns.remove("ax1", "ax")
    assert not turns.remove("ax1", "ax")
    assert not turns.remove("az1", "az")
    assert order(turns) == "ax2 bx1 ay1"


def test_everything_has_its_turn_once() -> None:
    dice = random.Random(5)
    turns, waiting = Turns[str](), dict[str, str]()
    for number in range(5000):
        groups = "".join(dice.choice("abc") for _ in range(2))
        turns.push(f"{number}", groups)
        waiting[f"{number}"] = groups
        if dice.random() < 0.4:
            item = dice.choice(list(waiting))
            assert turns.remove(item, waiting.pop(item), spend=dice.choice([None, 0, 1]))
        for _ in range(dice.randrange(3)):
            if (taken := turns.pop()) is not None:
                del waiting[taken]
        assert len(turns) == len(waiting)
    for item, groups in waiting.items():
        assert turns.remove(item, groups)
    assert not (turns or turns._groups or turns._items or turns._new)
