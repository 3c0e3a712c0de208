"""Runs on MicroPython: a bit flips, or a block is erased, and the board starts again.

Real littlefs on a block device in RAM, with the geometry of a board. After each damage the board
has to keep its identity under a boot number above all before, or to say that flash is damaged;
never may it be another device, or take a boot number again. Arguments: blocks, bytes that are
programmed at once, boots before the damage, of how many programmed bytes one gets a bad bit, and
how many blocks are damaged, from the first. Prints one JSON object.
"""

import json
import sys

import vfs

from birthkey.command import Commands
from birthkey.crypto.entropy import Source, urandom
from birthkey.enrolment import Enrolment
from birthkey.identity import Identity
from birthkey.keystore import Keystore, KeystoreError, mount
from birthkey.outbox import Spool

BLOCK_SIZE = 4096
PATH = "/bad"
STATE = PATH + "/birthkey.id"
SERVER_IDS = [bytes(16)]
SOURCES = (Source("urandom", urandom, 4),)


class Flash:
    """Keeps what it holds apart from what changed since `undo`, so that a start costs little."""

    def __init__(self, blocks):
        self.image = bytearray(b"\xff" * (blocks * BLOCK_SIZE))
        self._blocks = blocks
        self._before = {}

    def remember(self):
        self._before = {}

    def undo(self):
        for block, content in self._before.items():
            start = block * BLOCK_SIZE
            self.image[start : start + BLOCK_SIZE] = content
        self._before = {}

    def change(self, start, content):
        block = start // BLOCK_SIZE
        if block not in self._before:
            self._before[block] = self.image[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE]
        self.image[start : start + len(content)] = content

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        buffer[:] = memoryview(self.image)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self.change(block * BLOCK_SIZE + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            self.change(argument * BLOCK_SIZE, b"\xff" * BLOCK_SIZE)
        return 0


class Board:
    def __init__(self, blocks, progsize):
        self.flash = Flash(blocks)
        self._progsize = progsize

    def start(self, work=None):
        """(public key, boot number) of a start, and what the work that follows on it gives."""
        try:
            mount(self.flash, PATH, self._progsize)
            identity = Identity(Keystore(STATE), SOURCES)
            if work:
                work(identity)
            return identity.public, identity.boot
        finally:
            try:
                vfs.umount(PATH)
            except OSError:
                pass

    def live(self, boots):
        """The life of a board; gives its public key."""
        public, _ = self.start(first_work)
        for _ in range(boots - 1):
            self.start()
        return public

    def outcome(self, public, boot):
        """What the starts after a damage come to, with readings that take flash in between."""
        try:
            for _ in range(3):
                found, now = self.start(later_work)
                if found != public:
                    raise ValueError("another identity")
                if now <= boot:
                    raise ValueError("a boot number again")
                boot = now
        except KeystoreError as error:
            said = "stopped: " + str(error).split(":")[0].split(" /")[0]
        else:
            return "identity kept"
        try:
            self.start()
        except KeystoreError:
            return said
        raise ValueError("it started all the same, the next time")


def first_work(identity):
    store = Keystore(STATE)
    Enrolment(store, SERVER_IDS).accepted()
    commands = Commands(store, SERVER_IDS)
    commands.take(1, {"do": 1})
    commands.obey(lambda body: "done")
    fill(Spool(identity.boot, 20000, store, SERVER_IDS))


def later_work(identity):
    try:
        fill(Spool(identity.boot, 200000, Keystore(STATE), SERVER_IDS))
    except (KeystoreError, OSError):
        pass  # damage to readings, and not what this is about


def fill(spool):
    for size in (10, 2000, 2000):
        spool.append({"pad": bytes(size)})


def programmed(image):
    """(position, byte) of all bytes that are not erased."""
    for position, byte in enumerate(image):
        if byte != 0xFF:
            yield position


def damages(image, share, blocks):
    """(kind, position, bytes) of each damage."""
    used = set()
    for count, position in enumerate(programmed(image[: blocks * BLOCK_SIZE])):
        used.add(position // BLOCK_SIZE)
        if count % share == 0:
            bit = 1 << (position * 5 + count // share) % 8
            yield "bad bit", position, bytes([image[position] ^ bit])
    half = b"\xff" * (BLOCK_SIZE // 2)
    for block in sorted(used):
        start = block * BLOCK_SIZE
        yield "block erased", start, half + half
        yield "first half of a block erased", start, half
        yield "second half of a block erased", start + len(half), half


def main():
    blocks, progsize, boots, share, damaged = [int(argument) for argument in sys.argv[1:6]]
    board = Board(blocks, progsize)
    public = board.live(boots)
    image = bytes(board.flash.image)
    outcomes = {}
    for kind, position, content in damages(image, share, damaged):
        board.flash.remember()
        board.flash.change(position, content)
        try:
            found = board.outcome(public, boots)
        except Exception as error:
            found = "BROKEN: " + repr(error)
        counts = outcomes.setdefault(kind, {})
        counts[found] = counts.get(found, 0) + 1
        board.flash.undo()
    print(json.dumps({"blocks": blocks, "progsize": progsize, "boots": boots, "found": outcomes}))


main()
