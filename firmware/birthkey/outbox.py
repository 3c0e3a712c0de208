"""Messages that wait for the server's authenticated answer, and when to try again."""

import os

from birthkey import message
from birthkey._port import Timer, const
from birthkey.keystore import KeystoreError

_LAST_SEQUENCE = const(0xFFFFFFFF)
_RESERVED_BLOCKS = const(4)


class OutboxFull(Exception):
    """Nothing is ever dropped to make room: the caller decides what to do."""


class Item:
    """A message: its counter and its encoding, which never change."""

    def __init__(self, kind, counter, encoded):
        self.kind = kind
        self.counter = counter
        self.encoded = encoded


class Outbox:
    """Queue in RAM of at most `capacity` bytes of messages, oldest first."""

    damaged = 0

    def __init__(self, boot, capacity):
        self._boot = boot
        self._sequence = 0
        self._room = capacity
        self._items = []

    def __len__(self):
        return len(self._items)

    def make(self, kind, body):
        """An item under the next counter, not queued; ValueError when it cannot be sent."""
        if self._sequence > _LAST_SEQUENCE:
            raise RuntimeError("all counters of this boot are used up: restart the board")
        counter = self._boot << 32 | self._sequence
        item = Item(kind, counter, message.encode(kind, counter, body))
        self._sequence += 1
        return item

    def waiting(self, counter):
        """The item of that counter, if it waits."""
        for item in self._items:
            if item.counter == counter:
                return item
        return None

    def postpone(self, item):
        """Let the others go before it."""
        self._items.remove(item)
        self._items.append(item)

    def remove_others(self):
        return 0

    def append(self, body):
        """Queue a reading; OutboxFull when it does not fit."""
        item = self.make(message.DATA, body)
        self._take_room(len(item.encoded))
        self._items.append(item)
        return item

    def oldest(self):
        """The item that waits the longest, None when none does."""
        return self._items[0] if self._items else None

    def remove(self, item):
        """Take out an item that the server has answered for good."""
        self._items.remove(item)
        self._room += len(item.encoded)

    def _take_room(self, size):
        if size > self._room:
            raise OutboxFull("%d readings wait, and this one does not fit" % len(self))
        self._room -= size


class Spool(Outbox):
    """The outbox on flash: a record for each message, named by its counter in hex digits.

    Counters rise with boots and within them, so their order is that of the readings. A
    record that is damaged is left where it is, counted in `damaged` and passed over.
    """

    def __init__(self, boot, capacity, store):
        super().__init__(boot, capacity)
        self._store = store
        self._present = None
        sizes = store.sizes()
        self._items = sorted(sizes)
        self._room -= sum(sizes.values())

    def append(self, body):
        # A board whose flash is full could not write its next boot number, and so not start.
        if self._store.free_blocks() < _RESERVED_BLOCKS:
            raise OutboxFull(
                "flash is full, %d readings wait; its last blocks are kept for starting" % len(self)
            )
        item = self.make(message.DATA, body)
        self._take_room(len(item.encoded))
        name = _name(item.counter)
        try:
            self._store.write(name, item.encoded)
        except KeystoreError:
            self._room += len(item.encoded)
            raise
        self._items.append(name)
        return item

    def oldest(self):
        while self._present is None and self._items:
            name = self._items[0]
            try:
                encoded = self._store.read(name, 1, message.MAX_SIZE)
                self._present = Item(message.DATA, int(name, 16), encoded)
            except (KeystoreError, ValueError):
                self.damaged += 1
                self._items.pop(0)
        return self._present

    def remove(self, item):
        self._store.remove(_name(item.counter))
        self._items.pop(0)
        self._present = None
        self._room += len(item.encoded)


def _name(counter):
    return "%016x" % counter


class Backoff:
    """When to try again: doubling waits with jitter, so that a fleet does not march in step."""

    def __init__(self, first_ms, most_ms):
        self._first = self._wait = first_ms
        self._most = most_ms
        self._timer = Timer(0)

    def reset(self):
        self._wait = self._first
        self._timer.start(0)

    def fail(self):
        """Wait from now on: between half of the present wait and the whole, then double it."""
        jitter = os.urandom(1)[0] * self._wait >> 9
        self._timer.start(self._wait - jitter)
        self._wait = min(2 * self._wait, self._most)

    def ready(self):
        """Whether the wait is over, of which only what passes between two looks counts."""
        return not self._timer.left()
