"""Who may shake hands with the server, who is refused, and what is said of that."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl

import pytest

from birthkey_host.server.tcp import Limits
from birthkey_host.server.tls import TlsStream
from certificates import authority
from tcp_clients import Client, run, steps
from tls_clients import (
    PREFIX,
    V1_1,
    V1_2,
    V1_3,
    TlsClient,
    TlsNetwork,
    both,
    client_context,
    echo,
    flipped,
    refused,
    serving_tls,
)


@pytest.mark.parametrize(
    ("context", "alert", "line"),
    [
        (client_context(V1_1, ciphers="ALL:@SECLEVEL=0"), "TLSV1_ALERT_PROTOCOL_VERSION",
         "it speaks no TLS of version 1.2 or later"),
        (client_context(ciphers="ECDHE-RSA-AES128-GCM-SHA256"), "SSLV3_ALERT_HANDSHAKE_FAILURE",
         "it offers neither TLS 1.3 nor ECDHE-ECDSA with AES-GCM or ChaCha20-Poly1305 on P-256"),
        (client_context(ciphers="ECDHE-ECDSA-AES128-SHA256"), "SSLV3_ALERT_HANDSHAKE_FAILURE",
         "it offers neither TLS 1.3 nor ECDHE-ECDSA with AES-GCM or ChaCha20-Poly1305 on P-256"),
        (client_context(curve="secp384r1"), "SSLV3_ALERT_HANDSHAKE_FAILURE",
         "it offers neither TLS 1.3 nor ECDHE-ECDSA with AES-GCM or ChaCha20-Poly1305 on P-256"),
        (client_context(V1_3, curve="secp384r1"), "SSLV3_ALERT_HANDSHAKE_FAILURE",
         "it does not offer P-256"),
        (client_context(trust=authority("another")), "CERTIFICATE_VERIFY_FAILED",
         "the board does not trust the certificate: unknown ca, another authority than the"
         " board's has issued it"),
        (client_context(V1_3, trust=authority("another")), "CERTIFICATE_VERIFY_FAILED",
         "the board does not trust the certificate: unknown ca, another authority than the"
         " board's has issued it"),
        (client_context(trust=authority()), "CERTIFICATE_VERIFY_FAILED",
         "the board does not trust the certificate: decrypt error, another authority of the same"
         " name has issued it, or it was changed on the way"),
    ],
    ids=["TLS 1.1", "RSA", "CBC", "P-384", "P-384, 1.3", "a stranger's", "a stranger's, 1.3",
         "namesake's"],
)  # fmt: skip
def test_who_is_refused_hears_an_alert_and_is_logged(
    context: ssl.SSLContext, alert: str, line: str
) -> None:
    async def refuse() -> None:
        async with serving_tls(echo) as network:
            assert await refused(network, context) == (alert, line)
            client = await network.secure()
            assert await client.ask(b"one") == b"answer to one"

    run(refuse())


def test_old_version_is_refused_even_where_openssl_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at security level 0, which openssl.cnf may set."""
    monkeypatch.setattr("birthkey_host.server.tls._CIPHERS", b"ALL:@SECLEVEL=0")

    async def refuse() -> None:
        async with serving_tls(echo) as network:
            assert await refused(network, client_context(V1_1, ciphers="ALL:@SECLEVEL=0")) == (
                "TLSV1_ALERT_PROTOCOL_VERSION",
                "it speaks no TLS of version 1.2 or later",
            )

    run(refuse())


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "it speaks HTTP and not TLS"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", "it speaks HTTP and not TLS"),
        (b"\x00\xc8\xd0\x83" + bytes(200), "it does not speak TLS"),
        (b"SSH-2.0-nobody\r\n", "it does not speak TLS"),
        (b"\x16\x03\x01\x02\x00\x01", "it went away in the middle of the TLS handshake"),
        (b"\x16", "it went away in the middle of the TLS handshake"),
        (b"\x17\x03\x03\x00\x20" + bytes(32),
         "what it sent breaks the rules of TLS, or was changed on its way: unexpected message"),
        (b"\x16\x03\x01\xff\xff" + bytes(70000),
         "what it sent was changed on its way: data length too long"),
    ],
    ids=["HTTP", "a proxy", "a frame", "SSH", "half a hello", "a byte", "data", "a huge record"],
)  # fmt: skip
def test_what_is_no_handshake(data: bytes, line: str) -> None:
    async def refuse() -> None:
        async with serving_tls(echo) as network:
            client = await network.begin()
            client.writer.write(data)
            with contextlib.suppress(ConnectionError):
                client.writer.write_eof()
                await client.reader.read()
            assert await network.line() == PREFIX + line
            assert not network.server._connections

    run(refuse())


@steps
async def test_who_says_nothing_and_goes_is_no_trouble() -> None:
    async with serving_tls(echo) as network:
        for _ in range(3):
            client = await network.begin()
            client.writer.write_eof()
            await Client(client.reader, client.writer).closed()
        assert network.lines == []


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silence", "a beginning"])
def test_handshake_has_a_deadline(data: bytes) -> None:
    async def wait() -> None:
        async with serving_tls(echo, Limits(handshake=0.1)) as network:
            client = await network.begin()
            client.writer.write(data)
            await Client(client.reader, client.writer).closed()
            assert await network.line() == PREFIX + "no TLS handshake within 0.1 seconds"

    run(wait())


@steps
async def test_deadline_of_the_handshake_ends_with_it() -> None:
    async with serving_tls(echo, Limits(handshake=0.5)) as network:
        client = await network.secure()
        await asyncio.sleep(0.6)
        assert await client.ask(b"one") == b"answer to one"


@steps
async def test_handshake_that_never_ends_is_given_up() -> None:
    """A hello as long as OpenSSL takes it, of records that are in order."""
    async with serving_tls(echo) as network:
        client = await network.begin()
        client.writer.write(b"\x16\x03\x01\x40\x00\x01\x01\xff\xfc" + bytes(16380))
        client.writer.write(b"\x16\x03\x01\x40\x00" + bytes(16384))
        with contextlib.suppress(ConnectionError):
            await client.reader.read()
        line = await network.line()
        assert line == PREFIX + "its TLS handshake is longer than any that a board makes"


async def half_a_handshake(network: TlsNetwork) -> TlsClient:
    """A board that has said hello, and computes."""
    client = await network.begin(local_addr=("127.0.0.2", 0))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.writer.write(client._goes.read())
    client._came.write(await client.reader.read(65536))
    return client


async def crowd(network: TlsNetwork) -> None:
    """More connections than there are places, each from an address of its own."""
    for number in range(40):
        await network.connect(local_addr=(f"127.0.1.{1 + number}", 0))
    await asyncio.sleep(0.05)


@steps
async def test_handshake_that_moves_keeps_its_place() -> None:
    async with serving_tls(echo, Limits(connections=3, moving=60)) as network:
        client = await half_a_handshake(network)
        await crowd(network)
        await client.shake_hands()
        await crowd(network)
        assert await client.ask(b"one") == b"answer to one"


@pytest.mark.parametrize(
    ("said", "moving"), [("nothing", 60), ("a part of its hello", 60), ("its hello", 0.05)]
)
def test_handshake_that_stands_does_not(said: str, moving: float) -> None:
    async def stand() -> None:
        async with serving_tls(echo, Limits(connections=3, moving=moving)) as network:
            if said == "its hello":
                client = await half_a_handshake(network)
            else:
                client = await network.begin(local_addr=("127.0.0.2", 0))
            trickle = b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"
            for byte in trickle if said == "a part of its hello" else ():
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            await crowd(network)
            await Client(client.reader, client.writer).closed()

    run(stand())


@both
async def test_handshake_that_is_changed_on_its_way(
    network: TlsNetwork, version: ssl.TLSVersion
) -> None:
    """The board's last flight: its key, or its proof that it saw the same handshake."""
    flights = 0

    def alter(data: bytes) -> bytes:
        nonlocal flights
        flights += 1
        return flipped(data) if flights == 2 else data

    client = await network.begin(client_context(version, curve="prime256v1"))
    assert "BAD_RECORD_MAC" in await client.refused(alter)
    line = "what it sent was changed on its way: decryption failed or bad record mac"
    assert await network.line() == PREFIX + line


@steps
async def test_handshake_that_the_board_finds_changed() -> None:
    async with serving_tls(echo) as network:
        client = await network.begin()
        client.writer.write(b"")
        came = client._came.write

        def changed(data: bytes) -> int:
            # The server's signature is near the end of its flight, before an empty message.
            return came(flipped(data, -20)) if len(data) > 300 else came(data)

        client._came = type("Changed", (), {"write": staticmethod(changed)})()
        with pytest.raises(ssl.SSLError, match="BAD_SIGNATURE"):
            await client.shake_hands()
        line = (
            "the board does not trust the certificate: decrypt error, another authority of the same"
            " name has issued it, or it was changed on the way"
        )
        assert await network.line() == PREFIX + line


@pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
def test_whatever_bit_is_changed(version: ssl.TLSVersion) -> None:
    """Each ends with a sentence, or changes nothing; no other frame than the board's is served."""
    seen = []

    def handle(frame: bytes, source: str) -> bytes:
        seen.append(frame)
        return frame

    async def change(network: TlsNetwork, at: int) -> int:
        sent = 0

        def alter(data: bytes) -> bytes:
            nonlocal sent
            before, sent = sent, sent + len(data)
            return flipped(data, at - before) if before <= at < sent else data

        client = await network.begin(client_context(version, curve="prime256v1"))
        with contextlib.suppress(ssl.SSLError, ConnectionError, TimeoutError):
            async with asyncio.timeout(0.2):  # a length that grew makes both wait
                await client.shake_hands(alter)
            client.writer.write(alter(client.records(b"\x00\x05frame")))
        with contextlib.suppress(OSError):
            client.writer.write_eof()
            await client.reader.read()
        while network.server._connections:
            await asyncio.sleep(0)
        return sent

    async def change_many() -> None:
        async with serving_tls(handle) as network:
            length = await change(network, -1)
            assert seen == [b"frame"]
            for at in random.Random(7).sample(range(length), 45):
                await change(network, at)
            assert set(seen) == {b"frame"}
            assert len(seen) < 10
            sentences = (PREFIX, "lost the connection from")  # the peer may be faster
            assert all(line.startswith(sentences) for line in network.lines)
            assert len(network.lines) > 35

    run(change_many())


def test_handshakes_are_made_a_step_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many shake hands at once, all else gets its turn after each costly step."""
    turn, steps_made = 0, list[int]()
    step = TlsStream._step

    def counted(stream: TlsStream) -> bool:
        steps_made.append(turn)
        return step(stream)

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def all_at_once() -> None:
        async with serving_tls(echo) as network:
            counting = asyncio.create_task(count())
            await asyncio.sleep(0)
            clients = [await network.begin() for _ in range(15)]
            await asyncio.gather(*(client.shake_hands() for client in clients))
            counting.cancel()
            for client in clients:
                assert await client.ask(b"one") == b"answer to one"

    monkeypatch.setattr(TlsStream, "_step", counted)
    run(all_at_once())
    assert len(steps_made) >= 30
    assert len(set(steps_made)) == len(steps_made)


@steps
async def test_failed_handshakes_are_charged() -> None:
    async with serving_tls(echo) as network:
        now = asyncio.get_running_loop().time()
        debts = network.server._admission._debts
        client = await network.secure()
        assert await client.ask(b"one") == b"answer to one"
        assert debts._now("127.0.0.1", now) == 0
        await refused(network, client_context(trust=authority()))
        assert 0 < debts._now("127.0.0.1", now) < 0.1
