"""What is fetched is what is pinned, and the cache holds whole things or none."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from boards.build import cache, debian, sources, toolchain
from boards.build.cache import BuildError

CONTENT = b"a package"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PLACE = "pool/main/p/package/package_1.0_all.deb"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with one file, read through apt as any other."""
    file = tmp_path / "mirror" / PLACE
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setattr(debian, "mirrors", lambda: (f"copy:{tmp_path}/mirror",))
    return file


def test_a_pinned_file_is_fetched_once(archive: Path) -> None:
    fetched = debian.fetch(PLACE, SHA256)
    assert (fetched.name, fetched.read_bytes()) == (archive.name, CONTENT)
    archive.unlink()
    assert debian.fetch(PLACE, SHA256) == fetched


def test_a_file_with_another_hash_is_not_taken(archive: Path) -> None:
    archive.write_bytes(b"another")
    with pytest.raises(BuildError, match=archive.name):
        debian.fetch(PLACE, SHA256)
    assert not [path for path in cache.home().rglob("*") if path.name == archive.name]


def test_a_file_that_the_archive_has_no_more(archive: Path) -> None:
    archive.unlink()
    with pytest.raises(BuildError, match=r"does not give package_1\.0_all\.deb, which is pinned"):
        debian.fetch(PLACE, SHA256)


@pytest.mark.parametrize(
    "name", ["arm-none-eabi-gcc", "micropython", "nginx", "qemu-system-arm", "qemu-user"]
)
def test_pins_name_a_place_in_the_pool_and_a_hash(name: str) -> None:
    for place, sha256 in debian.pins(name).items():
        assert place.startswith("pool/main/")
        assert len(bytes.fromhex(sha256)) == 32


def test_a_machine_without_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    debian.mirrors.cache_clear()
    with pytest.raises(BuildError, match="MICROPYTHON_DIR="):
        debian.mirrors()
    with pytest.raises(BuildError, match="apt install qemu-system-arm"):
        toolchain.environment("qemu-system-arm")


def test_tools_on_path_are_taken_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "qemu-arm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BIRTHKEY_TOOLS", "path")
    assert toolchain.environment("qemu-arm")["PATH"] == str(tmp_path)
    monkeypatch.setitem(toolchain._ALL, "ldconfig", "libc-bin")
    assert toolchain.environment("ldconfig")["PATH"] == f"{tmp_path}:/usr/sbin"


def test_a_thing_that_failed_to_be_made_is_not_in_the_cache() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise BuildError("no space left")

    with pytest.raises(BuildError):
        cache.made("things", "one", fail)
    assert list((cache.home() / "things").iterdir()) == []


def test_what_two_want_at_once_is_made_once() -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=cache.made, args=("things", "two", made.append)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_keys_do_not_run_together() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc")


def archive_of(path: Path, *members: tarfile.TarInfo | str) -> Path:
    """An archive in the format that its name says, of empty files where there is only a name."""
    with tarfile.open(path, f"w:{path.suffix[1:]}") as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            archive.addfile(info, io.BytesIO())
    return path


def hard_link(name: str, to: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = tarfile.LNKTYPE, to
    return found


@pytest.mark.parametrize("compression", ["xz", "bz2", "gz"])
def test_unpacking_leaves_out_what_is_not_wanted(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the programs that `tar` starts: a small system has none of them."""
    monkeypatch.setenv("PATH", "/nowhere")
    members = "./top/kept", "./top/doc/left-out", "./top/doc", "./top/doc-kept"
    into = tmp_path / "into"
    into.mkdir()
    debian.unpack(
        archive_of(tmp_path / f"a.tar.{compression}", *members), into, exclude=("*/doc",), strip=1
    )
    assert {path.name for path in into.rglob("*")} == {"kept", "doc-kept"}


def test_unpacking_keeps_hard_links(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar.xz", "top/file", hard_link("top/other", "top/file"))
    into = tmp_path / "into"
    into.mkdir()
    debian.unpack(archive, into, strip=1)
    assert (into / "other").samefile(into / "file")


def test_unpacking_a_package(tmp_path: Path) -> None:
    """Made by Debian's own program."""
    content = tmp_path / "content"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN/control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    )
    (content / "usr/share").mkdir(parents=True)
    (content / "usr/share/left-out").touch()
    (content / "usr/program").write_text("#!/bin/sh\n")
    (content / "usr/program").chmod(0o755)
    package = tmp_path / "a.deb"
    subprocess.run(["dpkg-deb", "--build", content, package], check=True, capture_output=True)
    into = tmp_path / "into"
    into.mkdir()
    debian.unpack(package, into, exclude=("usr/share",))
    assert [path.relative_to(into).as_posix() for path in sorted(into.rglob("*"))] == [
        "usr",
        "usr/program",
    ]
    assert os.access(into / "usr/program", os.X_OK)


@pytest.mark.parametrize("name", ["a.tar.xz", "a.tar.bz2", "a.deb"])
@pytest.mark.parametrize("content", [b"", b"no archive", "cut short"])
def test_an_archive_that_is_damaged(name: str, content: bytes | str, tmp_path: Path) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        whole = archive_of(tmp_path / "whole.tar.xz", *map(str, range(99))).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BuildError, match=r"If it is damaged, delete .*: it is fetched again"):
        debian.unpack(file, tmp_path)


def test_a_folder_that_cannot_take_an_archive(tmp_path: Path) -> None:
    """Nobody is told to delete a file that is whole."""
    archive = archive_of(tmp_path / "a.tar.xz", "file")
    (tmp_path / "into").touch()
    with pytest.raises(BuildError, match=r"cannot unpack .* into .*/into: ") as caught:
        debian.unpack(archive, tmp_path / "into")
    assert "delete" not in str(caught.value)


def test_folders_get_names_that_makefiles_can_take(tmp_path: Path) -> None:
    folder = tmp_path / "my bïrthkey"
    folder.mkdir()
    link = cache.without_blanks(folder)
    assert " " not in str(link)
    assert link.samefile(folder)
    assert cache.without_blanks(folder) == link
    assert cache.without_blanks(tmp_path) != link


def test_a_cache_with_blanks_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    with pytest.raises(BuildError, match="set XDG_CACHE_HOME to another"):
        cache.without_blanks(tmp_path)
    with pytest.raises(BuildError, match="set XDG_CACHE_HOME to another"):
        sources.sources()


def test_packages_that_a_point_release_took_away_are_taken_as_they_are_today(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only for what is run: images are made of what is pinned, or not made."""
    asked: list[tuple[str, ...]] = []

    def current(packages: list[str], suite: str, architecture: str, folder: Path) -> list[Path]:
        asked.append((*packages, suite, architecture))
        return []

    archive.unlink()
    monkeypatch.setattr(debian, "pins", lambda name: {PLACE: SHA256})
    monkeypatch.setattr(debian, "current", current)
    assert debian.fetch_to_run("package", "trixie", "armhf", tmp_path) == []
    assert toolchain._archives("nginx", tmp_path) == []
    assert asked == [("package", "trixie", "armhf"), ("package", "bookworm", "amd64")]
    with pytest.raises(BuildError, match="which is pinned"):
        toolchain._archives("arm-none-eabi-gcc", tmp_path)
