"""Runs on MicroPython: takes memory away until an operation on the spool fails, bit by bit.

Real littlefs on a block device in RAM. With so many bytes left, then some more, an operation is
tried until it is done without an error; each that fails must have changed nothing. Prints one JSON
object.
"""

import gc
import json

import vfs

from birthkey.keystore import Keystore, KeystoreError, mount
from birthkey.outbox import Spool

BLOCKS, BLOCK_SIZE = 32, 4096
PATH = "/small"
SERVER = [bytes(16)]
PIECE = 32
FAILURES = (MemoryError, KeystoreError, OSError)  # making it here would take memory


class Flash:
    def __init__(self):
        self.image = bytearray(b"\xff" * (BLOCKS * BLOCK_SIZE))

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        for at in range(len(buffer)):
            buffer[at] = self.image[start + at]

    def writeblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        for at in range(len(buffer)):
            self.image[start + at] = buffer[at]

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            start = argument * BLOCK_SIZE
            for at in range(BLOCK_SIZE):
                self.image[start + at] = 0xFF
        return 0


gc.collect()
pieces = [None] * (gc.mem_free() // PIECE)


def ballast(left):
    """Take all memory but so many pieces."""
    gc.collect()
    count = 0
    try:
        while True:
            pieces[count] = bytes(PIECE - 1)
            count += 1
    except MemoryError:
        pass
    # What is left is not in one piece.
    while left:
        count -= 1
        left -= 1
        pieces[count] = None


def let_go():
    number = len(pieces)
    while number:
        number -= 1
        pieces[number] = None
    gc.collect()


def encodings(spool):
    found = []
    while spool.oldest():
        found.append(spool.oldest().encoded)
        spool.remove(spool.oldest())
    return found


def promise(kept, what):
    if not kept:
        raise ValueError("broken: " + what)


def state(spool):
    return spool._room, spool._sequence, len(spool)


class Trial:
    """A spool with two readings, on flash that is as it was then at each try."""

    def __init__(self, store, flash):
        self._store = store
        self._flash = flash
        self.spool = Spool(1, 10000, store, SERVER)
        self.items = [self.spool.append({"n": number}) for number in range(2)]

    def kept(self):
        return encodings(Spool(2, 10000, self._store, SERVER))


def run(prepare, act, check):
    """Counts of tries that failed, and that were done."""
    failed = done = left = 0
    while done < 4:
        trial = prepare()
        before = state(trial.spool)
        ok = True
        ballast(left)
        try:
            act(trial)
        except FAILURES:
            ok = False
        let_go()
        if ok:
            done += 1
        else:
            failed += 1
            done = 0
            promise(state(trial.spool) == before, "nothing has changed in RAM")
        check(trial, ok)
        left += 1
    return {"failed": failed, "done": done}


def main():
    flash = Flash()
    mount(flash, PATH)
    blank = bytes(flash.image)

    def prepare():
        vfs.umount(PATH)
        flash.image[:] = blank
        mount(flash, PATH)
        return Trial(Keystore(PATH + "/birthkey.id"), flash)

    def append(trial):
        trial.spool.append(BODY)

    def check_append(trial, ok):
        kept = trial.kept()
        promise(len(kept) == 3 if ok else kept == [item.encoded for item in trial.items], "flash")

    def remove(trial):
        trial.spool.remove(trial.items[0])

    def check_remove(trial, ok):
        promise(len(trial.kept()) == 2 - ok, "flash")

    print(
        json.dumps(
            {
                "append": run(prepare, append, check_append),
                "remove": run(prepare, remove, check_remove),
            }
        )
    )


BODY = {"n": 3, "pad": "x" * 500}

main()
