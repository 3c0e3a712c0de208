from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable

import pytest

from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.tcp import Limits, TcpServer
from birthkey_host.verifier import Verifier
from recording import count, data
from tcp_clients import Client, Network, run, serving, steps

Boards = Callable[[int], list[ReferenceDevice]]


def echo(frame: bytes, source: str) -> bytes | None:
    """Answers everything but what begins with 0."""
    return None if frame.startswith(b"\x00") else b"answer to " + frame


class Gate:
    """A handler that waits until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, frame: bytes, source: str) -> bytes:
        self.entered.set()
        assert self.open.wait(10)
        return b"late " + frame

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 10)


@steps
async def test_frame_is_answered() -> None:
    async with serving(echo) as network:
        client = await network.connect()
        assert await client.ask(b"one") == b"answer to one"


@steps
async def test_handler_learns_the_source() -> None:
    async with serving(lambda frame, source: source.encode()) as network:
        client = await network.connect()
        assert await client.ask(b"one") == b"127.0.0.1"


@steps
async def test_handler_runs_beside_the_loop_in_one_thread() -> None:
    def handle(frame: bytes, source: str) -> bytes:
        time.sleep(0.01)
        return str(threading.get_ident()).encode()

    async with serving(handle) as network:
        clients = [await network.connect() for _ in range(4)]
        answers = await asyncio.gather(*(client.ask(b"one") for client in clients))
    assert len(set(answers)) == 1
    assert answers[0] != str(threading.get_ident()).encode()


@steps
async def test_answers_keep_the_order_of_the_frames() -> None:
    async with serving(echo) as network:
        client = await network.connect()
        for number in range(50):
            client.send(b"%d" % number)
        for number in range(50):
            assert await client.receive() == b"answer to %d" % number


@steps
async def test_frame_may_come_byte_by_byte() -> None:
    async with serving(echo) as network:
        client = await network.connect()
        for byte in b"\x00\x03one\x00\x03two":
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0.002)
        assert await client.receive() == b"answer to one"
        assert await client.receive() == b"answer to two"


@steps
async def test_largest_frame_is_taken() -> None:
    async with serving(lambda frame, source: b"%d" % len(frame)) as network:
        client = await network.connect()
        assert await client.ask(bytes(4096)) == b"4096"


@pytest.mark.parametrize("length", [0, 4097, 65535])
def test_bad_length_closes(length: int) -> None:
    async def bad() -> None:
        async with serving(echo) as network:
            client = await network.connect()
            client.writer.write(length.to_bytes(2, "big") + bytes(10))
            await client.closed()
            other = await network.connect()
            assert await other.ask(b"one") == b"answer to one"

    run(bad())


@steps
async def test_silence_leaves_the_connection_open() -> None:
    async with serving(echo) as network:
        client = await network.connect()
        client.send(b"\x00")
        assert await client.ask(b"one") == b"answer to one"


@steps
async def test_bad_frames_close_in_the_end() -> None:
    async with serving(echo, Limits(bad_frames=3)) as network:
        client = await network.connect()
        for _ in range(2):
            client.send(b"\x00")
        assert await client.ask(b"one") == b"answer to one"
        client.send(b"\x00")
        await client.closed()


@steps
async def test_idle_connection_is_closed() -> None:
    async with serving(echo, Limits(idle=0.1)) as network:
        client = await network.connect()
        await client.closed()


@steps
async def test_idle_time_begins_anew_with_each_frame() -> None:
    async with serving(echo, Limits(idle=0.5)) as network:
        client = await network.connect()
        for _ in range(4):
            await asyncio.sleep(0.2)
            assert await client.ask(b"one") == b"answer to one"


@steps
async def test_connections_that_are_dead_are_noticed() -> None:
    async with serving(echo, Limits(idle=123)) as network:
        client = await network.connect()
        assert await client.ask(b"one") == b"answer to one"
        [connection] = network.server._connections
        server_side = connection.stream._writer.get_extra_info("socket")
        assert server_side.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert server_side.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 123


@steps
async def test_frame_that_never_ends_is_given_up() -> None:
    async with serving(echo, Limits(transfer=0.2)) as network:
        client = await network.connect()
        began = time.monotonic()

        async def trickle() -> None:
            client.writer.write(b"\x01\x00")
            while True:
                client.writer.write(b"x")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        await client.closed()
        task.cancel()
        assert time.monotonic() - began < 2


@steps
async def test_half_a_length_is_given_up() -> None:
    async with serving(echo, Limits(transfer=0.1)) as network:
        client = await network.connect()
        client.writer.write(b"\x01")
        await client.closed()


@steps
async def test_board_that_takes_no_answers_is_given_up() -> None:
    full = bytes(4096)
    async with serving(lambda frame, source: full, Limits(transfer=0.2)) as network:
        with socket.create_connection(("127.0.0.1", network.port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)

            async def pour() -> None:
                while True:
                    await asyncio.get_running_loop().sock_sendall(deaf, b"\x00\x01a" * 1000)

            with pytest.raises(ConnectionError):
                await pour()
        client = await network.connect()
        assert await client.ask(b"one") == full


@steps
async def test_slow_board_delays_nobody() -> None:
    async with serving(echo) as network:
        slow = [await network.connect() for _ in range(5)]
        for client in slow:
            client.writer.write(b"\x01\x00half")
        fast = await network.connect()
        assert await fast.ask(b"one") == b"answer to one"


def test_handler_that_fails_ends_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    def handle(frame: bytes, source: str) -> bytes:
        if frame == b"bug":
            raise RuntimeError("a bug")
        return frame

    async def bug() -> None:
        async with serving(handle) as network:
            client, other = [await network.connect() for _ in range(2)]
            client.send(b"bug")
            await client.closed()
            assert await other.ask(b"one") == b"one"

    run(bug())
    assert "a bug" in caplog.text


def test_going_away_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def leave() -> None:
        async with serving(echo) as network:
            for rest in (b"", b"\x00", b"\x00\x05abc"):
                client = await network.connect()
                client.writer.write(rest)
                client.writer.close()
                await client.writer.wait_closed()
            await asyncio.sleep(0.05)

    run(leave())
    assert caplog.records == []


@steps
async def test_frames_before_a_half_close_are_answered() -> None:
    async with serving(echo) as network:
        client = await network.connect()
        client.send(b"one")
        client.send(b"two")
        client.writer.write_eof()
        assert await client.receive() == b"answer to one"
        assert await client.receive() == b"answer to two"
        await client.closed()


@steps
async def test_stop_finishes_what_is_being_handled() -> None:
    gate = Gate()
    async with serving(gate) as network:
        busy, idle = [await network.connect() for _ in range(2)]
        busy.send(b"one")
        busy.send(b"two")
        await gate.wait()
        stopping = asyncio.create_task(network.server.stop())
        await idle.closed()
        with pytest.raises(OSError, match="Connect call failed"):
            await network.connect()
        gate.open.set()
        assert await busy.receive() == b"late one"
        await busy.closed()
        await stopping


@steps
async def test_stop_waits_no_longer_than_it_should() -> None:
    gate = Gate()
    async with serving(gate, Limits(drain=0.1)) as network:
        client = await network.connect()
        client.send(b"one")
        await gate.wait()
        stopping = asyncio.create_task(network.server.stop())
        await client.closed()
        gate.open.set()
        await stopping


@steps
async def test_address_in_use_is_an_error() -> None:
    async with serving(echo) as network:
        other = TcpServer(echo)
        with pytest.raises(OSError, match="in use"):
            await other.start("127.0.0.1", network.port)
        await other.stop()


class TestBoards:
    @pytest.fixture
    def pipeline(self, server_key: ServerKey, registry: Registry) -> Pipeline:
        return Pipeline(Verifier([server_key], registry.lookup), registry, Open())

    @staticmethod
    async def ask(client: Client, board: ReferenceDevice, message: Message) -> int:
        return board.open(await client.ask(board.frame(message))).type

    def test_ten_boards_enrol_at_once(
        self,
        pipeline: Pipeline,
        registry: Registry,
        boards: Boards,
    ) -> None:
        async def live(network: Network, board: ReferenceDevice) -> None:
            client = await network.connect()
            assert await self.ask(client, board, board.enrol("pico", "1")) == Type.ACKNOWLEDGE
            for _ in range(3):
                assert await self.ask(client, board, data(board)) == Type.ACKNOWLEDGE

        async def all_at_once() -> None:
            async with serving(pipeline) as network:
                await asyncio.gather(*(live(network, board) for board in boards(10)))

        run(all_at_once())
        assert len(registry.devices()) == 10
        assert count(registry, "messages") == 40

    def test_same_frame_on_many_connections_is_stored_once(
        self,
        pipeline: Pipeline,
        registry: Registry,
        board: ReferenceDevice,
    ) -> None:
        async def flood() -> None:
            async with serving(pipeline) as network:
                first = await network.connect()
                await self.ask(first, board, board.enrol("pico", "1"))
                frame = board.frame(data(board))
                clients = [await network.connect() for _ in range(10)]
                answers = await asyncio.gather(*(client.ask(frame) for client in clients))
                assert {board.open(answer).type for answer in answers} == {Type.ACKNOWLEDGE}

        run(flood())
        assert count(registry, "messages") == 2

    def test_server_that_restarts_loses_nothing(
        self,
        pipeline: Pipeline,
        registry: Registry,
        board: ReferenceDevice,
    ) -> None:
        enrol = board.enrol("pico", "1")

        async def life(message: Message) -> None:
            async with serving(pipeline) as network:
                client = await network.connect()
                assert await self.ask(client, board, message) == Type.ACKNOWLEDGE

        run(life(enrol))
        registry.close()
        run(life(enrol))
        run(life(data(board)))
        assert count(registry, "messages") == 2
