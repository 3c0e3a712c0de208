"""TLS that a board ends itself, through a modem, with servers that are as they should be."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

import openssl_server
import tls_bench
from birthkey.crypto import p256, x509
from certificates import authority, issue
from tls_bench import ALERT, ALWAYS, BOARDS, HOST, NO_CA, REFUSED, Bench, exchange, names, streams
from tls_servers import context, echo, say

AES_128, AES_256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
PRIVATE = bytes(range(1, 33))


@pytest.fixture(params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Bench:
    return tls_bench.lend(request)


def test_data_go_both_ways(bench: Bench) -> None:
    """More than a record has, than the modem sends at once, and than its buffer takes."""
    bench.trust(authority("CA two", begins=ALWAYS).der, bench.ca.der)
    assert bench.attempt(echo(bench.good), lambda client: client.echoes(6000)) is True
    assert len(bench.peer.received) == 6000
    [stream] = streams(bench.wire)
    handshake = ["ClientHello", "ClientKeyExchange", "ChangeCipherSpec", "Finished"]
    assert names(stream) == handshake + ["Application"] * 2


@pytest.mark.parametrize("bench", BOARDS[:2], indirect=True)
def test_longest_record(bench: Bench) -> None:
    bench.trust()
    longest = bytes(range(256)) * 64
    read = bench.attempt(
        say(bench.good, longest), lambda client: [client.receive(4096) for _ in range(4)]
    )
    assert b"".join(read) == longest


@pytest.mark.parametrize("bench", BOARDS[:2], indirect=True)
def test_ca_is_changed(bench: Bench) -> None:
    """Meanwhile the board trusts both, in any form and order."""
    new = authority("CA two", begins=ALWAYS)
    after = context(issue(new, HOST, begins=ALWAYS), bench.folder)
    pem = [ca.certificate_pem.decode() for ca in (bench.ca, new)]
    cases: dict[str, tuple[list[Any], ssl.SSLContext]] = {
        "old, new": ([bench.ca.der, new.der], after),
        "new, old": ([new.der, pem[0]], bench.good),
        "bundle": (["".join(pem)], after),
        "bundle, server not yet": (["".join(pem)], bench.good),
    }
    found = {}
    for name, (given, settings) in cases.items():
        bench.trust(*given)
        found[name] = bench.attempt(echo(settings), lambda client: exchange(client, b"hello"))
    assert found == dict.fromkeys(cases, b"hello")


def test_ca_was_changed(bench: Bench) -> None:
    """A server that kept the old one's certificate is refused, even if the new has its name."""
    for name in ("CA two", "CA one"):
        bench.trust(authority(name, begins=ALWAYS).der)
        assert bench.attempt(echo(bench.good)) == f"{REFUSED}{NO_CA}."


def test_ca_that_is_none(bench: Bench) -> None:
    for damaged in (bench.ca.der[:-1], bench.ca.der[:2] + bytes(100)):
        with pytest.raises(ValueError, match="no certificate that TLS can read"):
            bench.trust(damaged)
    for nothing in (b"no certificate", "no certificate"):
        with pytest.raises(ValueError, match="PEM text begins with -----BEGIN CERTIFICATE-----"):
            bench.trust(nothing)
    for key in (bench.ca.key_pem, bench.ca.key_pem.decode()):
        with pytest.raises(ValueError, match="a private key is in it"):
            bench.trust(key)


def test_ca_in_any_form(bench: Bench) -> None:
    for ca in (bench.ca.der, bench.ca.certificate_pem, bench.ca.certificate_pem.decode()):
        bench.trust(ca)
        assert bench.attempt(echo(bench.good)) == "connected"


@pytest.mark.parametrize("bench", BOARDS[:2], indirect=True)
def test_client_certificate(bench: Bench) -> None:
    """OpenSSL verifies it, and that the board has its key; a digest of SHA-384 is cut for that."""
    public = p256.public_key(PRIVATE)
    shown = x509.self_signed(PRIVATE, public, public[:16])
    asking = {
        cipher: context(bench.certificate, bench.folder, ciphers=cipher, clients=shown)
        for cipher in (AES_128, AES_256)
    }
    bench.trust(private=PRIVATE)
    for settings in (*asking.values(), bench.good):
        found = bench.attempt(echo(settings), lambda client: exchange(client, b"hello"))
        asked = settings is not bench.good
        assert (found, bench.peer.clients) == (b"hello", [shown if asked else None])

    bench.trust(private=bytes(reversed(PRIVATE)))
    assert bench.attempt(echo(asking[AES_128])) == ALERT
    assert bench.peer.ended() == "CERTIFICATE_VERIFY_FAILED"
    bench.trust()
    assert bench.attempt(echo(asking[AES_128])) == ALERT
    assert bench.peer.ended() == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    bench.works()


def test_openssl_s_server(bench: Bench) -> None:
    bench.trust()
    path = bench.certificate.save(bench.folder / "tls.pem")
    with openssl_server.serving(path, "-tls1_2") as server:
        server.send(b"good day")
        bench.client.connect("localhost", server.port)
        bench.client.send(b"hello")
        assert server.receive(5) == b"hello"
        assert bench.client.receive(8) == b"good day"
        bench.client.close()
