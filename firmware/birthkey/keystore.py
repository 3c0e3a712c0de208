"""Atomic records on flash: a record is the old one or the new one, never a mixture.

    magic "BKR1" || length, 2 bytes || payload || SHA-256 of all before, first 16 bytes

A record is written whole to NAME.new, read back, and renamed over NAME. littlefs
makes both the closing of a file and the renaming atomic.
"""

import os
from hashlib import sha256

from birthkey._port import const, sync

_MAGIC = b"BKR1"
_OVERHEAD = const(22)
_FRESH = ".new"
_ENOENT = const(2)
_EEXIST = const(17)

_SUPERBLOCKS = const(2)


class KeystoreError(Exception):
    """Flash does not hold what it must, or would not take it."""


class Keystore:
    """Records in the folder `path`, which is made when it is missing."""

    def __init__(self, path):
        self._path = path
        try:
            os.mkdir(path)
        except OSError as error:
            if error.args[0] != _EEXIST:
                raise KeystoreError("cannot make the folder %s on flash: %s" % (path, error))

    def read(self, name, least, most=0):
        """The payload, `least` to `most` bytes, or None when there is no such record."""
        most = max(least, most)
        raw = self._read_file(self._file(name), most)
        if raw is None:
            return None
        payload = raw[6:-16]
        if raw != _record(payload) or not least <= len(payload) <= most:
            raise KeystoreError(
                "the record %s is damaged. It is kept as it is: a damaged board is repaired "
                "or replaced, never given a new identity in silence" % self._file(name)
            )
        return payload

    def write(self, name, payload):
        """Replace the record; KeystoreError when flash does not keep it."""
        record = _record(payload)
        final = self._file(name)
        try:
            with open(final + _FRESH, "wb") as file:
                file.write(record)
                sync(file)
            os.rename(final + _FRESH, final)
        except OSError as error:
            raise KeystoreError("cannot write %s to flash: %s" % (final, error))
        if self._read_file(final, len(payload)) != record:
            raise KeystoreError("flash did not keep %s as it was written" % final)

    def remove(self, name):
        """Delete a record."""
        try:
            os.remove(self._file(name))
        except OSError as error:
            raise KeystoreError("cannot remove %s from flash: %s" % (self._file(name), error))

    def sizes(self):
        """{name: bytes of payload, as far as the file's size tells} of all records.

        What a power cut left of a record that was being written is removed.
        """
        found = {}
        try:
            for name in os.listdir(self._path):
                if name.endswith(_FRESH):
                    os.remove(self._file(name))
                else:
                    found[name] = max(os.stat(self._file(name))[6] - _OVERHEAD, 0)
        except OSError as error:
            raise KeystoreError("cannot list %s on flash: %s" % (self._path, error))
        return found

    def free_blocks(self):
        """Blocks that flash has left, for records and for littlefs itself."""
        _, _, blocks, free, *_ = os.statvfs(self._path)
        # littlefs may count a block twice, and MicroPython then says 2^32 - 1 and the like.
        return free if free <= blocks else 0

    def _file(self, name):
        return self._path + "/" + name

    def _read_file(self, path, size):
        try:
            with open(path, "rb") as file:
                # One byte more than a whole record shows one that is too long.
                return file.read(size + _OVERHEAD + 1)
        except OSError as error:
            if error.args[0] == _ENOENT:
                return None
            raise KeystoreError("cannot read %s from flash: %s" % (path, error))


def mount(device, path, progsize=32):
    """Mount littlefs on a block device; a blank one is formatted, a damaged one never is.

    `progsize` is the least that the device programs at once, in bytes. Formatting writes the
    two superblocks and nothing else, so a flash whose other blocks are erased has never held
    a folder, let alone a key.
    """
    import vfs

    try:
        filesystem = vfs.VfsLfs2(device, progsize=progsize)
    except OSError:
        if not _blank(device):
            raise KeystoreError(
                "flash holds data, but no file system that can be read: it is damaged, or was "
                "in use before. It is left as it is; erase it only if no identity is on it"
            )
        vfs.VfsLfs2.mkfs(device, progsize=progsize)
        filesystem = vfs.VfsLfs2(device, progsize=progsize)
    vfs.mount(filesystem, path)


def _blank(device):
    block = bytearray(device.ioctl(5, 0))
    for number in range(_SUPERBLOCKS, device.ioctl(4, 0)):
        device.readblocks(number, block)
        if block.count(b"\xff") != len(block):
            return False
    return True


def _record(payload):
    head = _MAGIC + len(payload).to_bytes(2, "big") + payload
    return head + sha256(head).digest()[:16]
