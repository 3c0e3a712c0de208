from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.testing

from birthkey_host.cli import common
from birthkey_host.enrolment import Approve
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from command import Command
from recording import NOW, Server


@pytest.fixture(autouse=True, scope="session")
def built_once() -> Iterator[None]:
    """Typer builds the whole command line anew for each call, which takes half of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))
        yield


@pytest.fixture(autouse=True)
def ada(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs these tests is called ada, and has not become it by sudo."""
    entry = SimpleNamespace(pw_name="ada")
    monkeypatch.setattr(common, "pwd", SimpleNamespace(getpwuid=lambda uid: entry))
    monkeypatch.setattr(common, "_LOGIN_UID", tmp_path / "loginuid")


@pytest.fixture
def nothing(tmp_path: Path) -> Command:
    """A home that is not there."""
    return Command(tmp_path / "home")


@pytest.fixture
def birthkey(nothing: Command) -> Command:
    nothing("init")
    return nothing


@pytest.fixture
def server(birthkey: Command) -> Iterator[Server]:
    """The server of that home; makes everyone wait."""
    key = ServerKey.load(birthkey.home / "server.key")
    with Registry(f"sqlite:///{birthkey.home}/registry.sqlite3") as registry:
        yield Server(key, registry, Approve())


@pytest.fixture
def board(birthkey: Command) -> ReferenceDevice:
    return ReferenceDevice(bytes(31) + b"\x07", bytes.fromhex(birthkey("server-key")))


@pytest.fixture
def enrolled(server: Server, board: ReferenceDevice) -> ReferenceDevice:
    """A board that is active and has sent nothing but its enrol."""
    server.registry.approve(board.device_id, who="ada", why="mine", now=NOW)
    assert server.enrol(board).stored
    return board
