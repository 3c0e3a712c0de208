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
_ENOENT = const(2)
_EEXIST = const(17)


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

    def read(self, name, size):
        """The payload, `size` bytes, or None when there is no such record."""
        raw = self._read_file(self._file(name), size)
        if raw is None:
            return None
        payload = raw[6:-16]
        if raw != _record(payload) or len(payload) != size:
            raise KeystoreError(
                "the record %s is damaged. It is kept as it is: a damaged board is repaired "
                "or replaced, never given a new identity in silence" % self._file(name)
            )
        return payload

    def write(self, name, payload):
        """Replace the record; KeystoreError when flash does not keep it."""
        record = _record(payload)
        final = self._file(name)
        fresh = final + ".new"
        try:
            with open(fresh, "wb") as file:
                file.write(record)
                sync(file)
            os.rename(fresh, final)
        except OSError as error:
            raise KeystoreError("cannot write %s to flash: %s" % (final, error))
        if self._read_file(final, len(payload)) != record:
            raise KeystoreError("flash did not keep %s as it was written" % final)

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


def _record(payload):
    head = _MAGIC + len(payload).to_bytes(2, "big") + payload
    return head + sha256(head).digest()[:16]
