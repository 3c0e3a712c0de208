"""Certificates that boards make of their birth key, and show to TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import load_der_x509_certificate

from birthkey.crypto import x509 as firmware_x509
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.tls import ClientCertificates, device_of
from certificates import Issued, authority, issue, p256, p384, rsa2048, self_signed
from recording import count, data
from tcp_clients import run
from tls_clients import PREFIX, V1_2, V1_3, Serve, ask, client_context, enrol

Boards = Callable[[int], list[ReferenceDevice]]

NOT_OURS = PREFIX + "its certificate is not one that a board makes: "
OPTIONAL, REQUIRED = ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED
VERSIONS = pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])


@pytest.fixture
def showing(tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """Settings of a board that shows a certificate."""

    def showing(certificate: Issued, version: ssl.TLSVersion = V1_2) -> ssl.SSLContext:
        path = certificate.save(tmp_path / "client.pem")
        return client_context(version, certificate=path)

    return showing


Showing = Callable[..., ssl.SSLContext]


def own(board: ReferenceDevice) -> Issued:
    """The certificate of a board's birth key."""
    return self_signed(p256(board.private))


def made_by_firmware(board: ReferenceDevice) -> Issued:
    """The same, as the firmware makes it."""
    der = firmware_x509.self_signed(board.private, board.public, board.device_id)
    return Issued(load_der_x509_certificate(der), p256(board.private))


def signed_by_another(board: ReferenceDevice) -> Issued:
    """A board's key and its own name, signed by somebody else of that name."""
    issuer = Issued(own(board).certificate, p256())
    return Issued(issue(issuer, "birthkey", key=p256(board.private)).certificate, own(board).key)


@VERSIONS
@pytest.mark.parametrize("clients", [OPTIONAL, REQUIRED])
@pytest.mark.parametrize("make", [own, made_by_firmware])
def test_board_may_speak_for_itself(
    serve: Serve,
    showing: Showing,
    registry: Registry,
    board: ReferenceDevice,
    version: ssl.TLSVersion,
    clients: ClientCertificates,
    make: Callable[[ReferenceDevice], Issued],
) -> None:
    async def live() -> None:
        async with serve(clients) as network:
            client = await network.secure(showing(make(board), version))
            # It is nobody yet, and hears so.
            answer = await ask(client, board, data(board))
            assert answer.body == {0: 0, 1: "unknown-device"}
            assert (await enrol(client, board)).type == Type.ACKNOWLEDGE
            assert (await ask(client, board, data(board))).type == Type.ACKNOWLEDGE

    run(live())
    assert count(registry, "messages") == 2


@VERSIONS
def test_board_may_speak_for_nobody_else(
    serve: Serve,
    showing: Showing,
    registry: Registry,
    boards: Boards,
    version: ssl.TLSVersion,
) -> None:
    board, other, newcomer = boards(3)

    async def pretend() -> None:
        async with serve(OPTIONAL) as network:
            anyone = await network.secure(client_context(version))
            await enrol(anyone, other)
            network.lines.clear()
            client = await network.secure(showing(own(board), version))
            for sender, message in (
                (other, data(other)),
                (newcomer, newcomer.enrol("pico", "1.0")),
                (newcomer, data(newcomer)),
            ):
                client.send(sender.frame(message))
                assert await network.line() == (
                    "refused policy: the TLS connection is another device's from 127.0.0.1,"
                    f" device {sender.device_id.hex()}"
                )
            assert (await enrol(client, board)).type == Type.ACKNOWLEDGE
            debts = network.server._admission._debts
            assert debts._now("127.0.0.1", asyncio.get_running_loop().time()) > 0

    run(pretend())
    assert count(registry, "messages") == 2
    assert {device.device_id for device in registry.devices()} == {
        board.device_id,
        other.device_id,
    }


@VERSIONS
def test_optional_needs_none(
    serve: Serve, registry: Registry, boards: Boards, version: ssl.TLSVersion
) -> None:
    async def live() -> None:
        async with serve(OPTIONAL) as network:
            client = await network.secure(client_context(version))
            for board in boards(2):  # without a certificate, a connection is everyone's
                assert (await enrol(client, board)).type == Type.ACKNOWLEDGE

    run(live())
    assert count(registry, "messages") == 2


@VERSIONS
def test_required_needs_one(serve: Serve, version: ssl.TLSVersion) -> None:
    async def refuse() -> None:
        async with serve(REQUIRED) as network:
            client = await network.begin(client_context(version))
            assert await client.refused() in (
                "SSLV3_ALERT_HANDSHAKE_FAILURE",
                "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            )
            assert await network.line() == (
                PREFIX + "it shows no certificate, and here each board must"
            )

    run(refuse())


@VERSIONS
def test_none_asks_for_none(
    serve: Serve,
    showing: Showing,
    registry: Registry,
    boards: Boards,
    version: ssl.TLSVersion,
) -> None:
    board, other = boards(2)

    async def live() -> None:
        async with serve() as network:
            client = await network.secure(showing(own(board), version))
            assert (await enrol(client, other)).type == Type.ACKNOWLEDGE

    run(live())


@VERSIONS
@pytest.mark.parametrize("clients", [OPTIONAL, REQUIRED])
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda board: self_signed(p384()), "its key is not on P-256"),
        (lambda board: self_signed(rsa2048()), "its key is not on P-256"),
        (lambda board: self_signed(ed25519.Ed25519PrivateKey.generate()),
         "its key is not on P-256"),
        (lambda board: issue(authority("another"), "birthkey", key=p256(board.private)),
         "it is not signed with its own key"),
        (signed_by_another, "it is not signed with its own key"),
    ],
    ids=["P-384", "RSA", "Ed25519", "issued", "signed by another"],
)  # fmt: skip
def test_other_certificates(
    serve: Serve,
    showing: Showing,
    board: ReferenceDevice,
    version: ssl.TLSVersion,
    clients: ClientCertificates,
    make: Callable[[ReferenceDevice], Issued],
    fault: str,
) -> None:
    async def refuse() -> None:
        async with serve(clients) as network:
            client = await network.begin(showing(make(board), version))
            assert "ALERT" in await client.refused()
            assert await network.line() == NOT_OURS + fault

    run(refuse())


@VERSIONS
def test_certificate_with_its_authority(
    serve: Serve, tmp_path: Path, board: ReferenceDevice, version: ssl.TLSVersion
) -> None:
    """What vouches for a key is of no use, and no birth key of its own either."""
    ca = authority()
    issued = issue(ca, "birthkey", key=p256(board.private))
    path = tmp_path / "client.pem"
    path.write_bytes(issued.pem + ca.certificate_pem)

    async def refuse() -> None:
        async with serve(REQUIRED) as network:
            client = await network.begin(client_context(version, certificate=path))
            assert "ALERT" in await client.refused()
            assert await network.line() == NOT_OURS + "somebody else has issued it"

    run(refuse())


def of_version_6(certificate: Issued) -> bytes:
    """Its PEM, with a version that X.509 does not have."""
    der = certificate.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    assert der != certificate.der
    return ssl.DER_cert_to_PEM_cert(der).encode()


@VERSIONS
def test_certificate_that_cannot_be_read(
    serve: Serve, tmp_path: Path, board: ReferenceDevice, version: ssl.TLSVersion
) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(own(board).key_pem + of_version_6(own(board)))

    async def refuse() -> None:
        async with serve(OPTIONAL) as network:
            client = await network.begin(client_context(version, certificate=path))
            assert "ALERT" in await client.refused()
            assert (await network.line()).startswith(PREFIX + "its certificate cannot be read: ")

    run(refuse())


def test_certificate_without_its_key(serve: Serve, tmp_path: Path) -> None:
    """TLS 1.2 shows certificates to anyone; what counts is the proof that it asks for."""
    victim, thief = self_signed(p256()), self_signed(p256())
    while len(victim.der) != len(thief.der):  # signatures differ in length
        thief = self_signed(p256())
    path = thief.save(tmp_path / "client.pem")

    async def steal() -> None:
        async with serve(REQUIRED) as network:
            client = await network.begin(client_context(certificate=path))
            alert = await client.refused(lambda sent: sent.replace(thief.der, victim.der))
            assert alert == "TLSV1_ALERT_DECRYPT_ERROR"
            assert await network.line() == (
                PREFIX + "it has not proven that the key in its certificate is its own"
            )

    run(steal())


@VERSIONS
def test_nothing_is_resumed(
    serve: Serve, showing: Showing, board: ReferenceDevice, version: ssl.TLSVersion
) -> None:
    async def come_again() -> None:
        async with serve(REQUIRED) as network:
            context = showing(own(board), version)
            first = await network.secure(context)
            assert (await enrol(first, board)).type == Type.ACKNOWLEDGE
            second = await network.secure(context, session=first.tls.session)
            assert (await ask(second, board, data(board))).type == Type.ACKNOWLEDGE
            assert not second.tls.session_reused

    run(come_again())


def test_dates_do_not_count(serve: Serve, showing: Showing, board: ReferenceDevice) -> None:
    key = p256(board.private)
    past = authority("birthkey", key=key, ends=datetime(2024, 1, 2, tzinfo=UTC))

    async def live() -> None:
        async with serve(REQUIRED) as network:
            client = await network.secure(showing(past))
            assert (await enrol(client, board)).type == Type.ACKNOWLEDGE

    run(live())


def test_device_is_the_keys(boards: Boards) -> None:
    for board in boards(3):
        for certificate in (own(board), made_by_firmware(board)):
            assert device_of(certificate.certificate) == board.device_id
