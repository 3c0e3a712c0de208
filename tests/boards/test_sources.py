"""What is fetched is what is pinned, and the cache holds whole things or none."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from pathlib import Path

import pytest

from boards.build import cache, debian, toolchain
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


def test_unpacking_leaves_out_what_is_not_wanted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        for name in ("top/kept", "top/doc/left-out"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    into = tmp_path / "into"
    into.mkdir()
    debian.unpack(tmp_path / "a.tar.xz", into, exclude=("*/doc",), strip=1)
    assert [path.name for path in into.rglob("*")] == ["kept"]


def test_an_archive_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"no archive")
    with pytest.raises(BuildError, match="delete it, it is fetched again"):
        debian.unpack(tmp_path / "a.tar.xz", tmp_path)


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
