"""A queue in which groups take turns, and within each the groups that are in it.

Every other turn goes to a group that has just come, if there is one: so who comes once does not
wait for all who are there all the time. A group that has had a turn has not just come until about
everyone else has had one too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Turns(Generic[T]):
    """Things that wait, each with the groups that it is in, the widest first.

    Each step takes the same time, however many wait.
    """

    def __init__(self) -> None:
        self._count = 0
        self._items: OrderedDict[T, None] = OrderedDict()  # of no group below this one
        self._groups: OrderedDict[Hashable, Turns[T]] = OrderedDict()  # whose turn it is first
        self._new: dict[Hashable, None] = {}  # of them, those that have just come
        self._served: set[Hashable] = set()  # those that had a turn in this round
        self._round = 0  # turns that are left of it
        self._odd = False

    def __len__(self) -> int:
        return self._count

    def push(self, item: T, groups: Sequence[Hashable]) -> None:
        """Queue what is not there yet; the things of one place in the tree go in their order."""
        self._count += 1
        if groups:
            group = groups[0]
            below = self._groups.get(group)
            if below is None:
                below = self._groups[group] = Turns[T]()
                if group not in self._served:
                    self._new[group] = None
            below.push(item, groups[1:])
        else:
            self._items[item] = None

    def pop(self) -> T | None:
        """Take out what is next; its group then waits for all others. None if nothing waits."""
        if not self._count:
            return None
        self._count -= 1
        if not self._groups:
            return self._items.popitem(last=False)[0]
        self._odd = not self._odd
        group = next(iter(self._new if self._odd and self._new else self._groups))
        below = self._groups[group]
        item = below.pop()
        self._had_turn(group)
        if not below:
            self._drop(group)
        return item

    def remove(self, item: T, groups: Sequence[Hashable], *, spend: int | None = None) -> bool:
        """Take out what was pushed with these groups; whether it was there.

        `spend`: it had its turn elsewhere, which counts here as that of its groups but so many.
        """
        if groups:
            group, below = groups[0], self._groups.get(groups[0])
            next_level = None if spend is None else max(spend - 1, 0)
            was_there = below is not None and below.remove(item, groups[1:], spend=next_level)
            if was_there and not below:
                self._drop(group)
            elif was_there and spend == 0:
                self._had_turn(group)
        else:
            was_there = item in self._items
            self._items.pop(item, None)
        self._count -= was_there
        return was_there

    def _had_turn(self, group: Hashable) -> None:
        self._groups.move_to_end(group)
        self._new.pop(group, None)
        if self._round <= 0:
            self._served.clear()
            self._round = len(self._groups)
        self._round -= 1
        self._served.add(group)

    def _drop(self, group: Hashable) -> None:
        del self._groups[group]
        self._new.pop(group, None)
