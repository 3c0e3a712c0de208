"""A disk whose power is cut, or that fails, at a chosen operation.

    with Disk(home).cut(3) as disk:  # before the third operation
        ...  # what writes; PowerCut ends it
    disk.lose(home)  # what the folder had not put on the disk is gone, too

As on a real one, bytes that were not synced are not there afterwards, and what changed in a
folder since it was synced may be there or not: `lose` is the second case, doing nothing the first.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_CHANGES = ("replace", "link", "unlink", "mkdir", "fsync")

Content = bytes | None
"""Of a file; None for a folder."""


class PowerCut(BaseException):
    """Nothing catches it, and nothing that runs after it reaches the disk."""


class Disk:
    """What is below `root`. `operations` counts the changes that were tried."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._created: dict[int, bytes] = {}
        """Inodes made since, and what of each is on the disk."""
        self._folders: dict[Path, dict[str, tuple[Content, int]]] = {}
        self._at = 0
        self._fault: Callable[[], BaseException] | None = None
        self._open = os.open
        self.operations = 0
        self.failed = False
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            self._sync_folder(folder)

    @contextlib.contextmanager
    def cut(self, at: int) -> Iterator[Disk]:
        """Cut the power before operation `at`, from 1; swallows PowerCut."""
        with self._patched(at, PowerCut), contextlib.suppress(PowerCut):
            yield self
        for path in self._root.rglob("*"):
            if path.is_file() and (durable := self._created.get(path.stat().st_ino)) is not None:
                path.write_bytes(durable)

    @contextlib.contextmanager
    def failing(self, at: int) -> Iterator[Disk]:
        """Let operation `at`, from 1, fail; those after it work."""
        with self._patched(at, lambda: OSError(28, "No space left on device")):
            yield self

    def lose(self, *folders: Path) -> None:
        """Undo what was not synced in these."""
        for folder in folders:
            wanted = self._folders.get(folder)
            if wanted is None or not folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for path in folder.iterdir():
                if path.name not in wanted:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            for name, (content, mode) in wanted.items():
                if content is not None:
                    (folder / name).write_bytes(content)
                    (folder / name).chmod(mode)

    @contextlib.contextmanager
    def _patched(self, at: int, fault: Callable[[], BaseException]) -> Iterator[None]:
        self._at, self._fault, self.operations, self.failed = at, fault, 0, False
        with pytest.MonkeyPatch.context() as patch:
            for name in _CHANGES:
                patch.setattr(os, name, self._counted(getattr(os, name)))
            patch.setattr(os, "open", self._opened)
            yield

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            self._count()
            done = real(*arguments, **options)
            if real.__name__ == "fsync":
                self._synced(arguments[0])
            return done

        return changed

    def _opened(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if not flags & os.O_CREAT or not Path(path).is_relative_to(self._root):
            return self._open(path, flags, *arguments, **options)
        self._count()
        descriptor = self._open(path, flags, *arguments, **options)
        self._created[os.fstat(descriptor).st_ino] = b""
        return descriptor

    def _count(self) -> None:
        self.operations += 1
        dead = self.failed and self._fault is PowerCut
        if dead or self.operations == self._at:
            self.failed = True
            assert self._fault is not None
            raise self._fault()

    def _synced(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self._sync_folder(path)
        else:
            self._created[os.fstat(descriptor).st_ino] = path.read_bytes()

    def _sync_folder(self, folder: Path) -> None:
        self._folders[folder] = {
            path.name: (self._durable(path), stat.S_IMODE(path.stat().st_mode))
            for path in folder.iterdir()
        }

    def _durable(self, path: Path) -> Content:
        if path.is_dir():
            return None
        return self._created.get(path.stat().st_ino, path.read_bytes())
