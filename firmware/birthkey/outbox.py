"""Messages that wait for the server's authenticated answer, and when to try again."""

import os

from birthkey import message
from birthkey._port import const, ticks_add, ticks_diff

_LAST_SEQUENCE = const(0xFFFFFFFF)


class OutboxFull(Exception):
    """Nothing is ever dropped to make room: the caller decides what to do."""


class Item:
    """A message: its counter and its encoding, which never change."""

    def __init__(self, kind, counter, body):
        self.kind = kind
        self.counter = counter
        self.encoded = message.encode(kind, counter, body)


class Outbox:
    """Queue in RAM of at most `capacity` bytes of messages, oldest first."""

    def __init__(self, boot, capacity):
        self._boot = boot
        self._sequence = 0
        self._room = capacity
        self._items = []

    def __len__(self):
        return len(self._items)

    def make(self, kind, body):
        """An item under the next counter, not queued."""
        if self._sequence > _LAST_SEQUENCE:
            raise RuntimeError("all counters of this boot are used up: restart the board")
        item = Item(kind, self._boot << 32 | self._sequence, body)
        self._sequence += 1
        return item

    def append(self, kind, body):
        """Queue a message; OutboxFull when it does not fit."""
        item = self.make(kind, body)
        if len(item.encoded) > self._room:
            raise OutboxFull(
                "%d messages wait and this one does not fit: deliver() first" % len(self._items)
            )
        self._room -= len(item.encoded)
        self._items.append(item)
        return item

    def oldest(self):
        return self._items[0] if self._items else None

    def remove(self, item):
        """Take out an item that the server has answered for good."""
        self._items.remove(item)
        self._room += len(item.encoded)


class Backoff:
    """When to try again: doubling waits with jitter, so that a fleet does not march in step."""

    def __init__(self, first_ms, most_ms):
        self._first = self._wait = first_ms
        self._most = most_ms
        self._until = None

    def reset(self):
        self._wait = self._first
        self._until = None

    def fail(self, now):
        """Wait from now: between half of the present wait and the whole, then double it."""
        jitter = os.urandom(1)[0] * self._wait >> 9
        self._until = ticks_add(now, self._wait - jitter)
        self._wait = min(2 * self._wait, self._most)

    def ready(self, now):
        return self._until is None or ticks_diff(now, self._until) >= 0
