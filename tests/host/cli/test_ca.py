"""`birthkey ca`: what people read, type and are asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography import x509

from authorities import contents, make, no_password
from birthkey_host.ca import Authority, KeyFile, Phase, Role
from birthkey_host.certificates import fingerprint, names_of, parse_names
from birthkey_host.cli import ca as module
from certificates import authority as another_authority
from certificates import issue as issue_elsewhere
from command import Command
from disk import Disk

WORD = "correct horse battery"
OTHER = "another one, and longer"
AGAIN = f"{WORD}\n{WORD}\n"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(WORD + "\n")
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is `input`."""
    monkeypatch.setattr(module, "_at_terminal", lambda: True)


def with_ca(command: Command, phase: Phase = Phase.ONE, *, server: bool = True) -> Authority:
    return make(command.home, phase, server=server)


def current(command: Command) -> x509.Certificate:
    return KeyFile.load(command.home / "ca/current.pem").certificate


def sha256(certificate: x509.Certificate) -> str:
    return f"sha256     {fingerprint(certificate)}"


def encrypted(command: Command, role: str = "current") -> bool:
    return KeyFile.load(command.home / f"ca/{role}.pem").encrypted


class TestInit:
    def test_makes_it_and_says_what_to_do(self, nothing: Command) -> None:
        lines = nothing("ca", "init").splitlines()
        assert re.fullmatch("current    birthkey CA [0-9a-f]{16}", lines[0])
        assert lines[1:4] == [sha256(current(nothing)), "key        not encrypted", ""]
        assert lines[4].startswith(f"Keep a copy of {nothing.home}/ca where nobody else")
        assert lines[5].startswith(f"Give {nothing.home}/ca.pem to the boards")
        assert lines[7] == f"birthkey --home {nothing.home} ca issue NAME"
        assert sorted(contents(nothing.home)) == ["ca.pem", "ca/current.pem"]

    def test_never_overwrites(self, nothing: Command) -> None:
        with_ca(nothing, Phase.BEGUN)
        before = contents(nothing.home)
        assert nothing.fails("ca", "init") == (
            f"there is a CA in {nothing.home}/ca already, and it was left as it is;"
            " `birthkey ca show` tells about it"
        )
        assert contents(nothing.home) == before

    @pytest.mark.usefixtures("terminal")
    def test_asks_for_a_password_twice(self, nothing: Command) -> None:
        result = nothing.run("ca", "init", "--encrypt", input=AGAIN)
        assert result.exit_code == 0
        assert "key        encrypted\n" in result.stdout
        assert WORD not in result.output
        assert result.stderr.startswith(f"Password for {nothing.home}/ca/current.pem:")
        nothing("ca", "issue", "a", env={"BIRTHKEY_CA_PASSWORD": WORD})

    def test_nobody_is_there(self, nothing: Command) -> None:
        assert nothing.fails("ca", "init", "--encrypt") == (
            "there is nobody to ask for the password: give --password-file or BIRTHKEY_CA_PASSWORD"
        )
        assert not nothing.home.exists()

    @pytest.mark.usefixtures("terminal")
    def test_nobody_answers(self, nothing: Command) -> None:
        assert nothing.run("ca", "init", "--encrypt", input="").exit_code == 1
        assert not nothing.home.exists()

    @pytest.mark.parametrize("options", [[], ["--encrypt"]])
    def test_password_in_the_environment(self, nothing: Command, options: list[str]) -> None:
        nothing("ca", "init", *options, env={"BIRTHKEY_CA_PASSWORD": WORD})
        assert encrypted(nothing)

    def test_password_in_a_file(self, nothing: Command, password_file: Path) -> None:
        """It comes before the environment."""
        given = ("--password-file", str(password_file))
        nothing("ca", "init", *given, env={"BIRTHKEY_CA_PASSWORD": OTHER})
        nothing("ca", "issue", "a", *given, env={"BIRTHKEY_CA_PASSWORD": OTHER})

    def test_password_that_is_too_short(self, nothing: Command, password_file: Path) -> None:
        password_file.write_text("short")
        sentence = nothing.fails("ca", "init", "--password-file", str(password_file))
        assert sentence == "a password for a CA's key has 12 to 1023 bytes, and this has 5"
        assert not nothing.home.exists()

    @pytest.mark.parametrize("text", ["", "\n", "\r\n", f"{WORD}\n{WORD}\n", f"\n{WORD}"])
    def test_file_that_is_no_password(
        self, nothing: Command, password_file: Path, text: str
    ) -> None:
        password_file.write_bytes(text.encode())
        sentence = nothing.fails("ca", "init", "--password-file", str(password_file))
        assert sentence == f"{password_file} is not one line with a password"

    def test_file_that_is_not_there(self, nothing: Command, tmp_path: Path) -> None:
        sentence = nothing.fails("ca", "init", "--password-file", str(tmp_path / "none"))
        assert sentence == f"cannot read {tmp_path}/none: No such file or directory"
        assert not nothing.home.exists()


class TestIssue:
    def test_says_for_whom_and_that_no_restart_is_needed(self, nothing: Command) -> None:
        ca = with_ca(nothing, server=False)
        lines = nothing("ca", "issue", "IoT.example.com", "*.example.com", "::1").splitlines()
        assert lines == [
            f"{ca.server_path} is for iot.example.com, *.example.com, ::1",
            "A running server takes it for its next connection, without a restart.",
        ]
        names = names_of(KeyFile.load(ca.server_path).certificate)
        assert names == parse_names(["iot.example.com", "*.example.com", "::1"])

    def test_says_whom_it_is_no_longer_for(self, nothing: Command) -> None:
        with_ca(nothing)
        said = nothing("ca", "issue", "iot.example.com", "127.0.0.1", "new.example")
        assert said.splitlines()[-1] == (
            "It is no longer for *.pumps.example.com, localhost: boards that connect there refuse"
            " it."
        )

    @pytest.mark.parametrize("name", ["a_b", "https://a", "*.example", "192.0.2.256", "b\x1b[31m"])
    def test_name_that_is_none(self, nothing: Command, name: str) -> None:
        with_ca(nothing)
        before = contents(nothing.home)
        assert nothing.fails("ca", "issue", "a", name, code=2).startswith(repr(name))
        assert contents(nothing.home) == before

    def test_no_name(self, nothing: Command) -> None:
        assert nothing.run("ca", "issue").exit_code == 2

    def test_no_ca(self, nothing: Command) -> None:
        assert nothing.fails("ca", "issue", "a").endswith("`birthkey ca init` makes one")
        assert not nothing.home.exists()

    def test_wrong_password(self, nothing: Command, password_file: Path) -> None:
        nothing("ca", "init", "--password-file", str(password_file))
        before = contents(nothing.home)
        password_file.write_text("something else")
        sentence = nothing.fails("ca", "issue", "a", "--password-file", str(password_file))
        where = f"{nothing.home}/ca/current.pem"
        assert sentence == f"this password does not open the private key in {where}"
        assert contents(nothing.home) == before

    @pytest.mark.usefixtures("terminal")
    def test_asks_once(self, nothing: Command, password_file: Path) -> None:
        nothing("ca", "init", "--password-file", str(password_file))
        result = nothing.run("ca", "issue", "a", input=f"{WORD}\n")
        assert result.exit_code == 0
        assert result.stderr.count("Password of") == 1

    def test_password_of_a_key_that_has_none(self, nothing: Command, password_file: Path) -> None:
        with_ca(nothing)
        result = nothing.run("ca", "issue", "a", "--password-file", str(password_file))
        assert result.exit_code == 0
        sentence = f"warning: {password_file} was not needed: the key is not encrypted\n"
        assert result.stderr == sentence
        nothing("ca", "issue", "a", env={"BIRTHKEY_CA_PASSWORD": WORD})  # may be there for others


class TestRotate:
    def test_three_steps_and_what_comes_next(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        old, home = current(nothing), nothing.home
        lines = nothing("ca", "rotate").splitlines()
        new = KeyFile.load(home / "ca/next.pem").certificate
        name = new.subject.rfc4514_string().removeprefix("CN=")
        assert lines[:2] == [f"next       {name}", sha256(new)]
        assert lines[4] == f"{home}/ca.pem has both CAs now, and the current one still signs."
        assert lines[5].endswith("and give ca.pem to every board.")
        assert (
            lines[6]
            == f"When all boards have it: birthkey --home {nothing.home} ca rotate --switch"
        )
        assert x509.load_pem_x509_certificates(ca.bundle.read_bytes()) == [old, new]
        assert nothing("ca", "rotate", "--switch").splitlines() == [
            f"{name} signs now.",
            f"{home}/tls.pem was made again, for iot.example.com, *.pumps.example.com, localhost,"
            " 127.0.0.1.",
            "A running server takes it for its next connection; copy it to other servers.",
            f"When every server has it: birthkey --home {nothing.home} ca rotate --finish",
        ]
        lines = nothing("ca", "rotate", "--finish").splitlines()
        assert lines[0].startswith(f"The previous CA and its key are deleted from {home}/ca")
        assert lines[1].startswith(f"{home}/ca.pem has the new CA alone. Give it to the boards")
        assert x509.load_pem_x509_certificates(ca.bundle.read_bytes()) == [new]
        assert current(nothing) == new

    @pytest.mark.parametrize(
        ("phase", "options"),
        [
            (Phase.ONE, ["--switch"]),
            (Phase.ONE, ["--finish"]),
            (Phase.BEGUN, []),
            (Phase.BEGUN, ["--finish"]),
            (Phase.SWITCHED, []),
            (Phase.SWITCHED, ["--switch"]),
        ],
    )
    def test_wrong_order(self, nothing: Command, phase: Phase, options: list[str]) -> None:
        with_ca(nothing, phase)
        before = contents(nothing.home)
        assert nothing.fails("ca", "rotate", *options) == phase.value
        assert contents(nothing.home) == before

    @pytest.mark.parametrize(
        "options",
        [
            ["--switch", "--finish"],
            ["--switch", "--encrypt"],
            ["--finish", "--no-encrypt"],
            ["--finish", "--password-file", "x"],
            ["--no-encrypt", "--password-file", "x"],
        ],
    )
    def test_options_that_exclude_each_other(self, nothing: Command, options: list[str]) -> None:
        with_ca(nothing, Phase.SWITCHED)
        before = contents(nothing.home)
        assert nothing.fails("ca", "rotate", *options, code=2)
        assert contents(nothing.home) == before

    def test_before_there_is_a_server(self, nothing: Command) -> None:
        with_ca(nothing, Phase.BEGUN, server=False)
        lines = nothing("ca", "rotate", "--switch").splitlines()
        command = f"birthkey --home {nothing.home} ca issue NAME"
        assert lines[1] == f"There is no {nothing.home}/tls.pem yet: {command}"

    @pytest.mark.usefixtures("terminal")
    def test_next_key_is_encrypted_as_the_current_one(self, nothing: Command) -> None:
        nothing.run("ca", "init", "--encrypt", input=AGAIN)
        result = nothing.run("ca", "rotate", input=f"{OTHER}\n{OTHER}\n")
        assert result.stderr.startswith(f"Password for {nothing.home}/ca/next.pem:")
        assert encrypted(nothing, "next")
        nothing.run("ca", "issue", "a", input=f"{WORD}\n")
        result = nothing.run("ca", "rotate", "--switch", input=f"{OTHER}\n")
        assert (result.exit_code, result.stderr.count("Password of")) == (0, 1)

    @pytest.mark.usefixtures("terminal")
    @pytest.mark.parametrize(
        ("before", "options", "after"),
        [
            (False, [], False),
            (False, ["--encrypt"], True),
            (True, ["--no-encrypt"], False),
            (True, ["--encrypt"], True),
        ],
    )
    def test_or_as_one_says(
        self, nothing: Command, before: bool, options: list[str], after: bool
    ) -> None:
        nothing.run("ca", "init", *(["--encrypt"] if before else []), input=AGAIN)
        assert nothing.run("ca", "rotate", *options, input=AGAIN).exit_code == 0
        assert (encrypted(nothing), encrypted(nothing, "next")) == (before, after)

    def test_help_tells_of_a_leaked_key(self, nothing: Command) -> None:
        said = " ".join(nothing("ca", "rotate", "--help").split())
        assert "If the CA's key has leaked, do all at once" in said

    def test_what_a_power_cut_left_is_told(self, nothing: Command) -> None:
        ca = with_ca(nothing, Phase.BEGUN)
        for at in range(1, 20):  # up to where the certificate is renamed
            before = ca.server_path.read_bytes()
            with Disk(nothing.home).cut(at), ca:
                ca.switch(no_password)
            if ca.server_path.read_bytes() != before:
                break
        assert ca.path(Role.NEXT).exists()
        result = nothing.run("ca", "rotate", "--switch")
        assert result.exit_code == 0
        assert result.stderr == (
            "warning: the switch to the new CA was interrupted; it is complete now\n"
        )
        assert result.stdout.endswith(f"birthkey --home {nothing.home} ca rotate --finish\n")

    def test_init_too(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        ca.bundle.unlink()
        result = nothing.run("ca", "init")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"warning: {nothing.home}/ca.pem was not what belongs")
        assert ca.bundle.exists()


class TestShow:
    def test_everything(self, nothing: Command) -> None:
        ca = with_ca(nothing, Phase.BEGUN)
        role, following = current(nothing), KeyFile.load(nothing.home / "ca/next.pem").certificate
        name = role.subject.rfc4514_string().removeprefix("CN=")
        assert nothing("ca", "show").splitlines() == [
            f"current    {name}",
            sha256(role),
            "key        not encrypted",
            "",
            f"next       {following.subject.rfc4514_string().removeprefix('CN=')}",
            sha256(following),
            "key        not encrypted",
            "",
            "ca.pem     current and next: what boards trust",
            "",
            "tls.pem    iot.example.com, *.pumps.example.com, localhost, 127.0.0.1",
            sha256(KeyFile.load(ca.server_path).certificate),
            f"signed by  {name}, current",
            "verifies   yes",
            "",
            "A"
            + Phase.BEGUN.value[1:].replace("birthkey", f"birthkey --home {nothing.home}")
            + ".",
        ]

    def test_without_a_server(self, nothing: Command) -> None:
        nothing("ca", "init", env={"BIRTHKEY_CA_PASSWORD": WORD})
        lines = nothing("ca", "show").splitlines()
        assert lines[2] == "key        encrypted"
        command = f"`birthkey --home {nothing.home} ca issue NAME`"
        assert lines[6] == f"tls.pem    none yet; {command} makes it"

    def test_nothing(self, nothing: Command) -> None:
        sentence = f"there is no CA in {nothing.home}/ca; `birthkey ca init` makes one"
        assert nothing.fails("ca", "show") == sentence
        assert not nothing.home.exists()

    def test_warns_of_a_ca_that_boards_do_not_trust(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        other = issue_elsewhere(another_authority("Some CA"), "a.example")
        ca.server_path.write_bytes(other.pem)
        ca.server_path.chmod(0o600)
        result = nothing.run("ca", "show")
        assert result.exit_code == 0
        assert "signed by  Some CA\nverifies   no: " in result.stdout
        assert result.stderr == (
            f"warning: {ca.server_path} is signed by a CA that is not in {ca.bundle}: boards"
            " refuse it\n"
        )

    def test_warns_of_files_that_others_read(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        ca.path(Role.CURRENT).chmod(0o644)
        ca.server_path.chmod(0o640)
        warnings = nothing.run("ca", "show").stderr.splitlines()
        assert warnings == [
            f"warning: others may use {ca.folder}/current.pem: chmod -R go= {ca.folder}",
            f"warning: others may read {ca.server_path}, and the key in it: chmod 600"
            f" {ca.server_path}",
        ]

    def test_damaged_certificate(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        ca.server_path.write_text("notes")
        result = nothing.run("ca", "show")
        sentence = f"{ca.server_path} does not hold a certificate and one private key in PEM: put"
        assert result.exit_code == 0
        assert result.stdout.endswith(" ca rotate` begins one.\n")
        assert result.stderr.startswith(f"warning: {sentence} it back from a copy\n")
        refused = nothing.fails("ca", "issue", "a")
        assert refused == f"{sentence} it back from a copy, or move it out of the way"
        assert ca.server_path.read_text() == "notes"

    def test_names_cannot_steer_a_terminal(self, nothing: Command) -> None:
        ca = with_ca(nothing)
        ca.server_path.write_bytes(issue_elsewhere(another_authority("\x1b[31m"), "a").pem)
        assert "\x1b" not in nothing.run("ca", "show").output


class TestNames:
    """A CA for some names alone, and what becomes of that in a rotation."""

    LIMITS = "signs for  example.com, 192.0.2.0/24 and no others"

    @pytest.fixture
    def limited(self, nothing: Command) -> Command:
        said = nothing("ca", "init", "--name", "Example.com", "--name", "192.0.2.0/24")
        assert self.LIMITS in said.splitlines()
        return nothing

    def test_are_all_that_it_signs_for(self, limited: Command) -> None:
        assert self.LIMITS in limited("ca", "show").splitlines()
        assert limited.fails("ca", "issue", "iot.example.com", "iot.example.org") == (
            "this CA signs for example.com, 192.0.2.0/24 and what is in there, and iot.example.org"
            " is not: `birthkey ca rotate --name NAME` goes to one that does"
        )
        assert not (limited.home / "tls.pem").exists()
        limited("ca", "issue", "iot.example.com", "192.0.2.7")
        assert "verifies   yes" in limited("ca", "show")

    def test_stay_in_a_rotation(self, limited: Command) -> None:
        limited("ca", "issue", "192.0.2.7")
        for step in ([], ["--switch"], ["--finish"]):
            limited("ca", "rotate", *step)
        said = limited("ca", "show")
        assert self.LIMITS in said.splitlines()
        assert "verifies   yes" in said

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (["--name", "example.org", "--name", "example.com"],
             "signs for  example.org, example.com and no others"),
            (["--any-name"], None),
        ],
    )  # fmt: skip
    def test_change_in_a_rotation(
        self, limited: Command, options: list[str], line: str | None
    ) -> None:
        limited("ca", "issue", "iot.example.com")
        said = limited("ca", "rotate", *options)
        limited("ca", "rotate", "--switch")
        limited("ca", "rotate", "--finish")
        assert [each for each in said.splitlines() if each.startswith("signs")] == (
            [line] if line else []
        )
        limited("ca", "issue", "iot.example.org")

    def test_rotation_that_would_lock_the_server_out_does_not_begin(self, limited: Command) -> None:
        limited("ca", "issue", "iot.example.com", "192.0.2.7")
        assert limited.fails("ca", "rotate", "--name", "example.com") == (
            f"the next CA would not sign for 192.0.2.7, which {limited.home}/tls.pem is for: name"
            " them, or their domain, too"
        )
        assert not (limited.home / "ca/next.pem").exists()

    @pytest.mark.parametrize(
        "options",
        [
            ["--name", "a.example", "--any-name"],
            ["--switch", "--name", "a.example"],
            ["--finish", "--any-name"],
        ],
        ids=" ".join,
    )
    def test_belong_to_the_first_step(self, limited: Command, options: list[str]) -> None:
        sentence = limited.fails("ca", "rotate", *options, code=2)
        assert sentence == (
            "--name or --any-name, one of them, belongs to the first of the three steps"
        )

    def test_that_are_none(self, nothing: Command) -> None:
        sentence = nothing.fails("ca", "init", "--name", "*.example.com", code=2)
        assert sentence.startswith("'*.example.com': leave out the *., ")
        assert not nothing.home.exists()
