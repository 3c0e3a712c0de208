"""A server that knows two boards."""

from __future__ import annotations

import pytest

from birthkey_host import signatures
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import Verifier
from verifying import BACKUP, SERVER, Registry


@pytest.fixture
def board() -> ReferenceDevice:
    return ReferenceDevice.generate(SERVER.public, boot=7)


@pytest.fixture
def neighbour() -> ReferenceDevice:
    return ReferenceDevice.generate(SERVER.public, boot=7)


@pytest.fixture
def registry(board: ReferenceDevice, neighbour: ReferenceDevice) -> Registry:
    registry = Registry()
    registry.add(board, neighbour)
    return registry


@pytest.fixture(params=signatures.BACKENDS)
def server(request: pytest.FixtureRequest, registry: Registry) -> Verifier:
    return Verifier([SERVER, BACKUP], registry.get, backend=request.param)
