"""Who asks, for the audit log, and what may be a label."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from birthkey_host.cli import common
from birthkey_host.cli.common import login
from command import ADA, Command
from recording import Server

ME = os.getuid()
PEOPLE = {ME: "ada", ME + 1: "bob\x1b[2J\n" + 100 * "x"}


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpwuid(uid: int) -> SimpleNamespace:
        return SimpleNamespace(pw_name=PEOPLE[uid])

    monkeypatch.setattr(common, "pwd", SimpleNamespace(getpwuid=getpwuid))


@pytest.fixture
def login_uid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "loginuid"
    monkeypatch.setattr(common, "_LOGIN_UID", path)
    return path


@pytest.mark.parametrize("name", ["LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER", "SUDO_UID"])
def test_environment_is_nobody(birthkey: Command, server: Server, name: str) -> None:
    birthkey("approve", "ab" * 16, env={name: "mallory"})
    assert server.registry.events()[-1].who == ADA


def test_uid_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PEOPLE, ME)
    assert login() == f"uid {ME}"


def test_name_is_legible_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEOPLE, ME, PEOPLE[ME + 1])
    assert login().startswith(r"bob\u001b[2J\u000axxx")
    assert login().endswith(f"x... (uid {ME})")
    assert len(login()) < 90


@pytest.mark.parametrize("content", [f"{ME}", "4294967295", "", "what", f"{ME}\n"])
def test_who_became_nobody_else(login_uid: Path, content: str) -> None:
    login_uid.write_text(content)
    assert login() == ADA


def test_who_became_another_is_named_too(login_uid: Path) -> None:
    login_uid.write_text(f"{ME + 2}")
    assert login() == f"{ADA}, logged in as uid {ME + 2}"
    login_uid.write_text(f"{ME + 1}")
    assert login().startswith(f"{ADA}, logged in as bob")


@pytest.mark.parametrize(
    "text", ["\u3164", "a\ufe0f", "a" + 5 * "\u0301", "\u202e", "\x1b", "", "\n"]
)
def test_label_that_would_not_be_seen_as_it_is(birthkey: Command, text: str) -> None:
    sentence = birthkey.fails("approve", "ab" * 16, "--label", text, code=2)
    assert sentence == "a label is 1 to 64 characters that can be printed"


def test_label_in_any_script(birthkey: Command, server: Server) -> None:
    birthkey("approve", "ab" * 16, "--label", "ポンプ 7, tie\u0302\u0301ng 😀")
    assert "ポンプ 7, tie\u0302\u0301ng 😀" in birthkey("devices")
