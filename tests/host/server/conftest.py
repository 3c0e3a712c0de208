"""A server with a registry, which boards reach over TLS and without it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.tcp import Limits
from birthkey_host.server.tls import ClientCertificates
from birthkey_host.verifier import Verifier
from tls_clients import Serve, TlsNetwork, serving_tls


@pytest.fixture
def serve(server_key: ServerKey, registry: Registry) -> Serve:
    """Serves boards, all of whom may enrol."""

    @contextlib.asynccontextmanager
    async def serve(
        clients: ClientCertificates = ClientCertificates.NONE,
        limits: Limits | None = None,
        *,
        require_tls: bool = False,
    ) -> AsyncIterator[TlsNetwork]:
        verifier = Verifier([server_key], registry.lookup)
        pipeline = Pipeline(verifier, registry, Open(), require_tls=require_tls)
        async with serving_tls(pipeline, limits or Limits(), clients=clients) as network:
            yield network

    return serve
