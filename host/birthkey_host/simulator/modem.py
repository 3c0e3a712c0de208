"""The simulated modem: the protocol between a pty and real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .actions import Action, Close, Join, Open, Output, Send
from .esp_at import Interpreter
from .firmware import ESP_AT_3_3, Firmware
from .network import Connection, connect
from .uart import Uart

Hook = Callable[[bytes], bytes]
_QUIET_SECONDS = 0.02


class Direction(Enum):
    """Of bytes on the UART."""

    FROM_BOARD = "from board"
    TO_BOARD = "to board"


class Recorder:
    """Keeps every byte of the UART in its order."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Direction, bytes]] = []

    def __call__(self, direction: Direction, data: bytes) -> None:
        self.chunks.append((direction, data))

    def bytes_of(self, wanted: Direction) -> bytes:
        """All that went in one direction."""
        return b"".join(data for direction, data in self.chunks if direction is wanted)


@dataclass
class _Session:
    tasks: list[asyncio.Task[None]]  # the one that owns the socket, then one that sends
    connection: Connection | None = None


class Simulator:
    """An ESP-AT modem behind a pty; an asynchronous context manager.

    ssid, password: of the only access point there is; None: any will do.
    resolve: the only host names there are, with their IPv4 addresses; None: ask the system.
    link: a symbolic link to the pty that exists while the modem runs.
    baud: bits a second, both ways; None: as fast as the pty.
    record: called with every chunk as it is on the wire at the board's end.

    Whoever sits at the UART or in the network sets the following attributes, at any time and
    from any thread; hooks run in the modem's thread, None lets the bytes pass.
    on_uplink, on_downlink: rewrite the payload of one CIPSEND, or what arrived from the network
        at once (of UDP one datagram); b"" loses it.
    on_from_board, on_to_board: rewrite raw bytes of the UART, in chunks of any size.
    mute: the modem neither hears nor speaks.
    refuse_network: no connection can be opened.
    join_error, join_seconds: the manual's code, 1 to 4, for every AT+CWJAP; how long it takes.
    """

    def __init__(
        self,
        *,
        ssid: str | None = None,
        password: str | None = None,
        resolve: Mapping[str, str] | None = None,
        firmware: Firmware = ESP_AT_3_3,
        link: Path | None = None,
        baud: int | None = None,
        record: Callable[[Direction, bytes], None] | None = None,
    ) -> None:
        self.on_uplink: Hook | None = None
        self.on_downlink: Hook | None = None
        self.on_from_board: Hook | None = None
        self.on_to_board: Hook | None = None
        self.mute = False
        self.refuse_network = False
        self.join_error = 0
        self.join_seconds = 0.0
        self._ssid, self._password = ssid, password
        self._names = resolve
        self._record = record
        self._firmware = firmware
        self._interpreter = Interpreter(firmware)
        self._uart = Uart(link, baud)
        self._sessions: dict[int, _Session] = {}
        self._joining: asyncio.Task[None] | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @property
    def port(self) -> str:
        """The path of the serial port that the board opens."""
        return self._uart.port

    @property
    def baud(self) -> int | None:
        """Bits a second, both ways; may be set at any time."""
        return self._uart.baud

    @baud.setter
    def baud(self, baud: int | None) -> None:
        self._uart.baud = baud

    def reset(self) -> None:
        """Restart the modem, whatever it is doing. From any thread."""
        self._loop.call_soon_threadsafe(self._reset)

    def drop_connections(self) -> None:
        """Break off every connection, as a network that fails. From any thread."""
        self._loop.call_soon_threadsafe(self._drop_connections)

    def lose_network(self) -> None:
        """The access point goes away. From any thread."""
        self._loop.call_soon_threadsafe(lambda: self._perform(self._interpreter.disconnected()))

    @property
    def kept(self) -> tuple[str, str] | None:
        """The name and the password that the modem has kept in its flash."""
        return self._interpreter.flash

    async def __aenter__(self) -> Simulator:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._uart.plugged_in())
            self._group = await stack.enter_async_context(asyncio.TaskGroup())
            self._services = [
                self._group.create_task(self._uart.transmit(self._changed.set)),
                self._group.create_task(self._listen()),
            ]
            stack.callback(self._cancel)
            self._perform(self._interpreter.restart())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.__aexit__(*exception)  # type: ignore[arg-type]

    def _cancel(self) -> None:
        for number in list(self._sessions):
            self._forget(number)
        for task in self._services:
            task.cancel()
        if self._joining:
            self._joining.cancel()
        if self._quiet:
            self._quiet.cancel()

    def _reset(self) -> None:
        if self._joining:
            self._joining.cancel()
        self._perform(self._interpreter.restart())

    def _drop_connections(self) -> None:
        for number, session in list(self._sessions.items()):
            if session.connection:
                session.connection.reset()
            self._forget(number)
            self._perform(self._interpreter.closed(number))

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Output(data):
                    self._to_board(data)
                case Join():
                    self._joining = self._group.create_task(self._join(action))
                case Open(link):
                    self._sessions[link] = _Session([self._group.create_task(self._serve(action))])
                case Send(link):
                    task = self._group.create_task(self._send(action))
                    self._sessions[link].tasks[1:] = [task]
                case Close(link):
                    self._forget(link)
        self._changed.set()

    def _forget(self, number: int) -> None:
        session = self._sessions.pop(number, None)
        # The sender first: it must have left the socket when its owner closes that.
        for task in reversed(session.tasks if session else []):
            task.cancel()

    def _to_board(self, data: bytes) -> None:
        data = _tap(self.on_to_board, data)
        if data and not self.mute:
            if self._record:
                self._record(Direction.TO_BOARD, data)
            self._uart.write(data)

    async def _listen(self) -> None:
        while True:
            await self._until(lambda: not self._uart.congested)
            data = await self._uart.read()
            if self._record:
                self._record(Direction.FROM_BOARD, data)
            data = _tap(self.on_from_board, data)
            if not self.mute:
                self._perform(self._interpreter.feed(data))
            if self._quiet:
                self._quiet.cancel()
            loop = asyncio.get_running_loop()
            self._quiet = loop.call_later(
                _QUIET_SECONDS, lambda: self._perform(self._interpreter.quiet())
            )

    async def _join(self, action: Join) -> None:
        await asyncio.sleep(self.join_seconds)
        error = self.join_error
        if not error and self._ssid not in (None, action.ssid):
            error = 3
        elif not error and self._password not in (None, action.password):
            error = 2
        self._perform(self._interpreter.joined(error))

    async def _serve(self, action: Open) -> None:
        """A connection from its opening to its end."""
        number = action.link
        window = self._firmware.receive_buffer
        try:
            if self.refuse_network:
                raise ConnectionRefusedError
            connection = await connect(action, self._names, window)
        except OSError as error:
            del self._sessions[number]
            reason = "DNS Fail" if isinstance(error, socket.gaierror) else ""
            self._perform(self._interpreter.failed(number, reason))
            return
        try:
            self._sessions[number].connection = connection
            self._perform(
                self._interpreter.opened(number, connection.address, connection.local_port)
            )
            while True:
                # While the modem or the board has no room, TCP's window does its work.
                await self._until(
                    lambda: self._interpreter.room(number) > 0 and not self._uart.congested
                )
                data = await connection.receive(self._interpreter.room(number))
                if not data:
                    break
                data = _tap(self.on_downlink, data)
                if data:
                    self._perform(self._interpreter.received(number, data))
            del self._sessions[number]
            self._perform(self._interpreter.closed(number))
        finally:
            connection.close()

    async def _send(self, action: Send) -> None:
        session = self._sessions.get(action.link)
        data = _tap(self.on_uplink, action.data)
        connection = session.connection if session else None
        ok = connection is not None and await connection.send(data)
        self._perform(self._interpreter.sent(ok))

    async def _until(self, condition: Callable[[], bool]) -> None:
        await asyncio.sleep(0)  # a flood from one side must not starve the others
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def _tap(hook: Hook | None, data: bytes) -> bytes:
    return hook(data) if hook else data


@contextmanager
def running(simulator: Simulator) -> Iterator[Simulator]:
    """Run a modem in a thread of its own. What fails in there is raised at the end."""
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with simulator:
            started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    with ThreadPoolExecutor(1, thread_name_prefix="modem") as executor:
        finished = executor.submit(run)
        stop = started.result()
        try:
            yield simulator
        finally:
            with suppress(RuntimeError):  # the modem has failed, and its loop is closed
                stop()
        finished.result()
