"""Runs on MicroPython: makes a flash whose spool is as full as it gets.

Arguments: the file for the flash, its blocks, bytes that are programmed at once, the spool's
limit, and the server's id in hex digits. Prints how many readings there are.
"""

import sys
from binascii import unhexlify

import vfs

from birthkey.crypto.entropy import Source, urandom
from birthkey.identity import Identity
from birthkey.keystore import Keystore, mount
from birthkey.outbox import OutboxFull, Spool

BLOCK_SIZE = 4096


class Flash:
    def __init__(self, blocks):
        self.image = bytearray(b"\xff" * (blocks * BLOCK_SIZE))
        self._blocks = blocks

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        buffer[:] = memoryview(self.image)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        self.image[start : start + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            start = argument * BLOCK_SIZE
            self.image[start : start + BLOCK_SIZE] = b"\xff" * BLOCK_SIZE
        return 0


def main():
    path, blocks, progsize, limit, server_id = sys.argv[1:6]
    flash = Flash(int(blocks))
    mount(flash, "/full", int(progsize))
    store = Keystore("/full/birthkey.id")
    identity = Identity(store, (Source("urandom", urandom, 4),))
    spool = Spool(identity.boot, int(limit), store, [unhexlify(server_id)])
    try:
        while True:
            spool.append({})  # the smallest that there are, so these are the most
    except OutboxFull:
        print(len(spool))
    vfs.umount("/full")
    with open(path, "wb") as file:
        file.write(flash.image)


main()
