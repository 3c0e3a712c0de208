"""TLS in front of the server: what goes through it, what ends it, and what it may hold."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

from birthkey_host.server.tcp import Limits
from tcp_clients import Client, run, steps
from tls_clients import (
    PREFIX,
    TlsClient,
    TlsNetwork,
    both,
    client_context,
    echo,
    flipped,
    serving_tls,
)

# What works.


@both
async def test_frames_are_answered(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    for number in range(20):
        assert await client.ask(b"%d" % number) == b"answer to %d" % number
    client.end()
    await client.ended()
    assert network.lines == []


@both
async def test_records_need_not_be_frames(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    for byte in b"\x00\x03one":
        client.writer.write(client.records(bytes([byte])))
        await client.writer.drain()
        await asyncio.sleep(0.001)
    assert await client.receive() == b"answer to one"
    client.writer.write(client.records(b"\x00\x03one\x00\x03two\x00\x05th"))
    assert await client.receive() == b"answer to one"
    assert await client.receive() == b"answer to two"
    client.writer.write(client.records(b"ree"))
    assert await client.receive() == b"answer to three"


@both
async def test_all_may_come_byte_by_byte(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    context = client_context(version)
    client = TlsClient(*await asyncio.open_connection("127.0.0.1", network.tls_port), context)

    async def trickle(data: bytes) -> None:
        for byte in data:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)

    client.writer.transport.get_extra_info("socket").setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )
    await client.shake_hands()
    await trickle(client.records(b"\x00\x03one"))
    assert await client.receive() == b"answer to one"
    client.writer.close()


@both
async def test_largest_frame_is_taken(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    frame = b"x" * 4096
    assert await client.ask(frame) == b"answer to " + frame


@steps
async def test_no_record_is_longer_than_a_board_has_room_for() -> None:
    async with serving_tls(lambda frame, source: frame) as network:
        client = await network.secure()
        client.send(b"x" * 4096)
        for expected in (4096, 2):
            head = await client.reader.readexactly(5)
            length = int.from_bytes(head[3:], "big")
            assert length == expected + 24  # with the explicit nonce and the tag of GCM
            client._came.write(head + await client.reader.readexactly(length))
        assert await client.receive() == b"x" * 4096


@both
async def test_frames_before_the_end_are_answered(
    network: TlsNetwork, version: ssl.TLSVersion
) -> None:
    client = await network.secure(client_context(version))
    client.send(b"one")
    client.send(b"two")
    client.end()
    client.writer.write_eof()
    assert await client.receive() == b"answer to one"
    assert await client.receive() == b"answer to two"
    await client.ended()
    assert network.lines == []


@both
async def test_server_ends_tls_when_it_stops(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client, silent = await network.secure(client_context(version)), await network.begin()
    assert await client.ask(b"one") == b"answer to one"
    await network.server.stop()
    await client.ended()
    await Client(silent.reader, silent.writer).closed()
    assert network.lines == []


@steps
async def test_plain_listener_serves_beside_it() -> None:
    async with serving_tls(echo) as network:
        client, plain = await network.secure(), await network.connect()
        assert await client.ask(b"one") == b"answer to one"
        assert await plain.ask(b"one") == b"answer to one"


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"])
def test_ciphers_of_boards_are_taken(cipher: str) -> None:
    async def ask() -> None:
        async with serving_tls(echo) as network:
            client = await network.secure(client_context(ciphers=f"ECDHE-ECDSA-{cipher}"))
            assert await client.ask(b"one") == b"answer to one"

    run(ask())


@both
async def test_nothing_is_resumed(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    context = client_context(version)
    first = await network.secure(context)
    assert await first.ask(b"one") == b"answer to one"
    second = await network.secure(context, session=first.tls.session)
    assert await second.ask(b"one") == b"answer to one"
    assert not second.tls.session_reused


# What ends a connection.


@both
async def test_stream_that_is_cut_is_an_error(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    line = "it was cut: the connection has ended, and TLS has not (no close_notify)"
    client = await network.secure(client_context(version))
    client.send(b"one")
    assert await client.receive() == b"answer to one"
    client.writer.write(client.records(b"\x00\x05abc"))
    client.writer.write_eof()
    await client.ended()
    assert await network.line() == PREFIX + line


@both
async def test_board_that_goes_between_two_frames_is_no_news(
    network: TlsNetwork, version: ssl.TLSVersion
) -> None:
    """MicroPython's TLS has no way to say close_notify."""
    client = await network.secure(client_context(version))
    client.send(b"one")
    assert await client.receive() == b"answer to one"
    client.writer.write_eof()
    await client.ended()
    assert network.lines == []


@both
async def test_half_a_record_is_cut(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    client.writer.write(client.records(b"\x00\x03one")[:-1])
    client.writer.write_eof()
    await client.ended()
    assert (await network.line()).startswith(PREFIX + "it was cut: ")


@both
async def test_record_that_is_changed_on_its_way(
    network: TlsNetwork, version: ssl.TLSVersion
) -> None:
    for at in (5, -1):
        client = await network.secure(client_context(version))
        assert await client.ask(b"one") == b"answer to one"
        client.writer.write(flipped(client.records(b"\x00\x03two"), at))
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            await client.read(1)
        line = "what it sent was changed on its way: decryption failed or bad record mac"
        assert await network.line() == PREFIX + line


@both
async def test_record_that_comes_twice(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    client.writer.write(client.records(b"\x00\x03one") * 2)
    assert await client.receive() == b"answer to one"
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        await client.read(1)
    line = "what it sent was changed on its way: decryption failed or bad record mac"
    assert await network.line() == PREFIX + line


@both
async def test_answer_that_is_changed_on_its_way(
    network: TlsNetwork, version: ssl.TLSVersion
) -> None:
    client = await network.secure(client_context(version))
    client.send(b"one")
    client._came.write(flipped(await client.reader.readexactly(30)))
    with pytest.raises(ssl.SSLError):
        await client.read(1000)
    line = await network.line()
    assert line == PREFIX + "what it was sent was changed on its way: bad record mac"


@both
async def test_plain_bytes_within_tls(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    client.writer.write(b"\x00\x03one" * 10)
    with pytest.raises(ssl.SSLError):
        await client.read(1)
    line = await network.line()
    assert line.startswith(PREFIX + "what it sent was changed on its way: ")


@both
async def test_bad_length_ends_tls_in_peace(network: TlsNetwork, version: ssl.TLSVersion) -> None:
    client = await network.secure(client_context(version))
    client.writer.write(client.records(b"\x10\x01"))
    await client.ended()
    assert await network.line() == "refused framing: bad length from 127.0.0.1"


@steps
async def test_tls_on_the_plain_port_is_told_apart() -> None:
    async with serving_tls(echo) as network:
        network.tls_port = network.port
        client = await network.begin()
        with pytest.raises(ssl.SSLError):
            await client.shake_hands()
        assert await network.line() == (
            "refused framing: bad length from 127.0.0.1: it speaks TLS, and this port does not"
        )


# What a peer may make the server hold.


@steps
async def test_little_is_taken_ahead_of_a_connection() -> None:
    """Frames that come faster than they are served wait on the board's side of the network."""
    entered, go_on = threading.Event(), threading.Event()

    def handle(frame: bytes, source: str) -> bytes:
        entered.set()
        assert go_on.wait(10)
        return frame

    async with serving_tls(handle) as network:
        client = await network.secure()
        client.send(b"one")
        assert await asyncio.to_thread(entered.wait, 10)
        raw = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent = 0
        for _ in range(20):
            while client.writer.transport.get_write_buffer_size() < 100_000:
                records = client.records(b"\x10\x00" + bytes(4096))
                client.writer.write(records)
                sent += len(records)
            await asyncio.sleep(0.01)
        taken = sent - client.writer.transport.get_write_buffer_size()
        assert 8192 < taken < 80_000
        client.writer.transport.abort()
        go_on.set()


@steps
async def test_board_that_takes_no_answers_is_given_up() -> None:
    full = bytes(4000)

    def handle(frame: bytes, source: str) -> bytes:
        return full

    async with serving_tls(handle, Limits(transfer=0.2)) as network:
        deaf = await network.secure()
        deaf.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.writer.transport.pause_reading()
        [connection] = network.server._connections
        held = 0
        while not network.lines:
            deaf.send(b"one")
            await asyncio.sleep(0)
            writer = connection.stream._writer
            held = max(held, writer.transport.get_write_buffer_size())
        assert 4000 < held < 20_000
        assert await network.line() == ("closed the connection from 127.0.0.1: it took too long")
        assert await (await network.secure()).ask(b"one") == full


@steps
async def test_connection_that_had_to_go_in_its_handshake() -> None:
    async with serving_tls(echo, Limits(connections=1)) as network:
        silent = await network.begin()
        while not network.server._connections:
            await asyncio.sleep(0.001)
        client = await network.secure()
        await Client(silent.reader, silent.writer).closed()
        assert await client.ask(b"one") == b"answer to one"
        assert await network.line() == (
            "cut the connection from 127.0.0.1: another one needs its place"
        )


@steps
async def test_both_listeners_share_the_places() -> None:
    async with serving_tls(echo, Limits(connections=2)) as network:
        first, second = await network.connect(), await network.secure()
        assert await first.ask(b"one") == b"answer to one"
        third = await network.secure()
        await first.closed()
        for client in (second, third):
            assert await client.ask(b"one") == b"answer to one"
