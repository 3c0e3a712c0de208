"""`birthkey init`: makes what is missing, and leaves what is there."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from birthkey_host.cli import app
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Base
from command import Command, grouped
from processes import BIRTHKEY
from recording import Server, execute


def test_makes_key_and_registry_for_the_owner_only(nothing: Command) -> None:
    lines = nothing("init").splitlines()
    key = ServerKey.load(nothing.home / "server.key")
    assert lines[0] == f"server id   {grouped(key.server_id)}"
    assert lines[1] == f"public key  {key.public.hex()}"
    assert 'as its "server_key".' in lines[-2]
    assert lines[-1] == f"Then start the server: birthkey --home {nothing.home} serve"
    assert nothing.home.stat().st_mode & 0o077 == 0
    assert {path.name for path in nothing.home.iterdir()} >= {"server.key", "registry.sqlite3"}


def test_folders_above_the_home_are_for_the_owner_only_too(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        Command(tmp_path / "u" / "v" / "w")("init")
    finally:
        os.umask(umask)
    made = [tmp_path / "u", tmp_path / "u" / "v", tmp_path / "u" / "v" / "w"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o700]


def test_takes_its_home_from_the_environment(tmp_path: Path) -> None:
    environment = {"BIRTHKEY_HOME": str(tmp_path / "elsewhere")}
    result = CliRunner().invoke(app, ["init"], env=environment)
    assert result.exit_code == 0
    assert (tmp_path / "elsewhere" / "server.key").exists()


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = Command(tmp_path / "file" / "home").fails("init")
    assert sentence == f"cannot write {tmp_path}/file/home/server.key: Not a directory"


def test_key_is_not_left_behind_without_a_registry(nothing: Command) -> None:
    url = f"sqlite:///{nothing.home}/none/r.sqlite3"
    assert nothing.fails("--registry", url, "init").startswith("cannot write")
    assert list(nothing.home.iterdir()) == []


def test_registry_may_be_elsewhere(nothing: Command, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.sqlite3"
    nothing("--registry", url, "init")
    assert [path.name for path in nothing.home.iterdir()] == ["server.key"]
    assert nothing("--registry", url, "devices").count("\n") == 1


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


def test_never_overwrites(birthkey: Command) -> None:
    before = contents(birthkey.home)
    for options in ([], ["--new-key"]):
        assert birthkey.fails("init", *options) == (
            f"there is a {birthkey.home}/server.key and a registry already; nothing was changed"
        )
    assert contents(birthkey.home) == before


def test_registry_is_made_for_a_key_that_was_put_back(birthkey: Command) -> None:
    key = ServerKey.load(birthkey.home / "server.key")
    pem = (birthkey.home / "server.key").read_bytes()
    (birthkey.home / "registry.sqlite3").unlink()
    assert "`birthkey init` makes it" in birthkey.fails("serve")
    assert birthkey("init").splitlines() == [
        f"server id   {grouped(key.server_id)}",
        f"public key  {key.public.hex()}",
        "",
        f"The key in {birthkey.home}/server.key was left as it was, and the registry is new:",
        "boards that know the key enrol again.",
        f"Then start the server: birthkey --home {birthkey.home} serve",
    ]
    assert (birthkey.home / "server.key").read_bytes() == pem
    assert birthkey("devices").count("\n") == 1


def test_registry_elsewhere_is_made_for_a_key_that_was_put_back(
    birthkey: Command, tmp_path: Path
) -> None:
    before = contents(birthkey.home)
    url = f"sqlite:///{tmp_path}/elsewhere.sqlite3"
    assert "the registry is new" in birthkey("--registry", url, "init")
    assert birthkey("--registry", url, "devices").count("\n") == 1
    assert contents(birthkey.home) == before


def test_key_that_is_damaged_gets_no_registry(birthkey: Command) -> None:
    (birthkey.home / "registry.sqlite3").unlink()
    (birthkey.home / "server.key").write_text("-----BEGIN NOTHING-----\n")
    assert "is not an unencrypted PEM private key" in birthkey.fails("init")
    assert [path.name for path in birthkey.home.iterdir()] == ["server.key"]


def test_empty_file_is_no_registry(birthkey: Command) -> None:
    (birthkey.home / "registry.sqlite3").write_bytes(b"")
    birthkey("init")
    assert birthkey("devices").count("\n") == 1


class TestRegistryWithoutItsKey:
    def test_gets_none_by_itself(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        (birthkey.home / "server.key").unlink()
        sentence = birthkey.fails("init")
        assert sentence.startswith(
            f"there is a registry already, and no {birthkey.home}/server.key: put the key back"
            " from a copy, "
        )
        assert "`birthkey init --new-key` makes another" in sentence
        assert not (birthkey.home / "server.key").exists()

    def test_gets_another_when_asked(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        old = birthkey("server-key")
        (birthkey.home / "server.key").unlink()
        said = birthkey("init", "--new-key")
        assert "The registry was left as it was. " in said
        assert "Keep a copy of " in said
        assert birthkey("server-key") != old
        assert birthkey("devices").count("active") == 1

    def test_of_another_version_gets_none(self, birthkey: Command, server: Server) -> None:
        (birthkey.home / "server.key").unlink()
        execute(server.registry, "UPDATE registry SET version = 99")
        assert "the registry has version 99" in birthkey.fails("init", "--new-key")
        assert not (birthkey.home / "server.key").exists()

    def test_elsewhere(self, birthkey: Command, tmp_path: Path) -> None:
        url = f"sqlite:///{birthkey.home}/registry.sqlite3"
        other = Command(tmp_path / "other")
        assert other.fails("--registry", url, "init").startswith("there is a registry already")
        assert not other.home.exists()
        other("--registry", url, "init", "--new-key")
        assert other("server-key") != birthkey("server-key")


class TestLostRegistry:
    """What was stored may still be there, and an empty registry would be in its way."""

    @pytest.fixture(params=["-wal", "-shm", "-journal"])
    def left(self, birthkey: Command, request: pytest.FixtureRequest) -> Path:
        (birthkey.home / "registry.sqlite3").unlink()
        path = birthkey.home / f"registry.sqlite3{request.param}"
        path.write_bytes(bytes(32768))
        return path

    @pytest.mark.parametrize("command", [["devices"], ["messages"], ["backup", "x"], ["serve"]])
    def test_is_not_made_anew_beside_what_is_left(
        self, birthkey: Command, left: Path, command: list[str]
    ) -> None:
        sentence = birthkey.fails(*command)
        path = birthkey.home / "registry.sqlite3"
        assert sentence == (
            f"there is no {path}, and of its files only {left}: put all of the registry's files"
            f" back; or move {left} away, and put a backup in its place"
        )

    @pytest.mark.parametrize("with_key", [True, False])
    def test_init_leaves_what_is_left_alone(
        self, birthkey: Command, left: Path, with_key: bool
    ) -> None:
        if not with_key:
            (birthkey.home / "server.key").unlink()
        before = contents(birthkey.home)
        assert f"of its files only {left}: put all of" in birthkey.fails("init")
        assert contents(birthkey.home) == before

    def test_elsewhere(self, birthkey: Command, left: Path) -> None:
        url = f"sqlite:///{birthkey.home}/registry.sqlite3"
        for command in ("init", "devices"):
            assert f"of its files only {left}: put all of" in birthkey.fails(
                "--registry", url, command
            )

    def test_beside_a_server_that_has_it_open(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        path = birthkey.home / "registry.sqlite3"
        path.unlink()
        before = set(birthkey.home.iterdir())
        assert f"only {path}-wal and {path}-shm: put all" in birthkey.fails("devices")
        assert birthkey.fails("init").startswith(f"there is no {path}, and of ")
        assert set(birthkey.home.iterdir()) == before

    def test_was_there_if_there_is_a_key(self, birthkey: Command) -> None:
        path = birthkey.home / "registry.sqlite3"
        path.unlink()
        assert birthkey.fails("devices") == (
            f"there is no {path}, but a key, which is made with a registry: put that back, or a"
            " backup of it; if there never was one, `birthkey init` makes it, and --home DIR says"
            " where to look"
        )


def test_nothing_is_left_of_a_registry_that_could_not_be_made(
    nothing: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(bind: object) -> None:
        raise OperationalError("CREATE TABLE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(Base.metadata, "create_all", full)
    assert "database or disk is full" in nothing.fails("init")
    assert list(nothing.home.iterdir()) == []


class TestWhatIsToBeTyped:
    """Each command that is quoted works in a shell as it stands."""

    @pytest.fixture
    def spaced(self, tmp_path: Path) -> Command:
        return Command(tmp_path / "a home; 'quoted'")

    def shell(self, line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        assert line.startswith("birthkey ")
        program = f'birthkey() {{ {shlex.quote(BIRTHKEY)} "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", program], cwd=cwd, capture_output=True, text=True, timeout=60
        )

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_names_home_and_registry(
        self, spaced: Command, tmp_path: Path, elsewhere: bool
    ) -> None:
        url = f"sqlite:///{tmp_path}/else where.sqlite3"
        more = ["--registry", url] if elsewhere else []
        result = spaced.run(*more, "devices") if not elsewhere else spaced.run(*more, "serve")
        line = result.stderr.split("`")[1]
        assert shlex.split(line) == ["birthkey", "--home", str(spaced.home), *more, "init"]
        ran = self.shell(line, tmp_path)
        assert ran.returncode == 0, ran.stderr
        line = ran.stdout.splitlines()[-1].removeprefix("Then start the server: ")
        assert shlex.split(line) == ["birthkey", "--home", str(spaced.home), *more, "serve"]
        assert self.shell(line.replace("serve", "devices"), tmp_path).stdout.count("\n") == 1

    def test_home_is_not_named_when_it_need_not_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        last = CliRunner().invoke(app, ["init"]).stdout.splitlines()[-1]
        assert last == "Then start the server: birthkey serve"
        environment = {"BIRTHKEY_HOME": str(tmp_path / "elsewhere")}
        last = CliRunner().invoke(app, ["init"], env=environment).stdout.splitlines()[-1]
        assert last == "Then start the server: birthkey serve"
        ran = CliRunner().invoke(app, ["--home", "other", "init"], env=environment)
        assert ran.stdout.splitlines()[-1] == "Then start the server: birthkey --home other serve"

    def test_approval_and_certificate(self, spaced: Command, tmp_path: Path) -> None:
        spaced("init")
        spaced("approve", "ab" * 16)
        sentence = spaced.run("suspend", "ab" * 16).stderr
        assert self.shell(sentence.split("`")[1], tmp_path).returncode == 0  # it is deleted
        line = spaced.run("serve", "--tls").stderr.split("`")[1]
        assert self.shell(line, tmp_path).returncode == 0
        line = spaced("ca", "show").split("`")[1].replace("NAME", "localhost")
        assert self.shell(line, tmp_path).returncode == 0
        assert "verifies   yes" in spaced("ca", "show")

    def test_password_of_a_database_is_not_repeated(self, nothing: Command) -> None:
        url = "mysql://ada:secret@localhost/none"
        result = nothing.run("--registry", url, "serve")
        assert "secret" not in result.output
        assert "--registry URL init" in result.stderr
