"""The CA on disk: what each step does in each phase, and what it refuses."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from authorities import NAMES, WORD, bundle, contents, make, never, no_password, password
from birthkey_host.ca import Authority, CaError, KeyFile, Phase, Role
from birthkey_host.certificates import certificate_pem, is_signed_by, names_of, parse_names
from certificates import authority as another_authority
from certificates import issue as issue_elsewhere
from openssl import verifies

BEGUN = "a rotation has begun, and the current CA still signs; .* `birthkey ca rotate --switch`"
SWITCHED = "the new CA signs already, .* `birthkey ca rotate --finish`"
ONE = "no rotation has begun; `birthkey ca rotate` begins one"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def signer(ca: Authority) -> Role | None:
    server = ca.server()
    assert server is not None
    assert server.refusal is None
    return server.signed_by


class TestCreate:
    def test_makes_key_and_bundle(self, home: Path) -> None:
        ca = Authority(home)
        made = ca.create(no_password)
        assert sorted(contents(home)) == ["ca.pem", "ca/current.pem"]
        assert bundle(ca) == [made.certificate]
        assert (home / "ca.pem").read_bytes() == certificate_pem(made.certificate)
        assert not made.encrypted
        assert made.unlock(never).key.public_key() == made.certificate.public_key()
        with ca:
            assert (ca.phase, ca.completed, ca.server()) == (Phase.ONE, [], None)

    def test_encrypts_the_key(self, home: Path) -> None:
        made = Authority(home).create(password)
        assert made.encrypted
        assert load_pem_private_key((home / "ca/current.pem").read_bytes(), WORD)
        assert b"PRIVATE" not in (home / "ca.pem").read_bytes()

    def test_bad_password_leaves_nothing(self, home: Path) -> None:
        with pytest.raises(CaError, match="and this has 5"):
            Authority(home).create(lambda _: b"short")
        assert not home.exists()

    @pytest.mark.parametrize("phase", Phase)
    def test_overwrites_no_ca(self, home: Path, phase: Phase) -> None:
        make(home, phase)
        before = contents(home)
        with pytest.raises(CaError, match=r"there is a CA in .*/ca already"):
            Authority(home).create(never)
        assert contents(home) == before

    def test_overwrites_no_bundle_of_a_ca_that_is_elsewhere(self, home: Path) -> None:
        ca = make(home)
        shutil.move(ca.folder, home / "kept")
        before = contents(home)
        with pytest.raises(CaError, match=r"but a .*/ca\.pem that boards may trust: put the fold"):
            Authority(home).create(never)
        with pytest.raises(CaError, match=r"but a .*/ca\.pem that boards may trust"), ca:
            pass
        assert contents(home) == before
        shutil.move(home / "kept", ca.folder)
        with ca:
            assert signer(ca) is Role.CURRENT

    def test_second_of_two_at_once_overwrites_nothing(self, home: Path) -> None:
        made = []

        def meanwhile(path: Path) -> None:
            made.append(Authority(home).create(no_password))

        with pytest.raises(CaError, match=r"cannot write .*current\.pem: File exists"):
            Authority(home).create(meanwhile)
        assert KeyFile.load(home / "ca/current.pem").certificate == made[0].certificate

    def test_leaves_a_servers_certificate(self, home: Path) -> None:
        home.mkdir()
        (home / "tls.pem").write_bytes(b"precious")
        Authority(home).create(no_password)
        assert (home / "tls.pem").read_bytes() == b"precious"

    def test_home_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CaError, match=r"cannot write .*/file/home/ca: Not a directory"):
            Authority(tmp_path / "file" / "home").create(no_password)


class TestModes:
    @pytest.mark.parametrize("umask", [0, 0o077], ids=oct)
    def test_only_the_bundle_is_for_everyone(self, home: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            make(home, Phase.SWITCHED)
        finally:
            os.umask(before)
        modes = {
            str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode)
            for path in (home, *home.rglob("*"))
        }
        assert modes == {
            ".": 0o700,
            "ca": 0o700,
            "ca/current.pem": 0o600,
            "ca/previous.pem": 0o600,
            "ca.pem": 0o644,
            "tls.pem": 0o600,
        }

    @pytest.mark.parametrize("loose", ["ca", "ca/current.pem", "ca/next.pem"])
    @pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o002])
    def test_a_key_that_others_may_use_signs_nothing(
        self, home: Path, loose: str, bits: int
    ) -> None:
        ca = make(home, Phase.BEGUN)
        before = contents(home)
        path = home / loose
        path.chmod(path.stat().st_mode | bits)
        with ca:
            assert ca.open_to_others() == [path]
            for step in (
                lambda: ca.issue(parse_names(["a"]), never),
                lambda: ca.switch(never),
            ):
                with pytest.raises(CaError, match=rf"may use {path}: chmod -R go= {ca.folder};"):
                    step()
        assert contents(home) == before
        path.chmod(path.stat().st_mode & 0o700)
        with ca:
            ca.switch(no_password)

    def test_nor_does_a_rotation_begin(self, home: Path) -> None:
        ca = make(home)
        ca.folder.chmod(0o755)
        with ca, pytest.raises(CaError, match="others than the owner"):
            ca.begin(never)
        assert ca.path(Role.NEXT).exists() is False

    def test_nor_is_a_ca_made_where_others_look(self, home: Path) -> None:
        (home / "ca").mkdir(parents=True, mode=0o755)
        with pytest.raises(CaError, match="others than the owner"):
            Authority(home).create(no_password)
        assert contents(home) == {}


class TestIssue:
    def test_server_file_is_what_servers_read(self, home: Path) -> None:
        ca = make(home)
        file = KeyFile.load(home / "tls.pem")
        assert names_of(file.certificate) == parse_names(NAMES)
        assert not file.encrypted
        assert file.unlock(never).key.public_key() == file.certificate.public_key()
        (home / "cert.pem").write_bytes(certificate_pem(file.certificate))
        assert verifies(ca.bundle, home / "cert.pem", "-attime", 0)

    def test_replaces_by_a_new_key(self, home: Path) -> None:
        ca = make(home)
        before = KeyFile.load(home / "tls.pem").certificate
        with ca:
            made = ca.issue(parse_names(["other.example"]), no_password)
            assert signer(ca) is Role.CURRENT
        assert made.public_key() != before.public_key()
        assert KeyFile.load(home / "tls.pem").certificate == made
        assert sorted(contents(home)) == ["ca.pem", "ca/current.pem", "tls.pem"]

    @pytest.mark.parametrize("phase", Phase)
    def test_current_signs_in_every_phase(self, home: Path, phase: Phase) -> None:
        ca = make(home, phase, encrypted=True)
        with ca:
            made = ca.issue(parse_names(["a"]), password)
            assert is_signed_by(made, ca.load(Role.CURRENT).certificate)
            assert signer(ca) is Role.CURRENT
            assert ca.phase is phase
        with ca:
            assert (ca.phase, ca.completed) == (phase, [])

    def test_wrong_password_changes_nothing(self, home: Path) -> None:
        ca = make(home, encrypted=True)
        before = contents(home)
        with ca:
            with pytest.raises(CaError, match=r"this password does not open .*current\.pem"):
                ca.issue(parse_names(["a"]), lambda _: b"wrong")
            with pytest.raises(CaError, match="there is no password"):
                ca.issue(parse_names(["a"]), no_password)
        assert contents(home) == before

    def test_overwrites_nobody_elses_certificate(self, home: Path) -> None:
        ca = make(home)
        for data in (issue_elsewhere(another_authority(), "a").pem, b"notes"):
            (home / "tls.pem").write_bytes(data)
            with ca, pytest.raises(CaError, match=r"tls\.pem .* move it out of the way"):
                ca.issue(parse_names(["a"]), never)
            assert (home / "tls.pem").read_bytes() == data

    def test_overwrites_that_of_a_ca_long_gone(self, home: Path, tmp_path: Path) -> None:
        make(tmp_path / "old")
        ca = make(home)
        shutil.copy(tmp_path / "old/tls.pem", home / "tls.pem")
        with ca:
            server = ca.server()
            assert server is not None
            assert (server.signed_by, bool(server.refusal)) == (None, True)
            ca.issue(parse_names(["a"]), no_password)
            assert signer(ca) is Role.CURRENT


class TestRotation:
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_the_way_to_another_ca(self, home: Path, encrypted: bool) -> None:
        secret: Callable[[Path], bytes | None] = password if encrypted else no_password
        ca = make(home, encrypted=encrypted)
        old = ca.load(Role.CURRENT).certificate
        tls = (home / "tls.pem").read_bytes()
        with ca:
            new = ca.begin(secret).certificate
            assert ca.phase is Phase.BEGUN
        assert bundle(ca) == [old, new]
        assert (home / "tls.pem").read_bytes() == tls
        with ca:
            assert signer(ca) is Role.CURRENT
            made = ca.switch(secret)
            assert ca.phase is Phase.SWITCHED
        assert made is not None
        assert names_of(made) == parse_names(NAMES)
        assert is_signed_by(made, new)
        assert bundle(ca) == [old, new]
        with ca:
            assert ca.load(Role.PREVIOUS).certificate == old
            assert ca.load(Role.CURRENT).certificate == new
            assert signer(ca) is Role.CURRENT
            ca.finish()
            assert ca.phase is Phase.ONE
        assert bundle(ca) == [new]
        assert sorted(contents(home)) == ["ca.pem", "ca/current.pem", "tls.pem"]
        with ca:
            assert (ca.load(Role.CURRENT).certificate, signer(ca)) == (new, Role.CURRENT)
            ca.begin(secret)  # and on it goes
            assert ca.completed == []

    @pytest.mark.parametrize(
        ("phase", "step", "sentence"),
        [
            (Phase.ONE, "switch", ONE),
            (Phase.ONE, "finish", ONE),
            (Phase.BEGUN, "begin", BEGUN),
            (Phase.BEGUN, "finish", BEGUN),
            (Phase.SWITCHED, "begin", SWITCHED),
            (Phase.SWITCHED, "switch", SWITCHED),
        ],
    )
    def test_wrong_order(self, home: Path, phase: Phase, step: str, sentence: str) -> None:
        ca = make(home, phase)
        before = contents(home)
        with ca, pytest.raises(CaError, match=sentence):
            getattr(ca, step)(*([] if step == "finish" else [never]))
        assert contents(home) == before

    def test_without_a_server(self, home: Path) -> None:
        ca = make(home, Phase.BEGUN, server=False, encrypted=True)
        new = ca.load(Role.NEXT).certificate
        with ca:
            assert ca.switch(never) is None
            ca.finish()
        assert bundle(ca) == [new]
        assert sorted(contents(home)) == ["ca.pem", "ca/current.pem"]

    def test_switch_opens_the_next_key_only(self, home: Path) -> None:
        asked = []
        ca = make(home, encrypted=True)
        with ca:
            ca.begin(lambda path: asked.append(path) or b"another password")
            with pytest.raises(CaError, match=r"this password does not open .*/next\.pem"):
                ca.switch(password)
            assert ca.phase is Phase.BEGUN
            ca.switch(lambda path: asked.append(path) or b"another password")
        assert asked == [ca.path(Role.NEXT)] * 2

    def test_switch_does_not_replace_what_current_did_not_sign(self, home: Path) -> None:
        ca = make(home, Phase.BEGUN)
        (home / "tls.pem").write_bytes(issue_elsewhere(another_authority(), "a").pem)
        before = contents(home)
        with ca, pytest.raises(CaError, match="was not signed by the current CA"):
            ca.switch(never)
        assert contents(home) == before

    def test_finish_keeps_the_ca_that_the_server_still_needs(self, home: Path) -> None:
        ca = make(home, Phase.BEGUN)
        tls = (home / "tls.pem").read_bytes()
        with ca:
            ca.switch(no_password)
        (home / "tls.pem").write_bytes(tls)  # from a backup, say
        with ca:
            assert signer(ca) is Role.PREVIOUS
            with pytest.raises(CaError, match="was signed by the previous CA, so boards would"):
                ca.finish()
            assert ca.phase is Phase.SWITCHED
            ca.issue(parse_names(NAMES), no_password)
            ca.finish()

    def test_rotation_is_given_up_by_deleting_next(self, home: Path) -> None:
        ca = make(home, Phase.BEGUN)
        ca.path(Role.NEXT).unlink()
        with ca:
            assert (ca.phase, signer(ca)) == (Phase.ONE, Role.CURRENT)
            assert ca.completed == [f"{home}/ca.pem was not what belongs to {home}/ca; it is now"]
        assert bundle(ca) == [ca.load(Role.CURRENT).certificate]


class TestTrouble:
    def test_no_ca(self, home: Path) -> None:
        for _ in range(2):
            with pytest.raises(CaError, match=r"no CA in .*/ca; `birthkey ca init` makes one"):
                Authority(home).__enter__()
            (home / "ca").mkdir(mode=0o700, parents=True, exist_ok=True)

    @pytest.mark.parametrize(
        ("phase", "gone"), [(Phase.BEGUN, "current"), (Phase.SWITCHED, "current")]
    )
    def test_files_that_no_command_leaves(self, home: Path, phase: Phase, gone: str) -> None:
        ca = make(home, phase)
        (home / "ca" / f"{gone}.pem").unlink()
        before = contents(home)
        with pytest.raises(CaError, match=r"has \w+\.pem, which no command leaves behind"), ca:
            pass
        assert contents(home) == before

    def test_three_cas(self, home: Path) -> None:
        ca = make(home, Phase.SWITCHED)
        shutil.copy(ca.path(Role.PREVIOUS), ca.path(Role.NEXT))
        with pytest.raises(CaError, match=r"previous\.pem and current\.pem and next\.pem, which"):
            ca.__enter__()

    def test_damaged_ca(self, home: Path) -> None:
        ca = make(home)
        ca.path(Role.CURRENT).write_bytes(b"")
        before = contents(home)
        with pytest.raises(CaError, match=r"current\.pem does not hold a certificate and one"), ca:
            pass
        assert contents(home) == before

    def test_damaged_bundle_is_derived_again(self, home: Path) -> None:
        ca = make(home, Phase.BEGUN)
        before = contents(home)
        for data in (b"", b"damaged", certificate_pem(another_authority().certificate)):
            ca.bundle.write_bytes(data)
            with Authority(home) as again:
                assert len(again.completed) == 1
            assert contents(home) == before

    def test_server_whose_key_is_not_its_own(self, home: Path) -> None:
        ca = make(home)
        with ca:
            first = KeyFile.load(home / "tls.pem")
            ca.issue(parse_names(["a"]), no_password)
            second = KeyFile.load(home / "tls.pem")
            mixed = certificate_pem(first.certificate) + second.key_pem
            (home / "tls.pem").write_bytes(mixed)
            server = ca.server()
            assert server is not None
            assert server.signed_by is Role.CURRENT
            assert "is not that of its certificate" in str(server.refusal)

    def test_one_at_a_time(self, home: Path) -> None:
        ca = make(home)
        with ca, pytest.raises(CaError, match="another `birthkey ca` is at work in"):
            Authority(home).__enter__()
        with ca, pytest.raises(CaError, match="another `birthkey ca` is at work in"):
            Authority(home).create(never)
        with Authority(home):
            pass


def test_bundle_is_as_small_as_can_be(home: Path) -> None:
    """Boards keep it in flash: certificates and nothing else."""
    ca = make(home, Phase.BEGUN)
    assert ca.bundle.read_bytes() == b"".join(certificate_pem(each) for each in bundle(ca))
    assert all(isinstance(each, x509.Certificate) for each in bundle(ca))
    assert ca.bundle.stat().st_size < 1300
