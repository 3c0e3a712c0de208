"""A TCP server among strangers: whose frame comes first, and whose connection has to go."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import logging.handlers
import queue
import socket
import threading
from collections.abc import Awaitable, Callable

from birthkey_host.cose import SealedFrame
from birthkey_host.server.admission import AdmissionLimits, look
from birthkey_host.server.lines import LineLimits, Lines
from birthkey_host.server.pipeline import Sender, Served
from birthkey_host.server.tcp import Limits
from tcp_clients import Client, Network, serving, steps

SERVER = b"S" * 16
BOARDS = range(10)
REPEATS = 40  # a board that sends again, sealed anew, what is stored
OVERLOADED, STRANGER = 50, 99


def frame(name: int, number: int = 0) -> bytes:
    """A frame of a boot with that name; those in BOARDS belong to boards."""
    enc = b"\x04" + bytes([name]) * 64
    return SealedFrame(SERVER, enc, 1, number, b"ciphertext of one frame").encode()


class Desk:
    """A service that can be held up, and knows who sent a frame by the name of its boot."""

    def __init__(self, *known: int) -> None:
        self.log = logging.Logger("of this server alone")
        self.lines = Lines(self.log, LineLimits(source_burst=3))
        self.server_ids = [SERVER]
        self.known = known
        self.order: list[str] = []
        self.entered, self.open = threading.Event(), threading.Event()
        self.open.set()

    def boots(self, limit: int) -> list[tuple[bytes, bytes]]:
        return [(bytes([name]) * 16, b"\x04" + bytes([name]) * 64) for name in self.known[:limit]]

    def serve(self, data: bytes, sender: Sender) -> Served:
        self.entered.set()
        assert self.open.wait(10)
        self.order.append(sender.source.removeprefix("127.0.0."))
        header = look(data)
        name = header.enc[1] if header else None
        if name in BOARDS:
            return Served(b"for board %d" % name, device_id=bytes([name]) * 16, stored=True)
        if name == REPEATS:
            return Served(b"again", device_id=bytes([name]) * 16)
        if name == OVERLOADED:
            return Served(b"busy")
        return Served(None, charged=True)

    async def hold(self, network: Network) -> None:
        """Keep the thread busy with a frame from 127.0.0.1 until `open` is set."""
        self.open.clear()
        client = await network.connect()
        client.send(frame(STRANGER))
        assert await asyncio.to_thread(self.entered.wait, 10)

    async def waiting(self, network: Network, count: int) -> None:
        while len(network.server._admission) < count:
            await asyncio.sleep(0.005)

    async def served(self, count: int) -> list[str]:
        while len(self.order) < count:
            await asyncio.sleep(0.005)
        return self.order


async def client(network: Network, last: int) -> Client:
    """A connection from 127.0.0.`last`, which the server has taken or refused."""
    client = await network.connect(local_addr=(f"127.0.0.{last}", 0))
    name = client.writer.get_extra_info("sockname")
    while not client.reader.at_eof():
        served = [connection.stream._writer for connection in network.server._connections]
        if name in [writer.get_extra_info("peername") for writer in served]:
            break
        await asyncio.sleep(0.001)
    return client


def among_strangers(
    limits: Limits | None = None, known: tuple[int, ...] = ()
) -> Callable[[Callable[[Network, Desk], Awaitable[None]]], Callable[[], None]]:
    """A test that is a coroutine with a server."""

    def decorate(test: Callable[[Network, Desk], Awaitable[None]]) -> Callable[[], None]:
        async def test_steps() -> None:
            desk = Desk(*known)
            async with serving(desk, limits or Limits()) as network:
                try:
                    await test(network, desk)
                finally:
                    desk.open.set()

        return steps(test_steps)

    return decorate


async def order(network: Network, desk: Desk, *senders: tuple[int, bytes]) -> list[str]:
    """In which order frames are served that all came while another was."""
    await desk.hold(network)
    for count, (last, data) in enumerate(senders, 1):
        (await client(network, last)).send(data)
        await desk.waiting(network, count)
    desk.open.set()
    return (await desk.served(1 + len(senders)))[1:]


async def works(board: Client, name: int, number: int) -> None:
    assert await board.ask(frame(name, number)) == b"for board %d" % name


IN_DEBT_AT_ONCE = Limits(admission=AdmissionLimits(credit=0.0, recovery=0.0))


@among_strangers(known=(1,))
async def test_board_overtakes_strangers(network: Network, desk: Desk) -> None:
    senders = [*((last, frame(STRANGER)) for last in (2, 3, 4)), (5, frame(1))]
    assert await order(network, desk, *senders) == ["5", "2", "3", "4"]


@among_strangers()
async def test_sources_take_turns(network: Network, desk: Desk) -> None:
    senders = [*[(2, frame(STRANGER))] * 4, (3, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["2", "3", "2", "2", "2"]


@among_strangers()
async def test_rubbish_is_last(network: Network, desk: Desk) -> None:
    senders = [(2, b"rubbish"), (3, frame(STRANGER)), (4, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["3", "4", "2"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_source_in_debt_is_last(network: Network, desk: Desk) -> None:
    (await client(network, 2)).send(frame(STRANGER))
    await desk.served(1)
    desk.order.clear()
    senders = [(2, frame(STRANGER)), (3, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["3", "2"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_board_that_works_does_not_suffer_for_its_source(
    network: Network, desk: Desk
) -> None:
    board = await client(network, 2)
    await works(board, 1, 0)
    (await client(network, 2)).send(frame(STRANGER))
    await desk.served(2)
    desk.order.clear()
    await desk.hold(network)
    for count, last in enumerate((2, 3), 1):
        (await client(network, last)).send(frame(STRANGER))
        await desk.waiting(network, count)
    board.send(frame(1, 1))
    await desk.waiting(network, 3)
    desk.open.set()
    assert await board.receive() == b"for board 1"
    assert (await desk.served(4))[1:] == ["2", "3", "2"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_recorded_frames_are_charged(network: Network, desk: Desk) -> None:
    await works(await client(network, 2), 1, 5)
    await works(await client(network, 3), 1, 5)
    desk.order.clear()
    senders = [(3, frame(STRANGER)), (2, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["2", "3"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_device_that_repeats_is_charged_wherever_it_speaks(
    network: Network, desk: Desk
) -> None:
    assert await (await client(network, 2)).ask(frame(REPEATS, 0)) == b"again"
    desk.order.clear()
    senders = [(3, frame(REPEATS, 1)), (4, frame(STRANGER)), (2, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["4", "2", "3"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_device_that_repeats_under_new_boots_is_charged_to_its_source(
    network: Network, desk: Desk
) -> None:
    def of_boot(boot: int) -> bytes:
        enc = b"\x04" + bytes([REPEATS]) * 63 + bytes([boot])
        return SealedFrame(SERVER, enc, 1, 0, b"ciphertext of one frame").encode()

    for boot in range(2):
        assert await (await client(network, 2)).ask(of_boot(boot)) == b"again"
    desk.order.clear()
    assert await order(network, desk, (2, of_boot(2)), (3, frame(STRANGER))) == ["3", "2"]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_recorded_frames_are_not_charged_to_their_device(
    network: Network, desk: Desk
) -> None:
    board = await client(network, 2)
    assert await board.ask(frame(1, 5)) == b"for board 1"
    for number in range(3):
        assert await (await client(network, 3 + number)).ask(frame(1, 5)) == b"for board 1"
    desk.order.clear()
    assert await order(network, desk, (9, frame(STRANGER)), (8, frame(1, 6))) == ["8", "9"]


@among_strangers(known=(1, 2))
async def test_device_with_many_addresses_has_one_turn(network: Network, desk: Desk) -> None:
    senders = [(10 + number, frame(1, number)) for number in range(20)]
    assert "9" in (await order(network, desk, *senders, (9, frame(2))))[:4]


@among_strangers(IN_DEBT_AT_ONCE)
async def test_what_is_not_the_senders_fault_is_not_charged(network: Network, desk: Desk) -> None:
    overloaded = await client(network, 2)
    assert await overloaded.ask(frame(OVERLOADED)) == b"busy"
    desk.order.clear()
    senders = [(2, frame(STRANGER)), (3, frame(STRANGER))]
    assert await order(network, desk, *senders) == ["2", "3"]


@among_strangers()
async def test_frames_that_wait_are_served_before_the_server_stops(
    network: Network, desk: Desk
) -> None:
    await desk.hold(network)
    board = await client(network, 2)
    board.send(frame(1))
    await desk.waiting(network, 1)
    stopping = asyncio.create_task(network.server.stop())
    await asyncio.sleep(0)
    desk.open.set()
    assert await board.receive() == b"for board 1"
    await stopping


@among_strangers(Limits(connections=3))
async def test_source_with_the_most_connections_gives_way(network: Network, desk: Desk) -> None:
    many = [await client(network, 2) for _ in range(2)]
    one, new = await client(network, 3), await client(network, 4)
    for name, board in enumerate((one, new)):
        await works(board, name, 0)
    while len(network.server._connections) > 3:
        await asyncio.sleep(0.001)
    assert [board.reader.at_eof() for board in many].count(True) == 1


@among_strangers(Limits(connections_per_source=1))
async def test_source_with_all_that_it_may_have_gives_way_to_itself(
    network: Network, desk: Desk
) -> None:
    first, other = await client(network, 2), await client(network, 3)
    second = await client(network, 2)
    await first.closed()
    await works(second, 1, 0)
    await works(other, 2, 0)


@among_strangers(Limits(connections=3))
async def test_board_that_works_never_gives_way(network: Network, desk: Desk) -> None:
    board = await client(network, 2)
    await works(board, 1, 0)
    strangers = [await client(network, 3 + number) for number in range(20)]
    await works(board, 1, 1)
    while sum(stranger.reader.at_eof() for stranger in strangers) < 18:
        await asyncio.sleep(0.001)


@among_strangers(Limits(connections=2))
async def test_board_finds_a_place_among_boards_that_fill_the_table(
    network: Network, desk: Desk
) -> None:
    boards = [await client(network, 2) for _ in range(2)]
    for name, board in enumerate(boards):
        await works(board, name, 0)
    await works(boards[0], 0, 1)
    await works(await client(network, 3), 3, 0)
    await boards[1].closed()
    await works(boards[0], 0, 2)


@among_strangers(Limits(connections=2))
async def test_of_a_device_only_the_last_connection_never_gives_way(
    network: Network, desk: Desk
) -> None:
    first, second = await client(network, 2), await client(network, 3)
    await works(first, 1, 0)
    await works(second, 1, 1)
    await works(await client(network, 4), 2, 0)
    await first.closed()
    await works(second, 1, 2)


@among_strangers(Limits(connections=2))
async def test_recorded_frames_prove_nothing(network: Network, desk: Desk) -> None:
    board = await client(network, 2)
    await works(board, 1, 5)
    thief = await client(network, 3)
    for _ in range(3):
        await works(thief, 1, 5)
    await client(network, 4)
    await thief.closed()
    await works(board, 1, 6)


@among_strangers(Limits(connections=4))
async def test_connection_that_turns_bad_proves_nothing(network: Network, desk: Desk) -> None:
    boards = [await client(network, 2 + number) for number in range(3)]
    turncoat = await client(network, 9)
    for name, board in enumerate([*boards, turncoat]):
        await works(board, name, 0)
    assert await turncoat.ask(frame(OVERLOADED)) == b"busy"
    turncoat.send(frame(STRANGER))
    await desk.served(6)
    await client(network, 10)
    await turncoat.closed()
    await works(boards[0], 0, 1)


@among_strangers(Limits(connections=2))
async def test_frame_of_a_connection_that_had_to_go_is_not_handled(
    network: Network, desk: Desk
) -> None:
    await desk.hold(network)
    gone = await client(network, 2)
    gone.send(frame(STRANGER))
    await desk.waiting(network, 1)
    board = await client(network, 3)  # of the others, one is handled and one is all that waits
    await gone.closed()
    board.send(frame(1))
    await desk.waiting(network, 1)
    desk.open.set()
    assert await board.receive() == b"for board 1"
    assert desk.order == ["1", "3"]


@among_strangers(Limits(connections=3))
async def test_frame_that_waits_keeps_its_place(network: Network, desk: Desk) -> None:
    await desk.hold(network)
    board = await client(network, 2)
    board.send(frame(1))
    await desk.waiting(network, 1)
    for number in range(50):
        await client(network, 3 + number)
    desk.open.set()
    assert await board.receive() == b"for board 1"


@among_strangers(Limits(connections=4))
async def test_rubbish_that_waits_does_not(network: Network, desk: Desk) -> None:
    await desk.hold(network)
    stranger = await client(network, 2)
    stranger.send(b"rubbish")
    await desk.waiting(network, 1)
    for number in range(100):  # chance spares it with 1 in 10^17
        await client(network, 3 + number)
    await stranger.closed()


@among_strangers(Limits(connections=1))
async def test_place_of_a_connection_that_ended_is_free(network: Network, desk: Desk) -> None:
    for number in range(3):
        board = await client(network, 2)
        await works(board, 1, number)
        board.writer.close()
        while network.server._connections:
            await asyncio.sleep(0.001)
    assert len(network.server._places) == 0


async def much_refused(network: Network, desk: Desk) -> queue.SimpleQueue[logging.LogRecord]:
    records = queue.SimpleQueue[logging.LogRecord]()
    desk.log.addHandler(logging.handlers.QueueHandler(records))
    for _ in range(8):
        stranger = await client(network, 2)
        stranger.writer.write(b"\xff\xff")
        await stranger.closed()
    return records


@among_strangers(Limits(summaries=0.05))
async def test_what_strangers_cause_is_summed_up(network: Network, desk: Desk) -> None:
    records = await much_refused(network, desk)
    await asyncio.sleep(0.1)
    lines = [records.get().getMessage() for _ in range(records.qsize())]
    assert lines[:3] == ["refused framing: bad length from 127.0.0.2"] * 3
    assert sum(int(line.partition(" more in the last")[0]) for line in lines[3:]) == 5


@among_strangers(Limits(summaries=1000))
async def test_what_asyncio_logs_is_limited_too(network: Network, desk: Desk) -> None:
    records = queue.SimpleQueue[logging.LogRecord]()
    handler = logging.handlers.QueueHandler(records)
    desk.log.addHandler(handler)
    theirs = logging.getLogger("asyncio")
    theirs.addHandler(handler)
    try:
        for _ in range(20):
            theirs.warning("socket.send() raised exception.")
            asyncio.get_running_loop().call_exception_handler({"message": "a trouble"})
    finally:
        theirs.removeHandler(handler)
    await network.server.stop()
    assert records.qsize() == 4
    lines = [records.get().getMessage() for _ in range(4)]
    assert lines[0] == "socket.send() raised exception."
    assert lines[1] == "asyncio: a trouble"
    assert lines[3].startswith("37 more in the last ")


@among_strangers(Limits(summaries=1000))
async def test_server_that_stops_sums_up_and_leaves_nothing_behind(
    network: Network, desk: Desk
) -> None:
    records = await much_refused(network, desk)
    await network.server.stop()
    lines = [records.get().getMessage() for _ in range(records.qsize())]
    assert len(lines) == 4
    assert lines[3].startswith("5 more in the last ")
    await asyncio.sleep(0.01)
    assert not [task for task in asyncio.all_tasks() if "TcpServer" in repr(task)]


@among_strangers()
async def test_little_is_taken_ahead_of_a_connection(network: Network, desk: Desk) -> None:
    await desk.hold(network)
    with socket.socket() as pourer:
        pourer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        pourer.connect(("127.0.0.1", network.port))
        pourer.setblocking(False)
        taken = 0
        for _ in range(20):
            with contextlib.suppress(BlockingIOError):
                while True:
                    taken += pourer.send(b"\x10\x00" * 10_000)
            await asyncio.sleep(0.01)
    assert 8192 < taken < 80_000


@among_strangers(Limits(idle=0.1, idle_proven=0.6))
async def test_board_that_works_may_be_idle_for_longer(network: Network, desk: Desk) -> None:
    board, stranger = await client(network, 2), await client(network, 3)
    await works(board, 1, 0)
    await stranger.closed()
    await asyncio.sleep(0.15)
    await works(board, 1, 1)
    began = asyncio.get_running_loop().time()
    await board.closed()
    assert 0.3 < asyncio.get_running_loop().time() - began < 5


@among_strangers(Limits(idle=0.1, idle_proven=60))
async def test_only_the_last_connection_of_a_device_may_be_idle_for_longer(
    network: Network, desk: Desk
) -> None:
    first, second = await client(network, 2), await client(network, 3)
    await works(first, 1, 0)
    await works(second, 1, 1)
    await first.closed()
    await works(second, 1, 2)


@among_strangers(Limits(idle=0.05))
async def test_connection_that_the_system_gives_up(network: Network, desk: Desk) -> None:
    """It raises TimeoutError too, and again each time: not to be taken for the end of a wait."""
    records = queue.SimpleQueue[logging.LogRecord]()
    desk.log.addHandler(logging.handlers.QueueHandler(records))
    board = await client(network, 2)
    await works(board, 1, 0)
    [connection] = network.server._connections
    assert network.server._places.device(connection) is not None
    dead = TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    connection.stream._writer.transport._fatal_error(dead)
    while network.server._connections:
        await asyncio.sleep(0.005)
    line = f"lost the connection from 127.0.0.2: {dead}"
    assert [records.get().getMessage() for _ in range(records.qsize())] == [line]
