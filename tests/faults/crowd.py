"""How many strangers it takes to keep boards out of a server's places, in virtual time.

`python crowd.py` prints the table in docs/threat-model.md. Nothing is sent and no clock runs: it
is `Places` alone, a crowd that connects at a rate from many addresses in turn, each with as many
connections as every other, and boards that connect among them. A board says something `delay`
seconds after it has connected, as over a slow modem or with TLS; it is served if it still has its
place then, else it connects again after 1 s, 2 s, 4 s and so on to 60 s, as the firmware does.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from dataclasses import dataclass, field

from birthkey_host.server.places import Places
from birthkey_host.server.tcp import Limits

FIRST_RETRY_S, MOST_RETRY_S = 1.0, 60.0
GIVEN_UP_S = 3600.0


@dataclass(eq=False)
class Board:
    address: str
    delay: float
    began: float
    retry: float = FIRST_RETRY_S
    tries: int = 0


@dataclass
class Crowd:
    """`moving`: seconds for which each stranger's connection waits, as after a TLS hello; 0: it
    says nothing."""

    addresses: int
    rate: float
    delay: float
    places: int = Limits().connections
    moving: float = 0.0
    seed: int = 0
    boards: int = 50  # at once
    table: Places[object] = field(init=False)

    def __post_init__(self) -> None:
        self.table = Places(self.places, self.places, random.Random(self.seed))
        self._numbers = itertools.count()

    def run(self, served: int) -> tuple[float, list[float]]:
        """Until so many boards were served or have given up: the part of them that was served at
        its first try, and the seconds that each had to wait, `delay` among them."""
        for _ in range(self.places):
            self._stranger(0.0)
        now, waits, at_once = 0.0, list[float](), 0
        events: list[tuple[float, int, str, Board]] = []

        def at(when: float, what: str, board: Board) -> None:
            heapq.heappush(events, (when, next(self._numbers), what, board))

        for number in range(self.boards):
            begins = number * self.delay / self.boards
            at(begins, "connect", self._board(begins))
        ticks = itertools.count(1)
        next_stranger = 0.0
        while len(waits) < served:
            while events[0][0] <= next_stranger:
                now, _, what, board = heapq.heappop(events)
                if what == "connect":
                    board.tries += 1
                    self.table.take(board, (board.address,), now)
                    at(now + self.delay, "speak", board)
                    continue
                if board in self.table._places or now - board.began > GIVEN_UP_S:
                    self.table.leave(board)  # it is proven now, and nobody's victim
                    waits.append(now - board.began)
                    at_once += board.tries == 1
                    at(now, "connect", self._board(now))
                else:
                    at(now + board.retry, "connect", board)
                    board.retry = min(2 * board.retry, MOST_RETRY_S)
            self._stranger(next_stranger)
            next_stranger = next(ticks) / self.rate
        return at_once / len(waits), waits

    def _board(self, now: float) -> Board:
        return Board(f"board {next(self._numbers)}", self.delay, now)

    def _stranger(self, now: float) -> None:
        number = next(self._numbers)
        connection = ("stranger", number)
        self.table.take(connection, (f"address {number % self.addresses}",), now)
        if self.moving:
            self.table.waits(connection, now + self.moving)


def main() -> None:
    print("| addresses | connections/s | delay, s | at the first try | p50, s | p99, s |")
    print("|---|---|---|---|---|---|")
    for addresses, rate, delay in (
        (600, 200, 3.0),
        (9_000, 2_000, 3.0),
        (20_000, 200, 3.0),
        (20_000, 1_000, 0.3),
        (20_000, 1_000, 3.0),
        (20_000, 1_000, 10.0),
        (20_000, 2_000, 3.0),
        (20_000, 2_000, 10.0),
        (65_536, 5_000, 3.0),
    ):
        first, waits = Crowd(addresses, rate, delay).run(1000)
        p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
        crowd = f"| {addresses:,} | {rate:,} | {delay:g} |"
        print(crowd, f"{100 * first:.0f} % | {p50:.1f} | {p99:.0f} |", flush=True)


if __name__ == "__main__":
    main()
