from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from birthkey_host.cli import work
from birthkey_host.reference_device import ReferenceDevice
from command import Command
from recording import Server, data

VERSION_3 = Path(__file__).parent.with_name("version_3.sql")


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def told(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[signal.Signals]:
    """A signal that comes in the midst of the work; who had it before has it again afterwards."""
    number: signal.Signals = request.param
    others: list[int] = []

    def other(got: int, frame: object) -> None:
        others.append(got)

    before = signal.signal(number, other)
    monkeypatch.setattr(work.time, "sleep", lambda _: os.kill(os.getpid(), number))
    try:
        yield number
        assert signal.getsignal(number) is other
        assert others == []
    finally:
        signal.signal(number, before)


class TestBackup:
    def test_stopped(self, birthkey: Command, tmp_path: Path, told: signal.Signals) -> None:
        (tmp_path / "kept").mkdir()
        sentence = birthkey.fails("backup", str(tmp_path / "kept" / "copy"), code=128 + told)
        assert sentence == "stopped; no copy was made"
        assert os.listdir(tmp_path / "kept") == []

    def test_signal_that_is_ignored_stays_so(
        self, birthkey: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As nohup has it."""
        monkeypatch.setattr(work.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGHUP))
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            assert "is a whole copy" in birthkey("backup", str(tmp_path / "copy"))
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_copy_and_what_else_to_keep(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice, tmp_path: Path
    ) -> None:
        server(enrolled, data(enrolled))
        target = tmp_path / "copy.sqlite3"
        assert birthkey("backup", str(target)) == (
            f"{target} is a whole copy of the registry; not in it: {birthkey.home}/server.key\n"
        )
        birthkey("ca", "init")
        said = birthkey("backup", "--overwrite", str(target))
        home = birthkey.home
        assert said.endswith(f"not in it: {home}/server.key, {home}/ca, {home}/ca.pem\n")
        copied = Command(tmp_path / "other")
        copied.home.mkdir()
        target.rename(copied.home / "registry.sqlite3")
        assert copied("messages", "--json") == birthkey("messages", "--json") != ""

    def test_file_that_is_there(self, birthkey: Command, tmp_path: Path) -> None:
        target = tmp_path / "copy.sqlite3"
        birthkey("backup", str(target))
        before = target.read_bytes()
        sentence = birthkey.fails("backup", str(target))
        assert sentence == f"there is a {target} already; --overwrite replaces it"
        assert target.read_bytes() == before
        target.write_text("mine")
        for options in ([], ["--overwrite"]):
            sentence = birthkey.fails("backup", str(target), *options)
            assert sentence.endswith("and nothing else is replaced: take another name")
        assert target.read_text() == "mine"

    @pytest.mark.parametrize("options", [[], ["--overwrite"]])
    @pytest.mark.parametrize("there", [True, False])
    def test_what_belongs_to_the_home_is_no_target(
        self, birthkey: Command, tmp_path: Path, options: list[str], there: bool
    ) -> None:
        """A registry has no place there either, when the file itself is missing."""
        birthkey("ca", "init")
        birthkey("ca", "issue", "localhost")
        home = birthkey.home
        names = ["server.key", "ca.pem", "tls.pem", "ca/current.pem", "ca/new.sqlite3"]
        names += [f"registry.sqlite3{suffix}" for suffix in ("-wal", "-shm", "-journal")]
        assert {"server.key", "ca.pem", "tls.pem", "ca"} <= set(os.listdir(home))
        if not there:
            for name in ("server.key", "ca.pem", "tls.pem"):
                (home / name).unlink()
        before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        (tmp_path / "link").symlink_to(home)
        for name in names:
            for folder in (home, tmp_path / "link"):
                sentence = birthkey.fails("backup", str(folder / name), *options)
                assert sentence.endswith("; take another name"), name
        assert birthkey.fails("backup", str(home / "ca"), *options).endswith("take another name")
        assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before

    def test_default_registry_is_no_target_of_another(
        self, birthkey: Command, tmp_path: Path
    ) -> None:
        birthkey("backup", str(tmp_path / "other"))
        url = f"sqlite:///{tmp_path}/other"
        path = birthkey.home / "registry.sqlite3"
        before = path.read_bytes()
        sentence = birthkey.fails("--registry", url, "backup", "--overwrite", str(path))
        assert sentence.endswith("belongs; take another name")
        assert path.read_bytes() == before

    def test_other_database(self, birthkey: Command, tmp_path: Path) -> None:
        assert "backup" in birthkey("--help")
        assert "pg_dump" in birthkey("backup", "--help")


class TestUpgrade:
    @pytest.fixture
    def old(self, nothing: Command) -> Command:
        """A home with a registry of version 3."""
        nothing("init")
        path = nothing.home / "registry.sqlite3"
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(VERSION_3.read_text())
        return nothing

    def test_copy_is_made_before(self, old: Command) -> None:
        assert "`birthkey upgrade`" in old.fails("messages")
        first, second = old("upgrade").splitlines()
        assert first == "the registry has version 4; it had 3"
        [copy] = old.home.glob("registry.before-upgrade.*.sqlite3")
        assert second == f"{copy} is a copy of what it was: remove it when you do not need it"
        assert copy.stat().st_mode & 0o777 == 0o600
        assert len(old("messages", "--json").splitlines()) == 3
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT version FROM registry").fetchone() == (3,)
        assert old.fails("upgrade").endswith("there is nothing to do")
        assert list(old.home.glob("registry.before-upgrade.*")) == [copy]

    def test_stopped(self, old: Command, told: signal.Signals) -> None:
        path = old.home / "registry.sqlite3"
        names = set(os.listdir(old.home))
        for options in ([], ["--no-backup"]):
            sentence = old.fails("upgrade", *options, code=128 + told)
            assert sentence == "stopped; the registry was left as it was"
            assert set(os.listdir(old.home)) == names
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("SELECT version FROM registry").fetchone() == (3,)

    def test_without_a_copy(self, old: Command) -> None:
        assert old("upgrade", "--no-backup") == "the registry has version 4; it had 3\n"
        assert not list(old.home.glob("registry.before-upgrade.*"))

    def test_database_elsewhere_is_copied_by_its_own_means(self, old: Command) -> None:
        url = f"sqlite:///{old.home}/registry.sqlite3"
        assert "own means" in old.fails("--registry", url, "upgrade", code=2)
        assert old("--registry", url, "upgrade", "--no-backup").startswith("the registry has")

    def test_nothing_there(self, nothing: Command) -> None:
        assert nothing.fails("upgrade").startswith("there is no ")
