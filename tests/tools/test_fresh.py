"""`make fresh`, with a folder in the place of a system: that what fails is seen to fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import fresh
from tools.fresh import Failed, Step, System

TOLD = "Every step went as told"


class Folder(System):
    """Whoever types has these programs before all others, and his checkout in a folder."""

    def __init__(self, folder: Path, **programs: str) -> None:
        super().__init__(folder, "sid")
        self.added: list[str] = []
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    def _do(self, command: str, user: str, where: str, variables: dict[str, str]) -> str:
        if user == "0:0":
            self.added += command.partition("--no-install-recommends ")[2].split()
            return ""
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={"PATH": f"{self.folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            raise Failed(ran.stdout + ran.stderr)
        return ran.stdout


def test_prerequisites_that_are_named(tmp_path: Path) -> None:
    told = "echo 'sudo apt install python3-venv' >&2; exit 1"
    fresh.without_prerequisites(Folder(tmp_path, make=told))


@pytest.mark.parametrize(
    "make",
    [
        "echo cannot >&2; exit 1",
        "mkdir .venv; echo sudo apt install python3-venv; exit 1",
        "exit 0",
    ],
    ids=["not named", "after something was done", "not needed"],
)
def test_prerequisites_that_are_not_named(make: str, tmp_path: Path) -> None:
    with pytest.raises(Failed):
        fresh.without_prerequisites(Folder(tmp_path, make=make))


def test_demo(tmp_path: Path) -> None:
    """At a terminal, with the packages that the README names."""
    system = Folder(tmp_path, make=f"test -t 0 && test -t 1 && echo '{TOLD}'")
    fresh.demo(system)
    assert system.added == ["python3-venv"]


@pytest.mark.parametrize("make", [f"echo '{TOLD}'; exit 1", "echo something else"])
def test_demo_that_fails(make: str, tmp_path: Path) -> None:
    with pytest.raises(Failed):
        fresh.demo(Folder(tmp_path, make=make))


def test_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the background: SIGINT, which is 2, is ignored, and there is no terminal."""
    make = """
        grep -q '^SigIgn:.*[2367abef]$' /proc/$$/status && ! test -t 0 && echo "$2 went well"
    """
    fresh.tests(Folder(tmp_path, make=make), "tests/host tests/tools")
    assert "TESTS=tests/host tests/tools went well" in capsys.readouterr().out


def test_tests_that_fail(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="1 failed"):
        fresh.tests(Folder(tmp_path, make="echo 1 failed; exit 2"), "")


def test_what_fails_ends_the_release_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def try_out(release: str, paths: str, keep: bool) -> list[Step]:
        return [Step(release, paths, "ok" if release == "sid" else "FAILED", 1.0)]

    monkeypatch.setattr(fresh, "try_out", try_out)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(fresh.shutil, "which", lambda name: name)
    for releases, status in ((["sid"], 0), (["sid", "bookworm"], 1), (["bookworm", "sid"], 1)):
        monkeypatch.setattr("sys.argv", ["fresh", "--tests", "tests/host", *releases])
        assert fresh.main() == status
        assert "sid        tests/host" in capsys.readouterr().out


def test_whoever_is_not_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(fresh.shutil, "which", lambda name: name)
    monkeypatch.setattr("sys.argv", ["fresh", "sid"])
    with pytest.raises(SystemExit):
        fresh.main()
    assert "sudo make fresh" in capsys.readouterr().err
