"""Files that are whole or not there, whenever the power fails."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".new"


def write(path: Path, data: bytes, *, mode: int = 0o600, replace: bool = True) -> None:
    """Put `data` into the file `path` in one step, on the disk on return.

    `mode` is kept whatever the umask. With `replace=False`, FileExistsError is raised rather than
    anything at `path` replaced, a link too. Raises OSError when it cannot be written; then `path`
    is as it was, or new if only the folder could not be synced. Nothing is left beside it, but by
    a power cut: see `sweep`.
    """
    with making(path, mode=mode, replace=replace) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def making(path: Path, *, mode: int, replace: bool) -> Iterator[Path]:
    """As `write`, of a file that is made in the block, at the path that is given: empty at first.

    It takes its place at the end of the block, unless anything is raised there.
    """
    # Nobody else's name, or two writers could each take the other's file for theirs.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            yield temporary
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, it fails where something is
            os.unlink(temporary)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(path.parent)


def rename(source: Path, target: Path) -> None:
    """Rename within one folder, on the disk on return. Raises OSError."""
    os.replace(source, target)
    sync(target.parent)


def remove(path: Path) -> None:
    """Remove a file, on the disk on return. Raises OSError."""
    os.unlink(path)
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder for its owner only, and those above it, unless it is there. Raises OSError."""
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent)
    os.mkdir(path, 0o700)
    sync(path.parent)


def sweep(path: Path) -> None:
    """Remove what a power cut left of writing `path`. Nobody may be writing it. Raises OSError."""
    for each in path.parent.glob(f".{path.name}.*{_SUFFIX}"):
        os.unlink(each)


def sync(folder: Path) -> None:
    """Put what changed in a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
