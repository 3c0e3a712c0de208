"""Things that are counted by where they come from, and chosen from at random. No sockets."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random
from typing import Generic, TypeVar

from birthkey_host.origins import Origin, shares

T = TypeVar("T", bound=Hashable)


class Bag(Generic[T]):
    """A set of which one can be chosen at random. Each step takes the same time, however full."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._at: dict[T, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        """Put in what is not there yet."""
        self._at[item] = len(self._items)
        self._items.append(item)

    def remove(self, item: T) -> None:
        """Take out what is there."""
        at, last = self._at.pop(item), self._items.pop()
        if last != item:
            self._items[at] = last
            self._at[last] = at

    def choose(self, random: Random) -> T:
        """Any of them, each as likely."""
        return random.choice(self._items)


class Pool(Generic[T]):
    """Things by the networks of their origins, at each level one below the other.

    Its weight is how many there are in it, in shares, rounded up.
    """

    def __init__(self, share: int = 1) -> None:
        self._share = share
        self._count = 0
        self._items = Bag[T]()
        self._networks: dict[str, Pool[T]] = {}
        self._by_weight: dict[int, Bag[str]] = {}
        self._heaviest = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: T, origin: Origin) -> None:
        """Put in what is not there yet."""
        self._change(item, origin, shares(origin), 1)

    def remove(self, item: T, origin: Origin) -> None:
        """Take out what was put in with this origin."""
        self._change(item, origin, shares(origin), -1)

    def within(self, networks: Origin) -> Pool[T]:
        """What is in the last of `networks`, each of which is in the one before; all if none."""
        pool = self
        for network in networks:
            pool = pool._networks.get(network) or Pool[T]()
        return pool

    def choose(self, random: Random) -> T:
        """One of those in the network that has the most for its share, at each level; at random."""
        pool = self
        while pool._networks:
            pool = pool._networks[pool._by_weight[pool._heaviest].choose(random)]
        return pool._items.choose(random)

    @property
    def _weight(self) -> int:
        return -(-self._count // self._share)

    def _change(self, item: T, origin: Origin, shares: tuple[int, ...], by: int) -> None:
        self._count += by
        if origin:
            network = origin[0]
            pool = self._networks.get(network) or Pool[T](shares[0])
            self._networks[network] = pool
            before = pool._weight
            pool._change(item, origin[1:], shares[1:], by)
            if not pool._count:
                del self._networks[network]
            self._weigh(network, before, pool._weight)
        elif by > 0:
            self._items.add(item)
        else:
            self._items.remove(item)

    def _weigh(self, network: str, before: int, after: int) -> None:
        """Keep `_heaviest` right; weights change by one at most."""
        if before == after:
            return
        if before:
            self._by_weight[before].remove(network)
            if not self._by_weight[before]:
                del self._by_weight[before]
        if after:
            self._by_weight.setdefault(after, Bag()).add(network)
        if after > self._heaviest or self._heaviest not in self._by_weight:
            self._heaviest = after
