"""A server that lets every board in, and a modem, for boards that are emulated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.simulator import Simulator, running
from command import Command
from processes import running as running_process


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What birthkey.json says on a board; the modem is on the link `uart` in the same folder."""
    command = Command(tmp_path / "home")
    command("init")
    with (
        running_process(
            "--home", str(command.home), "serve", "--listen", "127.0.0.1:0", "--policy", "open"
        ) as server,
        running(Simulator(ssid="net", password="secret", link=tmp_path / "uart")),
    ):
        yield {
            "server": server.line().removeprefix("listening on "),
            "server_key": command("server-key").strip(),
            "modem": {"dialect": "esp_at", "ssid": "net", "password": "secret"},
            "interval_s": 0,
            "count": 2,
        }
