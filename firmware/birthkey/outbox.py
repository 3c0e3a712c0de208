"""Messages that wait for the server's authenticated answer, and when to try again."""

import os
from binascii import hexlify

from birthkey import message
from birthkey._port import Timer, const
from birthkey.keystore import DamagedRecord

_LAST_SEQUENCE = const(0xFFFFFFFF)
_RESERVED_BLOCKS = const(4)
_MOST_POSTPONED = const(4)
_BATCH = const(32)
_DIGITS = const(16)
_SPOOL = "spool-"
_MOST_SURE = const(64)


class OutboxFull(Exception):
    """Nothing is ever dropped to make room: the caller decides what to do."""


class Item:
    """A message: its counter and its encoding, which never change."""

    def __init__(self, kind, counter, encoded):
        self.kind = kind
        self.counter = counter
        self.encoded = encoded


class Outbox:
    """Queue in RAM of at most `capacity` bytes of messages, oldest first.

    Whatever `append` and `remove` raise, they have changed nothing then.
    """

    damaged = others = 0

    def __init__(self, boot, capacity):
        self._boot = boot
        self._sequence = 0
        self._room = capacity
        self._items = []

    def __len__(self):
        return len(self._items)

    def make(self, kind, body):
        """An item under the next counter, not queued; ValueError when it cannot be sent."""
        item = self._item(kind, body)
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

    def append(self, body):
        """Queue a reading; OutboxFull when it does not fit."""
        item = self._fitting(body)
        self._sequence += 1  # first: whatever interrupts, a counter never names two messages
        try:
            self._items.append(item)
        except MemoryError:
            self._sequence -= 1
            raise
        self._room -= len(item.encoded)
        return item

    def oldest(self):
        """The item that waits the longest, None when none does."""
        return self._items[0] if self._items else None

    def has(self, item):
        """Whether the item still waits."""
        return item in self._items

    def remove(self, item):
        """Take out an item that the server has answered for good."""
        self._items.remove(item)
        self._room += len(item.encoded)

    def _item(self, kind, body):
        if self._sequence > _LAST_SEQUENCE:
            raise RuntimeError("all counters of this boot are used up: restart the board")
        counter = self._boot << 32 | self._sequence
        return Item(kind, counter, message.encode(kind, counter, body))

    def _fitting(self, body):
        """An item for a reading; it takes neither its counter nor its room yet."""
        item = self._item(message.DATA, body)
        if len(item.encoded) > self._room:
            raise OutboxFull("%d readings wait, and this one does not fit" % len(self))
        return item


class Spool(Outbox):
    """The outbox on flash: a record for each message, named by its counter in hex digits.

    Counters rise with boots and within them, so their order is that of the readings. Readings
    belong to the server that they were meant for: they are in a folder of `store` that is named
    after its key, the first of `server_ids`; one that is named after another key of its is renamed.
    Those for `others` take room, and are given to nobody. A record that is damaged is
    left where it is, counted in `damaged` and passed over; one that cannot be read is tried again.

    RAM holds the names of the next few records, whatever flash holds.
    """

    def __init__(self, boot, capacity, store, server_ids):
        super().__init__(boot, capacity)
        self._store = store
        self._folder = _folder(server_ids[0])
        for each in server_ids[1:]:
            store.rename_folder(_folder(each), self._folder)
        self._names = []  # of the first records that wait, in order
        self._postponed = []  # names, of those that are given again when no other waits
        self._waiting = 0
        self._last = ""  # name of the last one that has left, or was passed over
        self._present = None
        self._sure = 0  # so many records fit on flash for sure
        self.others = self._others_room = 0
        for folder in self._others():
            for _, size in store.entries(folder):
                self._others_room += size or 0
                self.others += 1
        self._room -= self._others_room
        self._room -= self._look()

    def __len__(self):
        return self._waiting

    def append(self, body):
        self._check_flash()
        item = self._fitting(body)
        name = _name(item.counter)
        path = self._folder + name
        try:
            self._store.write(path, item.encoded)
        except BaseException:
            # A counter never names two messages: not even when flash will not say whether it
            # has kept the first.
            self._sequence += 1
            if self._store.removed(path):
                self._sequence -= 1
            raise
        self._sequence += 1
        self._room -= len(item.encoded)
        self._sure -= 1
        self._waiting += 1
        if self._waiting - 1 == len(self._names) < _BATCH:
            try:
                self._names.append(name)
            except MemoryError:
                pass  # then it is found on flash
        return item

    def oldest(self):
        """The item that waits the longest; KeystoreError when flash does not give it now."""
        while self._present is None and self._waiting:
            if not self._names:
                if self._waiting > len(self._postponed):
                    self._look()
                else:
                    self._names, self._postponed = self._postponed, []
                continue
            try:
                self._present = self._read(self._names[0])
            except DamagedRecord:
                self.damaged += 1
                self._leave()
        return self._present

    def has(self, item):
        # They leave in order.
        name = _name(item.counter)
        if item.kind != message.DATA:
            return False
        return name > self._last or name in self._postponed or name in self._names

    def waiting(self, counter):
        item = self._present
        return item if item is not None and item.counter == counter else None

    def postpone(self, item):
        if len(self._postponed) < _MOST_POSTPONED:
            self._postponed.append(self._names.pop(0))
            self._last = max(self._last, self._postponed[-1])
            self._present = None

    def remove(self, item):
        oldest = self.oldest()
        if oldest is None or item.counter != oldest.counter:
            raise ValueError("not the item that waits the longest")
        self._store.remove(self._folder + self._names[0])
        self._leave()
        self._room += len(item.encoded)

    def remove_others(self, most=0x3FFFFFFF):
        """Remove at most so many readings that wait for other servers; give how many it was."""
        count = 0
        for folder in self._others():
            count += self._store.clear((), most - count, folder)
            if count >= most:
                break
            self._store.remove_folder(folder)
        else:
            count = self.others  # none is left, whatever failed on the way
            self._room += self._others_room
            self._others_room = 0
        self.others -= count
        return count

    def _others(self):
        """The folders of other servers."""
        return [
            name + "/"
            for name, size in self._store.entries()
            if size is None and name.startswith(_SPOOL) and name + "/" != self._folder
        ]

    def _look(self):
        """Take the next names from flash, and count what waits; bytes of all that is there."""
        names = []
        waiting = size = 0
        for name, each in self._store.entries(self._folder):
            size += each or 0
            if len(name) != _DIGITS or name <= self._last:
                continue
            waiting += 1
            if len(names) == _BATCH:
                if name > names[-1]:
                    continue
                names.pop()
            # littlefs lists them in their order, others do not.
            at = len(names)
            while at and names[at - 1] > name:
                at -= 1
            names.insert(at, name)
        self._names = names
        self._waiting = waiting + len(self._postponed)
        return size

    def _read(self, name):
        encoded = self._store.read(self._folder + name, 1, message.MAX_SIZE)
        try:
            counter = int(name, 16)
            begin = message.encode(message.DATA, counter, 0)[:-1]
        except ValueError:
            begin = b"\0"
        if encoded is None or encoded[: len(begin)] != begin:
            raise DamagedRecord("the record %s is of no reading" % name)
        return Item(message.DATA, counter, encoded)

    def _leave(self):
        self._last = max(self._last, self._names.pop(0))
        self._waiting -= 1
        self._present = None

    def _check_flash(self):
        """OutboxFull when flash has no block to spare."""
        if self._sure > 0:
            return
        # littlefs looks at all that it holds for this: not for each reading.
        free, size = self._store.space()
        # A board whose flash is full could not write its next boot number, and so not start.
        if free < _RESERVED_BLOCKS:
            raise OutboxFull(
                "flash is full, %d readings wait; its last blocks are kept for starting" % len(self)
            )
        most = 4 + message.MAX_SIZE // size  # that a record takes, new blocks of its folder too
        self._sure = 1 + min((free - _RESERVED_BLOCKS) // most, _MOST_SURE)


def _folder(server_id):
    return _SPOOL + hexlify(server_id[:4]).decode() + "/"


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
