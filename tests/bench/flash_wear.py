"""Runs on MicroPython: how often a boot and a spooled reading erase and program flash.

littlefs spreads its erasures, but not evenly: what counts is the block that is erased most.
Prints one JSON object of figures.
"""

import json

import vfs

from birthkey.crypto.entropy import Source, urandom
from birthkey.identity import Identity
from birthkey.keystore import Keystore, mount
from birthkey.outbox import Spool

BLOCKS, BLOCK_SIZE = 64, 4096
PATH = "/wear"
STATE = PATH + "/birthkey.id"
SOURCES = (Source("urandom", urandom, 4),)
BOOTS = READINGS = 2000


class Flash:
    def __init__(self):
        self.image = bytearray(b"\xff" * (BLOCKS * BLOCK_SIZE))
        self.reset()

    def reset(self):
        self.erased = [0] * BLOCKS
        self.programmed = 0

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        buffer[:] = self.image[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        self.image[start : start + len(buffer)] = buffer
        self.programmed += len(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            self.erased[argument] += 1
        return 0


def per_thousand(figures, name, flash, count):
    figures[name + ".erasures_per_1000"] = round(1000 * sum(flash.erased) / count)
    figures[name + ".most_erased_block_per_1000"] = round(1000 * max(flash.erased) / count, 1)
    figures[name + ".bytes_programmed"] = round(flash.programmed / count)
    flash.reset()


def main():
    figures = {}
    flash = Flash()
    for _ in range(BOOTS):
        mount(flash, PATH)
        Identity(Keystore(STATE), SOURCES)
        vfs.umount(PATH)
    per_thousand(figures, "flash.boot", flash, BOOTS)
    mount(flash, PATH)
    spool = Spool(1, 1 << 20, Keystore(STATE), [bytes(16)])
    for number in range(READINGS):
        spool.append([{0: "temperature", 1: "Cel", 2: number / 8}])
        spool.remove(spool.oldest())
    per_thousand(figures, "flash.spooled_reading", flash, READINGS)
    print(json.dumps(figures))


main()
