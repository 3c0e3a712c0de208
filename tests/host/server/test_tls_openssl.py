"""The program `openssl s_client` against the server: another implementation's command line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from OpenSSL import SSL

import tls_clients
from birthkey_host.server.certificate import Certificate
from birthkey_host.server.tls import ClientCertificates, make_context
from certificates import p256, self_signed
from tcp_clients import run
from tls_clients import CA, TlsNetwork, serving_tls

ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # OpenSSL's; pyOpenSSL has no name for it
FRAME, ANSWER = b"\x00\x03one", b"\x00\x0danswer to one"
CIPHERS = {"-tls1_2": b"ECDHE-ECDSA-AES128-GCM-SHA256", "-tls1_3": b"TLS_AES_256_GCM_SHA384"}
BOTH = pytest.mark.parametrize("version", CIPHERS)


def echo(frame: bytes, source: str) -> bytes:
    return b"answer to " + frame


class Client:
    """A process of `openssl s_client`, and all that it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = b""

    async def hears(self, words: bytes) -> bytes:
        """Waits for these words; all that it has said, with them."""
        assert self.process.stdout is not None
        while words not in self.said:
            data = await self.process.stdout.read(4096)
            assert data, self.said
            self.said += data
        return self.said

    def types(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)


@contextlib.asynccontextmanager
async def s_client(network: TlsNetwork, folder: Path, *options: str) -> AsyncIterator[Client]:
    bundle = CA.save_certificate(folder / "ca.pem")
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{network.tls_port}"),
        *("-CAfile", str(bundle), "-verify_return_error", "-verify_hostname", "localhost"),
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Client(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@BOTH
def test_frame_is_answered(version: str, tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving_tls(echo) as network, s_client(network, tmp_path, version) as client:
            said = await client.hears(b"Verify return code: 0 (ok)")
            # "Server Temp Key" until OpenSSL 3.4, "Peer Temp Key" since.
            assert b" Temp Key: ECDH, prime256v1" in said
            assert b"Cipher is " + CIPHERS[version] in said
            client.types(FRAME)
            await client.hears(ANSWER)
            client.types(b"Q\n")
            assert await client.process.wait() == 0
            while network.server._connections:
                await asyncio.sleep(0.005)
            assert network.lines == []

    run(ask())


@pytest.mark.parametrize("options", [0, ALLOW_CLIENT_RENEGOTIATION], ids=["by default", "allowed"])
def test_renegotiation_is_refused(
    options: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where openssl.cnf lets clients renegotiate, as OpenSSL did by itself before 3.0."""

    def made(certificate: Certificate, clients: ClientCertificates) -> SSL.Context:
        context = make_context(certificate, clients)
        context.set_options(options)
        return context

    monkeypatch.setattr(tls_clients, "make_context", made)

    async def ask() -> None:
        async with serving_tls(echo) as network, s_client(network, tmp_path, "-tls1_2") as client:
            await client.hears(b"Verify return code: 0 (ok)")
            client.types(FRAME)
            await client.hears(ANSWER)
            client.types(b"R\n")
            await client.hears(b"no renegotiation")
            assert await client.process.wait() != 0
            assert "closed the TLS connection from" in await network.line()

    run(ask())


def test_new_keys_are_taken(tmp_path: Path) -> None:
    """TLS 1.3: the client changes its keys and asks for new ones of the server."""

    async def ask() -> None:
        async with serving_tls(echo) as network, s_client(network, tmp_path, "-tls1_3") as client:
            await client.hears(b"Verify return code: 0 (ok)")
            for times in (1, 2):
                client.types(b"K\n")
                await client.hears(b"KEYUPDATE\n" * times)
                client.said = b""
                client.types(FRAME)
                await client.hears(ANSWER)
                client.said = b"KEYUPDATE\n"
            assert network.lines == []

    run(ask())


def test_no_session_is_given(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving_tls(echo) as network, s_client(network, tmp_path, "-tls1_2") as client:
            said = await client.hears(b"Verify return code: 0 (ok)")
            assert b"Session-ID: \n" in said
            assert b"session ticket" not in said

    run(ask())


def test_session_of_tls_1_3_is_worth_nothing(tmp_path: Path) -> None:
    session = str(tmp_path / "session")

    async def come_again() -> None:
        async with serving_tls(echo) as network:
            for option in ("-sess_out", "-sess_in"):
                async with s_client(network, tmp_path, "-tls1_3", option, session) as client:
                    await client.hears(b"Verify return code: 0 (ok)")
                    client.types(FRAME)
                    said = await client.hears(ANSWER)
                    assert b"New, TLSv1.3" in said
                    assert b"Reused, " not in said
                    client.types(b"Q\n")
                    await client.process.wait()

    run(come_again())


@BOTH
def test_certificate_of_a_board(version: str, tmp_path: Path) -> None:
    path = self_signed(p256()).save(tmp_path / "client.pem")

    async def ask() -> None:
        async with (
            serving_tls(echo, clients=ClientCertificates.REQUIRED) as network,
            s_client(network, tmp_path, version, "-cert", str(path), "-key", str(path)) as client,
        ):
            said = await client.hears(b"Verify return code: 0 (ok)")
            assert b"No client certificate CA names sent" in said
            client.types(FRAME)
            await client.hears(ANSWER)

    run(ask())


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "aRSA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "kECDHE+SHA256:!AESGCM:!CHACHA20:@SECLEVEL=0"),
        ("-tls1_2", "-groups", "X25519"),
    ],
    ids=["TLS 1.1", "RSA", "no AEAD", "X25519"],
)
def test_what_is_too_weak_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    async def refuse() -> None:
        async with serving_tls(echo) as network, s_client(network, tmp_path, *options) as client:
            await client.hears(b"alert")
            assert await client.process.wait() != 0
            assert "closed the TLS connection from" in await network.line()

    run(refuse())
