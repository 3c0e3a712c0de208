"""What is missing on a machine is named by package, before anything is downloaded."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import prerequisites
from tools.prerequisites import needs, packages

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
ALWAYS = ("sh", "make", "grep", "rm", "python3")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder to be all of PATH, with what every system has and what `make` needs of it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ALWAYS:
        found = PYTHON if name == "python3" else shutil.which(name)
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This project, as far as `make` reads it."""
    folder = tmp_path / "my bïrthkey"
    shutil.copytree(ROOT / "tools", folder / "tools")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(
    checkout: Path, programs: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(programs), "HOME": "/nowhere", **variables}
    return subprocess.run(
        ["make", *words], cwd=checkout, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["test"], "sudo apt install gcc libc6-dev cmake nodejs npm openssl\n"),
        (["demo", "BOARD=RPI_PICO"], "sudo apt install gcc libc6-dev cmake nodejs npm\n"),
        (["firmware", "BOARD=RPI_PICO"], "sudo apt install gcc libc6-dev cmake\n"),
        (["flash", "BOARD=QEMU_NETDUINO2", "PORT=x"], "sudo apt install gcc libc6-dev\n"),
        (["dist"], "sudo apt install gcc libc6-dev\n"),
    ],
)
def test_packages_are_named_before_anything_is_done(
    words: list[str], told: str, checkout: Path, programs: Path
) -> None:
    ran = make(checkout, programs, *words)
    assert ran.returncode != 0
    assert told in ran.stderr
    assert not (checkout / ".venv").exists()
    assert not (checkout / "build").exists()


def test_machine_without_python(checkout: Path, programs: Path) -> None:
    (programs / "python3").unlink()
    ran = make(checkout, programs, "demo")
    assert "there is no python3. On Debian: sudo apt install python3-venv\n" in ran.stderr


def test_cache_with_blanks_in_its_name(checkout: Path, programs: Path) -> None:
    ran = make(checkout, programs, "firmware", "BOARD=RPI_PICO", XDG_CACHE_HOME="/home/my cache")
    assert "/home/my cache has blanks in its name: set XDG_CACHE_HOME" in ran.stderr


@pytest.mark.parametrize("state", ["made here", "made elsewhere", "its Python is gone"])
def test_environment_of_another_folder_or_of_no_python_is_made_anew(
    state: str, checkout: Path, programs: Path
) -> None:
    """Such as that of a folder that was renamed, or of a system that was upgraded."""
    made = checkout.with_name("other") if state == "made elsewhere" else checkout
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", made / ".venv"], check=True)
    if made != checkout:
        (made / ".venv").rename(checkout / ".venv")
    if state == "its Python is gone":
        (checkout / ".venv/bin/python").unlink()
        (checkout / ".venv/bin/python").symlink_to("/usr/bin/python3.1")
    (checkout / ".venv/.made").touch()
    make(checkout, programs, "help")
    assert (checkout / ".venv").exists() is (state == "made here")


def test_environment_that_is_not_ours_is_left_alone(checkout: Path, programs: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/notes").touch()
    make(checkout, programs, "help")
    assert (checkout / ".venv/notes").exists()


def test_this_machine_has_all() -> None:
    assert [need for need in needs("test") if need.wrong() is not None] == []


def test_python_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = prerequisites.versions()
    for version, good in (((3, 10, 9), False), (low, True), ((3, 14, 2), True), (high, False)):
        monkeypatch.setattr(sys, "version_info", (*version, 0, 0)[:3])
        assert (prerequisites.python() is None) is good, version


def test_node_that_is_too_old(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (programs / name).write_text("#!/bin/sh\necho v16.20.2\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert prerequisites.node() == "node is v16.20.2, and it takes version 18"


def test_compiler_without_headers(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs / "gcc").write_text("#!/bin/sh\nexit 1\n")
    (programs / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert prerequisites.compiler() == "gcc finds no headers of the C library"


def test_readme_names_all_of_it() -> None:
    """`make fresh` installs these, and nothing else, and then does what the README says."""
    named = re.findall(r"sudo apt install (.*)", (ROOT / "README.md").read_text())
    demo, test = (["make", *packages(needs(goal))] for goal in ("demo", "test"))
    assert named == [" ".join(demo), " ".join(test)]


def test_it_is_in_the_language_of_a_python_that_is_too_old_for_the_rest() -> None:
    ast.parse(Path(prerequisites.__file__).read_text(), feature_version=(3, 7))
