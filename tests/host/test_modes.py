"""Who else may write or read what a server trusts: by modes, so that root sees it, too."""

from __future__ import annotations

import grp
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from birthkey_host.modes import Exposed, User, check, sqlite_files

ME = User(os.geteuid(), {os.getegid()})
ALONE = User(os.geteuid(), set())
GROUP = 4242


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With a space in its name: what is to be typed works as it stands."""
    path = tmp_path / "my home"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def key(home: Path) -> Path:
    path = home / "server.key"
    path.touch(mode=0o600)
    return path


def to_a_group(path: Path) -> str:
    """Make it a group's that is neither root's nor one of `ALONE`; what that is called."""
    if os.geteuid() == 0:
        os.chown(path, -1, GROUP)
        return str(GROUP)
    return grp.getgrgid(path.stat().st_gid).gr_name


def refused(files: list[Path], home: Path | None = None, user: User = ME) -> str:
    with pytest.raises(Exposed) as caught:
        check(files, home, user=user)
    return str(caught.value)


def mended(sentence: str) -> None:
    """Type what it says."""
    command = "chmod" + sentence.rpartition(": chmod")[2]
    subprocess.run(["bash", "-c", command], check=True)


def test_what_is_the_owners_alone(home: Path, key: Path) -> None:
    assert check([key], home) == check([key], home, user=ME) == []


def test_what_is_not_there(home: Path) -> None:
    assert check([home / "none"], home) == []


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o750], ids=oct)
def test_home_that_others_may_enter(home: Path, key: Path, mode: int) -> None:
    home.chmod(mode)
    assert check([key], home) == []


class TestWriting:
    @pytest.mark.parametrize("mode", [0o606, 0o602, 0o666], ids=oct)
    def test_a_file(self, home: Path, key: Path, mode: int) -> None:
        key.chmod(mode)
        sentence = refused([key], home)
        path = shlex.quote(str(key))
        assert sentence == f"everyone on this computer may write {key}: chmod o-w {path}"
        mended(sentence)
        check([key], home, user=ME)

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703], ids=oct)
    def test_the_home(self, home: Path, key: Path, mode: int) -> None:
        home.chmod(mode)
        sentence = refused([key], home)
        assert f"may write {home}, and exchange what is in it: chmod o-w " in sentence
        mended(sentence)
        check([key], home, user=ME)

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
    def test_a_database(self, home: Path, suffix: str) -> None:
        database = home / "registry.sqlite3"
        for path in sqlite_files(database):
            path.touch(mode=0o600)
        assert check(sqlite_files(database), home, user=ME) == []
        Path(f"{database}{suffix}").chmod(0o666)
        assert f"registry.sqlite3{suffix}: chmod " in refused(sqlite_files(database), home)

    def test_of_another_group(self, home: Path, key: Path) -> None:
        name = to_a_group(key)
        key.chmod(0o620)
        sentence = refused([key], home, ALONE)
        assert sentence.startswith(f"the group {name} may write {key}: chmod g-w ")
        mended(sentence)
        assert check([key], home, user=ALONE) == []

    def test_of_another_group_in_the_home(self, home: Path, key: Path) -> None:
        to_a_group(home)
        home.chmod(0o770)
        assert f" may write {home}, and exchange what is in it: chmod g-w " in refused(
            [key], home, ALONE
        )

    def test_of_ones_own_group_is_a_warning(self, home: Path, key: Path) -> None:
        to_a_group(key)
        key.chmod(0o620)
        user = User(os.geteuid(), {key.stat().st_gid})
        [warning] = check([key], home, user=user)
        assert f" may write {key}: chmod g-w " in warning

    def test_of_roots_group_is_nothing(self, key: Path) -> None:
        if os.geteuid() == 0:
            key.chmod(0o660)
            assert check([key], user=ALONE) == []

    def test_of_the_folder_of_a_file_elsewhere(self, home: Path, key: Path) -> None:
        elsewhere = home / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "tls.pem").touch(mode=0o600)
        elsewhere.chmod(0o777)
        assert f"may write {elsewhere}, and exchange " in refused([elsewhere / "tls.pem"], home)

    def test_sticky_folder_exchanges_nothing(self, home: Path) -> None:
        elsewhere = home / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "tls.pem").touch(mode=0o600)
        elsewhere.chmod(0o1777)
        assert check([elsewhere / "tls.pem"], home, user=ME) == []


class TestLinks:
    @pytest.fixture
    def link(self, home: Path, tmp_path: Path) -> Path:
        """A key that is a link to one in another folder."""
        folder = tmp_path / "keys"
        folder.mkdir(mode=0o700)
        (folder / "key").touch(mode=0o600)
        path = home / "server.key"
        path.symlink_to(folder / "key")
        return path

    def test_the_file_counts(self, home: Path, link: Path) -> None:
        assert check([link], home, user=ME) == []  # whatever the link's own mode is
        link.resolve().chmod(0o606)
        assert f"may write {link}: " in refused([link], home)

    def test_its_folder_counts(self, home: Path, link: Path) -> None:
        link.resolve().parent.chmod(0o777)
        assert f"may write {link.resolve().parent}, and exchange" in refused([link], home)

    def test_the_links_folder_counts(self, home: Path, link: Path) -> None:
        home.chmod(0o777)
        assert f"may write {home}, and exchange" in refused([link])


class TestReading:
    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o640], ids=oct)
    def test_everyone(self, home: Path, key: Path, mode: int) -> None:
        key.chmod(mode)
        path = shlex.quote(str(key))
        warning = f"everyone on this computer may read {key}: chmod 600 {path}"
        assert check([key], home, user=ME) == ([] if mode == 0o640 else [warning])

    def test_another_group(self, home: Path, key: Path) -> None:
        name = to_a_group(key)
        key.chmod(0o640)
        [warning] = check([key], home, user=ALONE)
        assert warning.startswith(f"the group {name} may read {key}: chmod 600 ")
        mended(warning)
        assert check([key], home, user=ALONE) == []


def test_another_owner_is_a_warning(home: Path, key: Path) -> None:
    if os.geteuid() == 0:
        os.chown(key, 4243, -1)
        assert check([key], home) == [f"{key} belongs to user 4243, who may change it at any time"]
    else:
        stranger = User(os.geteuid() + 1, {os.getegid()})
        assert len(check([key], home, user=stranger)) == 2
