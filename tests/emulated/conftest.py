"""A server that lets every board in, and a modem, for boards that are emulated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.simulator import Simulator, running
from command import Command
from processes import Process
from processes import running as running_process


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What birthkey.json says on a board; the modem is on the link `uart` in the same folder."""
    command = Command(tmp_path / "home")
    command("init")
    with _serving(command) as server, _modem(tmp_path):
        yield _configuration(command, server=server.line().removeprefix("listening on "))


@pytest.fixture
def tls_installation(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """`installation` through TLS; the server asks for a certificate, and takes none for one."""
    command = Command(tmp_path / "home")
    for line in ("init", "ca init", "ca issue 127.0.0.1"):
        command(*line.split())
    options = ("--tls", "--tls-listen", "127.0.0.1:0", "--client-certificates", "optional")
    with _serving(command, *options) as server, _modem(tmp_path):
        server.line()
        address = server.line().removeprefix("listening for TLS on ")
        ca = (command.home / "ca.pem").read_text()
        yield _configuration(command, server=address, tls=True, ca=ca)


def _serving(command: Command, *options: str) -> AbstractContextManager[Process]:
    serve = ("serve", "--listen", "127.0.0.1:0", "--policy", "open")
    return running_process("--home", str(command.home), *serve, *options)


def _modem(folder: Path) -> AbstractContextManager[Simulator]:
    return running(Simulator(ssid="net", password="secret", link=folder / "uart"))


def _configuration(command: Command, **options: Any) -> dict[str, Any]:
    return {
        "server_key": command("server-key").strip(),
        "modem": {"dialect": "esp_at", "ssid": "net", "password": "secret"},
        "interval_s": 0,
        "count": 2,
        **options,
    }
