"""A board's transport step by step, with a simulated modem and a server under one clock."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from birthkey_host.simulator import ESP_AT_3_3, Firmware
from birthkey_host.simulator.actions import Action, Close, Join, Open, Output, Send
from birthkey_host.simulator.esp_at import Interpreter
from device import Handle
from device import Interpreter as Device

RUNNING, GIVEN, FAILED = range(3)
_BYTES_PER_MS = 12  # at 115200 baud, as far as the board takes them in time
_COMMAND = re.compile(rb"AT[^\r\n]*\r\n")
_RESULT = re.compile(rb"\r\n(OK|ERROR|FAIL|SEND OK|SEND FAIL)\r\n")


def refusals(chunks: Iterable[tuple[bool, bytes]]) -> list[bytes]:
    """Commands that were refused, and tried again with no other command between.

    A chunk is whether it came from the board, and its bytes. Reading is refused when there is
    nothing to read, and AT when it ends a line of noise.
    """
    found, command, refused = [], b"", b""
    for from_board, data in chunks:
        if from_board:
            for line in _COMMAND.findall(data):
                if line == refused and not line.startswith((b"AT+CIPRECVDATA", b"AT\r")):
                    found.append(line)
                command, refused = line, b""
        else:
            for result in _RESULT.findall(data):
                refused = command if result in (b"ERROR", b"FAIL") else b""
    return found


class World:
    """The modem, the access point and a server that answers each frame with the same frame."""

    def __init__(self, device: Device, firmware: Firmware = ESP_AT_3_3) -> None:
        self.board: Handle = device.call("modem.stepped:Bench", "net")
        self.modem = Interpreter(firmware)
        self.now = 0
        self.server_up = True
        self.network_up = True
        self.loses = 0  # of what the modem says next, so many pieces are lost on the UART
        self.chunks: list[tuple[bool, bytes]] = []
        self.frames: list[bytes] = []  # what the server got
        self._connections: dict[int, tuple[object, bytearray]] = {}
        self._to_board = b""
        self._stepped_at = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # The board

    def begin(self, name: str, *args: Any) -> None:
        self.board.begin(name, *args)

    def step(self, milliseconds: int = 1) -> tuple[int, Any]:
        """Let time pass, and the board take a step."""
        self.wait(milliseconds)
        passed = self.now - self._stepped_at
        self._stepped_at = self.now
        came = passed * _BYTES_PER_MS
        heard, self._to_board = self._to_board[:came], self._to_board[came:]
        ended, value, written = self.board.step(passed, heard)
        if written:
            self.chunks.append((True, written))
            self._perform(self.modem.feed(written))
        return ended, value

    def run(self, most_ms: int = 150_000) -> tuple[int, Any]:
        """Step until it is over, in steps that are longer when nothing is to happen."""
        until = self.now + most_ms
        while self.now < until:
            wait = self._events[0][0] - self.now if self._events else 100
            ended, value = self.step(1 if self._to_board else max(1, min(wait, 100)))
            if ended != RUNNING:
                return ended, value
        raise AssertionError("it does not end")

    def deliver(self, frame: bytes, attempts: int = 4) -> None:
        """As a Device does: open what is closed, send, await the answer; and again."""
        for _ in range(attempts):
            if not self.board.connected():
                self.begin("open")
                if self.run()[0] == FAILED:
                    continue
            self.begin("send", frame)
            if self.run()[0] == FAILED:
                continue
            for _ in range(10):
                self.begin("receive", 1000)
                ended, answer = self.run()
                if ended == FAILED:
                    break
                if answer == frame:
                    return
            self.begin("close")
            self.run()
        raise AssertionError(f"not delivered in {attempts} attempts")

    # The modem and what is behind it

    def restart(self) -> None:
        self._connections.clear()
        self._perform(self.modem.restart())

    def lose_network(self) -> None:
        self._perform(self.modem.disconnected())

    def close_connections(self) -> None:
        for link in list(self._connections):
            del self._connections[link]
            self._perform(self.modem.closed(link))

    def _after(self, milliseconds: int, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + milliseconds, next(self._order), call))

    def wait(self, milliseconds: int) -> None:
        """Let time pass without the board."""
        until = self.now + milliseconds
        while self._events and self._events[0][0] <= until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Output(data):
                    if self.loses:
                        self.loses -= 1
                    else:
                        self.chunks.append((False, data))
                        self._to_board += data
                case Join():
                    token = self.modem._mode, self.modem._joining
                    self._after(30, lambda token=token: self._joined(token))
                case Open(link):
                    connection = object()
                    self._connections[link] = connection, bytearray()
                    self._after(20, lambda link=link, c=connection: self._opened(link, c))
                case Send(link, data):
                    self._after(5, lambda link=link, data=data: self._sent(link, data))
                case Close(link):
                    self._connections.pop(link, None)

    def _joined(self, token: object) -> None:
        if (self.modem._mode, self.modem._joining) == token:  # it has not restarted since
            self._perform(self.modem.joined(0 if self.network_up else 3))

    def _opened(self, link: int, connection: object) -> None:
        if self._connections.get(link, (None,))[0] is not connection:
            return
        if self.server_up:
            self._perform(self.modem.opened(link, "10.0.0.1", 40000))
        else:
            del self._connections[link]
            self._perform(self.modem.failed(link))

    def _sent(self, link: int, data: bytes) -> None:
        connection, stream = self._connections.get(link, (None, bytearray()))
        self._perform(self.modem.sent(connection is not None))
        stream += data
        while len(stream) >= 2 and len(stream) >= 2 + int.from_bytes(stream[:2], "big"):
            size = 2 + int.from_bytes(stream[:2], "big")
            answer = bytes(stream[:size])
            del stream[:size]
            self.frames.append(answer[2:])
            self._after(15, partial(self._answer, link, connection, answer))

    def _answer(self, link: int, connection: object, answer: bytes) -> None:
        if self._connections.get(link, (None,))[0] is connection:
            self._perform(self.modem.received(link, answer))
