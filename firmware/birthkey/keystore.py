"""Atomic records on flash: a record is the old one or the new one, never a mixture.

    magic "BKR1" || length, 2 bytes || payload || SHA-256 of all before, first 16 bytes

A record is written whole to NAME.new, read back, and renamed over NAME. littlefs
makes both the closing of a file and the renaming atomic. What fails before that leaves the
record as it was.
"""

import os
from hashlib import sha256

from birthkey._port import const, listing, sync

_MAGIC = b"BKR1"
_HEAD = const(6)
_SUM = const(16)
_OVERHEAD = const(22)
_FRESH = ".new"
_ENOENT = const(2)
_EEXIST = const(17)
_ENOSPC = const(28)
_PIECE = const(64)
_BEGIN = const(128)
_WINDOW = const(512)
_FEW = const(16)  # names that are held in RAM at a time

_SUPERBLOCKS = const(2)

_FOLDERS = ("copy/", "")  # of Twins

_below = None  # (where littlefs is mounted, the block device that it is on)


class KeystoreError(Exception):
    """Flash does not hold what it must, or would not take it or give it.

    `lasting`: at the next start it will be the same, and a person has to look.
    """

    def __init__(self, sentence, lasting=False):
        super().__init__(sentence)
        self.lasting = lasting


class DamagedRecord(KeystoreError):
    """Flash was read, twice, and what it holds is no whole record."""

    def __init__(self, sentence):
        super().__init__(sentence, True)


class Keystore:
    """Records in the folder `path`, which the first one makes; names may lead into folders in it.

    `magic` tells records of one kind from all others, also where no file system shows them.
    """

    def __init__(self, path, magic=_MAGIC):
        self.path = path
        self._magic = magic

    def read(self, name, least, most=0):
        """The payload, `least` to `most` bytes, or None when there is no such record.

        DamagedRecord when it is not whole, KeystoreError when it cannot be read.
        """
        most = max(least, most)
        path = self._file(name)
        failed = None
        for _ in range(2):  # what was misread once may be right on flash
            try:
                with open(path, "rb") as file:
                    payload = self._payload(file, least, most)
            except OSError as error:
                if error.args[0] == _ENOENT:
                    return None
                failed = error
                continue
            if payload is not None:
                return payload
        if failed is not None:
            raise KeystoreError("cannot read %s from flash: %s" % (path, failed))
        raise DamagedRecord(
            "the record %s is damaged. It is kept as it is: a damaged board is repaired "
            "or replaced, never given a new identity in silence" % path
        )

    def write(self, name, payload):
        """Replace the record; KeystoreError when flash does not keep it, and the old one stays."""
        path = self._file(name)
        fresh = path + _FRESH
        written = False
        try:
            with _opened(fresh) as file:
                head = self._head(payload)
                file.write(head)
                file.write(payload)
                file.write(_sum(head, payload))
                sync(file)
            with open(fresh, "rb") as file:
                if not self._holds(file, payload):
                    raise KeystoreError("flash did not keep %s as it was written" % path)
            os.rename(fresh, path)
            written = True
        except OSError as error:
            raise KeystoreError("cannot write %s to flash: %s" % (path, _why(error)))
        finally:
            if not written:
                _removed(fresh)

    def remove(self, name):
        """Delete a record, if it is there."""
        try:
            os.remove(self._file(name))
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise KeystoreError("cannot remove %s from flash: %s" % (self._file(name), error))

    def removed(self, name):
        """Delete a record that may be there; False when it may still be, without an error."""
        return _removed(self._file(name))

    def entries(self, folder=""):
        """(name, bytes of payload as far as the file's size tells, None for a folder) of all.

        `folder`, here and below, is "" or ends in a slash. What a power cut left of records that
        were being written is removed.
        """
        path = self._file(folder)
        torn = []
        previous = None
        try:
            for name, size in listing(path):
                if name == previous:
                    # MicroPython gives the name before again, for ever, when littlefs fails here.
                    raise KeystoreError("cannot list %s on flash: it is damaged" % path)
                previous = name
                if size is not None and name.endswith(_FRESH):
                    if len(torn) < _FEW:
                        torn.append(name)
                else:
                    yield name, None if size is None else max(size - _OVERHEAD, 0)
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise KeystoreError("cannot list %s on flash: %s" % (path, error))
        for name in torn:
            _removed(path + name)

    def clear(self, keep=(), most=0x3FFFFFFF, folder=""):
        """Remove all that is in the folder, but names in `keep`; give how many records it was.

        It ends early after `most` of them.
        """
        path = self._file(folder)
        count = 0
        while True:
            found = _first(path, keep)
            if not found:
                return count
            for name, size in found:
                if size is None:
                    count += self.clear((), most - count, folder + name + "/")
                if count >= most:
                    return count
                if size is None:
                    self.remove_folder(folder + name + "/")
                else:
                    self.remove(folder + name)
                    count += not name.endswith(_FRESH)

    def remove_folder(self, folder):
        """Delete an empty folder."""
        path = self._file(folder)[:-1]
        try:
            os.rmdir(path)
        except OSError as error:
            raise KeystoreError("cannot remove %s from flash: %s" % (path, error))

    def rename_folder(self, folder, other):
        """Give a folder another name, if it is there, and no folder of the other name."""
        for name, size in self.entries():
            if size is None and name + "/" == other:
                return
        try:
            os.rename(self._file(folder)[:-1], self._file(other)[:-1])
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise KeystoreError("cannot rename %s on flash: %s" % (self._file(folder), error))

    def space(self):
        """(blocks that flash has left, bytes of a block), for records and for littlefs itself."""
        try:
            size, _, blocks, free, *_ = os.statvfs(self.path)
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise KeystoreError("cannot tell how full flash is: %s" % error)
            # An operating system asks for a folder that is there.
            _make_folders(self.path + "/")
            size, _, blocks, free, *_ = os.statvfs(self.path)
        # littlefs may count a block twice, and MicroPython then says 2^32 - 1 and the like.
        return (free if free <= blocks else 0), size

    def raw(self, size, everywhere):
        """Payloads of `size` bytes of all records that the flash below littlefs still holds.

        Also of those that no file system shows any more; nothing where the flash cannot be
        reached. Unless `everywhere`, only in blocks that begin with a record of this magic:
        so does a folder that littlefs has written anew, with the record that is oldest.
        """
        device = _below and self.path.startswith(_below[0]) and _below[1]
        if not device:
            return
        wanted = self._magic + size.to_bytes(2, "big")
        begin = bytearray(_BEGIN)
        piece = bytearray(_WINDOW)  # a whole block is more than a small heap may have in one piece
        last = device.ioctl(5, 0) - _WINDOW
        for number in range(device.ioctl(4, 0)):
            if not everywhere:
                _read_block(device, number, begin, 0)
                if begin.find(self._magic) < 0:
                    continue
            start = 0
            while True:
                _read_block(device, number, piece, start)
                at = piece.find(wanted)
                while at >= 0:
                    end = at + _HEAD + size
                    payload = bytes(piece[at + _HEAD : end])
                    if piece[end : end + _SUM] == _sum(wanted, payload):
                        yield payload
                    at = piece.find(wanted, at + 1)
                if start == last:
                    break
                # They overlap, so that each record lies in one of them as a whole.
                start = min(start + _WINDOW - _HEAD - size - _SUM, last)

    def _file(self, name):
        return self.path + "/" + name

    def _head(self, payload):
        return self._magic + len(payload).to_bytes(2, "big")

    def _payload(self, file, least, most):
        """What the file of a whole record holds; None when it is not one."""
        head = file.read(_HEAD)
        size = int.from_bytes(head[4:], "big")
        if len(head) != _HEAD or head[:4] != self._magic or not least <= size <= most:
            return None
        payload = file.read(size)
        # One byte more than a whole record shows one that is too long.
        if len(payload) != size or file.read(_SUM + 1) != _sum(head, payload):
            return None
        return payload

    def _holds(self, file, payload):
        """Whether the file is the whole record of this payload, which is not read at once."""
        head = self._head(payload)
        if file.read(_HEAD) != head:
            return False
        for at in range(0, len(payload), _PIECE):
            piece = memoryview(payload)[at : at + _PIECE]
            if file.read(len(piece)) != piece:
                return False
        return file.read(_SUM + 1) == _sum(head, payload)


class Twins:
    """Each record twice: in the folder of `store`, and in the folder `copy` within it.

    When a bit is bad in what littlefs last wrote of a folder, it falls back to what the folder
    held before, and does not say so. The two folders share no block: of two copies the greater
    counts, so a record whose payload only ever grows never goes back. The inner one is written
    first, so that it is there in whatever the outer one falls back to.
    """

    def __init__(self, store):
        self._store = store

    def copies(self, name, least, most=0):
        """Both payloads, None for one that is missing or damaged.

        DamagedRecord when one is damaged and the other is not there to take its place.
        """
        found = []
        damaged = None
        for folder in _FOLDERS:
            payload = None
            try:
                payload = self._store.read(folder + name, least, most)
            except DamagedRecord as error:
                damaged = error
            found.append(payload)
        if damaged and found[0] is None and found[1] is None:
            raise damaged
        return found

    def read(self, name, least, most=0):
        """The greater payload, None when there is none."""
        one, other = self.copies(name, least, most)
        if one is None or (other is not None and other > one):
            return other
        return one

    def write(self, name, payload, present=(None, None)):
        """Write both, but those that are `present`: a power cut may come in between."""
        for folder, found in zip(_FOLDERS, present):
            if found != payload:
                self._store.write(folder + name, payload)


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
                "in use before. It is left as it is; erase it only if no identity is on it",
                True,
            )
        vfs.VfsLfs2.mkfs(device, progsize=progsize)
        filesystem = vfs.VfsLfs2(device, progsize=progsize)
    vfs.mount(filesystem, path)
    mounted(device, path)


def mounted(device, path):
    """Say which block device is below the file system that the firmware has mounted at `path`.

    A board that has lost its key to damaged flash is known by what the device still holds.
    """
    global _below
    _below = path, device


def _blank(device):
    block = bytearray(device.ioctl(5, 0))
    for number in range(_SUPERBLOCKS, device.ioctl(4, 0)):
        _read_block(device, number, block)
        if block.count(b"\xff") != len(block):
            return False
    return True


def _read_block(device, *arguments):
    try:
        failed = device.readblocks(*arguments)
    except OSError as error:
        failed = error
    if failed:
        # What would be in the buffer then is another block's.
        raise KeystoreError("cannot read block %d of flash: %s" % (arguments[0], failed))


def _sum(head, payload):
    digest = sha256(head)
    digest.update(payload)
    return digest.digest()[:_SUM]


def _first(path, keep):
    """The first few entries of a folder that are not in `keep`."""
    found = []
    try:
        for entry in listing(path):
            if entry[0] not in keep:
                found.append(entry)
                if len(found) == _FEW:
                    break
    except OSError as error:
        if error.args[0] != _ENOENT:
            raise KeystoreError("cannot list %s on flash: %s" % (path, error))
    return found


def _opened(path):
    """The file, to write to; its folders are made when they are missing."""
    try:
        return open(path, "wb")
    except OSError as error:
        if error.args[0] != _ENOENT:
            raise
    _make_folders(path)
    return open(path, "wb")


def _make_folders(path):
    """Make all folders that lead to the file `path`."""
    at = path.find("/", 1)
    why = None
    while at >= 0:
        try:
            os.mkdir(path[:at])
            why = None
        except OSError as error:
            # The first ones may be a mount, or nothing that may be written to. Where one could
            # not be made, the next one only tells that it is missing.
            missing = error.args[0] == _ENOENT
            why = None if error.args[0] == _EEXIST else why if missing and why else error
            if why and path.find("/", at + 1) < 0:
                raise KeystoreError(
                    "cannot make the folder %s on flash: %s" % (path[:at], _why(why))
                )
        at = path.find("/", at + 1)


def _why(error):
    return "flash is full" if error.args[0] == _ENOSPC else error


def _removed(path):
    try:
        os.remove(path)
    except OSError as error:
        return error.args[0] == _ENOENT
    return True
