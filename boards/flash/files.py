"""Files on a board: compared by their hashes, written whole or not at all, and read back."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Callable, Iterable

from birthkey_host.repl import Repl, ReplError

_CHUNK = 1536  # bytes at a time, 2048 characters
_FRESH = ".new"

# A file's hash is made on the board, from what its flash gives back.
_CODE = """\
import os, hashlib
from binascii import a2b_base64, hexlify
_buffer = bytearray(512)
def _hash(path):
    try:
        file = open(path, "rb")
    except OSError:
        return None
    digest = hashlib.sha256()
    while True:
        count = file.readinto(_buffer)
        if not count:
            break
        digest.update(memoryview(_buffer)[:count])
    file.close()
    return hexlify(digest.digest()).decode()
def _open(path):
    global _file
    at = path.find("/", 1)
    while at > 0:
        try:
            os.stat(path[:at])
        except OSError:
            os.mkdir(path[:at])
        at = path.find("/", at + 1)
    _file = open(path, "wb")
def _write(data):
    _file.write(a2b_base64(data))
def _replace(fresh, path, digest):
    _file.close()
    kept = _hash(fresh) == digest
    if kept:
        os.rename(fresh, path)
    return kept and _hash(path) == digest
"""

Progress = Callable[[int], None]
"""Called with the number of bytes that were written."""


class Files:
    """The file systems of the board behind `repl`, until that is reset."""

    def __init__(self, repl: Repl) -> None:
        self._repl = repl
        repl.run(_CODE)

    def hashes(self, paths: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 of each file, hex digits; None for one that is not there."""
        wanted = list(paths)
        found = self._repl.ask(f"print(repr([_hash(path) for path in {wanted!r}]))", 60)
        return dict(zip(wanted, found, strict=True))

    def read(self, path: str) -> bytes | None:
        """A small file; None when it is not there."""
        code = f"try:\n print(repr(open({path!r}, 'rb').read()))\nexcept OSError:\n print('None')"
        content = self._repl.ask(code)
        return content if isinstance(content, bytes) else None

    def differing(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Those of the files that the board has not, or has with another content."""
        present = self.hashes(files)
        return {path: data for path, data in files.items() if present[path] != _hash(data)}

    def write(self, path: str, data: bytes, progress: Progress = lambda count: None) -> None:
        """Replace a file. An interruption leaves the former one, and at most a file beside it."""
        fresh = path + _FRESH
        self._repl.run(f"_open({fresh!r})")
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            self._repl.run(f"_write({b2a_base64(chunk, newline=False)!r})")
            progress(len(chunk))
        if not self._repl.ask(f"print(_replace({fresh!r}, {path!r}, {_hash(data)!r}))", 60):
            raise ReplError(f"the board's flash did not keep {path} as it was written")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
