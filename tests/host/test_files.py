"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from birthkey_host import files
from disk import Disk


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture(params=[0, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest, home: Path) -> Iterator[None]:
    """While the test runs; `home` is there before, since not even its owner may write to mode 0."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("wanted", [0o600, 0o644])
@pytest.mark.parametrize("replace", [True, False])
def test_mode_is_kept_whatever_the_umask(home: Path, wanted: int, replace: bool) -> None:
    files.write(home / "a", b"new", mode=wanted, replace=replace)
    assert mode(home / "a") == wanted
    assert (home / "a").read_bytes() == b"new"


def test_replaced_file_takes_the_mode(home: Path) -> None:
    (home / "a").write_bytes(b"a long old text")
    (home / "a").chmod(0o666)
    files.write(home / "a", b"new")
    assert (mode(home / "a"), (home / "a").read_bytes()) == (0o600, b"new")


def test_others_never_could_read_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = os.fchmod

    def watched(descriptor: int, wanted: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", watched)
    before = os.umask(0)
    try:
        files.write(home / "a", b"secret")
    finally:
        os.umask(before)
    assert seen == [0o600]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link"])
def test_without_replace_nothing_is_touched(home: Path, kind: str) -> None:
    path = home / "a"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(home if kind == "link" else home / "none")
    with pytest.raises(FileExistsError):
        files.write(path, b"new", replace=False)
    assert os.listdir(home) == ["a"]
    assert kind != "file" or path.read_bytes() == b"precious"
    assert path.is_symlink() == kind.endswith("link")


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("lost", [True, False])
def test_power_cut_leaves_the_old_or_the_new(home: Path, replace: bool, lost: bool) -> None:
    path = home / "a"
    old = b"old" if replace else None
    seen = set()
    for at in count(1):
        path.unlink(missing_ok=True)
        if old:
            path.write_bytes(old)
        with Disk(home).cut(at) as disk:
            files.write(path, b"new", replace=replace)
        if lost:
            disk.lose(home)
        content = path.read_bytes() if path.exists() else None
        assert content in ((b"new",) if not disk.failed else (old, b"new"))
        seen.add(content)
        files.sweep(path)
        assert os.listdir(home) == ([] if content is None else ["a"])
        if not disk.failed:
            break
    assert seen == {old, b"new"}
    assert at > 4


@pytest.mark.parametrize("replace", [True, False])
def test_disk_that_fails_leaves_no_litter(home: Path, replace: bool) -> None:
    path = home / "a"
    for at in count(1):
        path.unlink(missing_ok=True)
        with Disk(home).failing(at) as disk, contextlib.suppress(OSError):
            files.write(path, b"new", replace=replace)
            assert not disk.failed
        assert set(os.listdir(home)) <= {"a"}
        assert not path.exists() or path.read_bytes() == b"new"
        if not disk.failed:
            break
    assert path.exists()
    assert at > 4


def test_sweep_takes_only_its_own(home: Path) -> None:
    for name in ("a", ".a", ".a.new", "b.1.new", ".b.1.new", ".aa.1.new"):
        (home / name).touch()
    (home / ".a.0123.new").touch()
    files.sweep(home / "a")
    assert sorted(os.listdir(home)) == [".a", ".a.new", ".aa.1.new", ".b.1.new", "a", "b.1.new"]
    files.sweep(home / "none" / "a")


@pytest.mark.parametrize("lost", [True, False])
def test_renaming_and_removing_are_on_the_disk(home: Path, lost: bool) -> None:
    (home / "a").write_bytes(b"a")
    (home / "b").write_bytes(b"b")
    with Disk(home).cut(0) as disk:
        files.rename(home / "a", home / "c")
        files.remove(home / "b")
    if lost:
        disk.lose(home)
    assert os.listdir(home) == ["c"]


def test_folders_are_their_owners_only(home: Path) -> None:
    before = os.umask(0)
    try:
        with Disk(home).cut(0) as disk:
            files.make_folder(home / "a" / "b")
    finally:
        os.umask(before)
    disk.lose(home / "a", home)
    assert mode(home / "a") == mode(home / "a" / "b") == 0o700
    (home / "a").chmod(0o755)
    files.make_folder(home / "a")
    assert mode(home / "a") == 0o755  # it was there
    (home / "file").touch()
    with pytest.raises(OSError):
        files.make_folder(home / "file" / "c")
