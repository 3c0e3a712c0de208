"""A cache that all checkouts share: what is fetched or built once is found by its hash.

It is `$XDG_CACHE_HOME/birthkey`, `~/.cache/birthkey` without that, and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


class BuildError(Exception):
    """A source, a tool or a build failed; the text says what, and what to do about it."""


def home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "birthkey"


def without_blanks(folder: Path) -> Path:
    """A name for a folder in which there are no blanks: makefiles cannot take any.

    It is a link in the cache, the same each time. Raises BuildError if the cache's name has blanks.
    """
    check()
    link = home() / "links" / key(str(folder))
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster
            link.symlink_to(folder)
    return link


def check() -> None:
    """Raise BuildError if nothing can be built in the cache."""
    if any(character.isspace() for character in str(home())):
        raise BuildError(
            f"nothing can be compiled in a folder with blanks in its name, and {home()} is one: set"
            " XDG_CACHE_HOME to another"
        )


def has(kind: str, key: str) -> bool:
    """Whether `made` would find it there."""
    return (home() / kind / key).exists()


def made(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that kind and key; where it is missing `make` fills it, once, or not at all."""
    folder = home() / kind / key
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(f"{kind}-{key}"):
        if not folder.exists():
            fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
            try:
                make(fresh)
                fresh.chmod(0o755)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """The time in which no other process holds the lock of that name."""
    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key(*parts: str) -> str:
    """A short name for a thing that is made from these."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:20]


def hash_of(files: Iterable[Path], root: Path) -> str:
    """A hash over the names, below `root`, and the contents of files and of all in folders."""
    digest = hashlib.sha256()
    found = {path for item in files for path in (item.rglob("*") if item.is_dir() else [item])}
    for path in sorted(found):
        if path.is_file() and "__pycache__" not in path.parts and "node_modules" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()
