"""Who may read and write what a server trusts: its home, key, registry and certificate, by modes.

Whoever can write one of them is the server, or can put it out of action, so `serve` refuses that;
whoever can read the key or the registry knows more than he should, so it warns of that.

Symbolic links are followed: what counts is the file, and both the folder that it is in and the one
that the link is in, because who may write a folder may exchange what is in it. Folders above these
are not looked at, nor access-control lists, whose mask is the group's bits of the mode.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from birthkey_host.errors import Unable

_TRUSTED = 0
"""Root, and root's group: they can do anything anyway."""


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the server, by numbers."""

    uid: int
    groups: Collection[int]

    @classmethod
    def current(cls) -> User:
        """This process's."""
        return cls(os.geteuid(), {os.getegid(), *os.getgroups()})


class Exposed(Unable):
    """Others may write what the server trusts; the text says what, and the command that ends it."""


def check(
    files: Iterable[Path], home: Path | None = None, *, user: User | None = None
) -> list[str]:
    """What others may read or their groups may write of these files and `home`, in sentences.

    A file that is not there is passed over. Raises `Exposed` when others may write one of them, or
    exchange it in its folder.
    """
    user = user or User.current()
    warnings: list[str] = []
    folders = [] if home is None else [home]
    for path in files:
        if not path.exists():
            continue
        warnings += _check(path, user, reading=True)
        for folder in dict.fromkeys((path.parent, path.resolve().parent)):
            if not any(_same(folder, other) for other in folders):
                folders.append(folder)
    for folder in folders:
        if folder.is_dir():
            warnings += _check(folder, user, reading=False, shared=folder is not home)
    return warnings


def sqlite_files(database: Path) -> list[Path]:
    """The file of an SQLite database, and those beside it that hold a part of what is in it."""
    return [database, *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm"))]


def _check(path: Path, user: User, *, reading: bool, shared: bool = False) -> Iterator[str]:
    """`shared`: a folder with the sticky bit, as /tmp, lets nobody exchange what is another's."""
    status = path.stat()
    mode = status.st_mode
    what = f"{path}, and exchange what is in it" if path.is_dir() else f"{path}"
    if shared and mode & stat.S_ISVTX:
        return
    if mode & stat.S_IWOTH:
        raise Exposed(f"everyone on this computer may write {what}: {_chmod('o-w', path)}")
    if mode & stat.S_IWGRP and status.st_gid != _TRUSTED:
        sentence = f"the group {_group(status.st_gid)} may write {what}: {_chmod('g-w', path)}"
        if status.st_gid not in user.groups:
            raise Exposed(sentence)
        yield sentence
    if status.st_uid not in (user.uid, _TRUSTED):
        yield f"{path} belongs to {_owner(status.st_uid)}, who may change it at any time"
    if reading and mode & stat.S_IROTH:
        yield f"everyone on this computer may read {path}: {_chmod('600', path)}"
    elif reading and mode & stat.S_IRGRP and status.st_gid not in (_TRUSTED, *user.groups):
        yield f"the group {_group(status.st_gid)} may read {path}: {_chmod('600', path)}"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _chmod(how: str, path: Path) -> str:
    return shlex.join(["chmod", how, str(path)])


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
