"""A server's key, its registry on disk, and boards to try them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from birthkey_host.enrolment import Approve, Open
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from recording import Server


@pytest.fixture(scope="session")
def server_key() -> ServerKey:
    return ServerKey.generate()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.sqlite3"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry(url, busy_timeout=0.2) as registry:
        registry.create()
        yield registry


@pytest.fixture
def board(server_key: ServerKey) -> ReferenceDevice:
    return ReferenceDevice.generate(server_key.public)


@pytest.fixture
def boards(server_key: ServerKey) -> Callable[[int], list[ReferenceDevice]]:
    """Makes as many boards as are asked for."""
    return lambda count: [ReferenceDevice.generate(server_key.public) for _ in range(count)]


@pytest.fixture
def server(server_key: ServerKey, registry: Registry) -> Server:
    """Lets everyone in."""
    return Server(server_key, registry, Open())


@pytest.fixture
def strict(server_key: ServerKey, registry: Registry) -> Server:
    """Makes everyone wait."""
    return Server(server_key, registry, Approve())


@pytest.fixture
def enrolled(server: Server, board: ReferenceDevice) -> ReferenceDevice:
    server.enrol(board)
    return board
