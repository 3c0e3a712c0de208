"""A board with a modem, and a server of any kind in the network behind it."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.simulator import Direction, Firmware, Recorder, Simulator, running
from birthkey_host.simulator.firmware import ESP_AT_3_3
from certificates import authority, issue
from device import DeviceError, Handle, Interpreter
from tls_servers import Peer, Serve, context, echo
from tls_wire import Records

HOST = "127.0.0.1"
RESTARTED = b"\r\nready\r\n"
TLS = f"TlsError: TLS with {HOST}: "
ALERT = TLS + "the server ended it with an alert: its log says why."
CLOSED = TLS + "the server closed the connection: does it speak TLS on this port?"
CHANGED = TLS + "a record was changed on its way."
NO_RECORD = (
    TLS + "what came is no record of TLS: another service answers there, or it was changed on its"
    " way."
)
NONSENSE = TLS + "a message of the handshake makes no sense: it was changed on its way."
OTHER_VERSION = TLS + "the server speaks another version of TLS."
REFUSED = TLS + "the server's certificate is refused: "
NO_CA = (
    "it is signed by none of the CAs that this board trusts: another server answers, or its CA was"
    " changed and this board was not told"
)
LOST = "ModemClosed: The server closed the connection."

# UNIX goes by the clock of this computer, MPS2 by none: it is always 1970. The Pico's says 2021.
BOARDS = ("UNIX", "QEMU_MPS2_AN385", "RPI_PICO")
PATIENCE_MS = {"UNIX": 5_000, "QEMU_MPS2_AN385": 20_000, "RPI_PICO": 40_000}  # for a handshake
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)

_THERE = pytest.StashKey[dict[Any, "Bench"]]()


class Bench:
    """The board is called `name`; `peer` is the server, `wire` what went over the UART."""

    def __init__(self, name: str, modem: Simulator, wire: Recorder, folder: Path) -> None:
        self.name, self.modem, self.wire, self.folder = name, modem, wire, folder
        self.ca = authority("CA one", begins=ALWAYS)
        self.certificate = issue(self.ca, "localhost", HOST, begins=ALWAYS)
        self.good = context(self.certificate, folder)
        self.patience = PATIENCE_MS[name]

    def start(self, interpreter: Interpreter, peer: Peer) -> None:
        self.interpreter, self.peer = interpreter, peer
        self.client: Handle = interpreter.call("emulated.tls_client:Client")

    @property
    def is_slow(self) -> bool:
        """Whether a handshake costs more than a second, so that a few have to do."""
        return self.name == "RPI_PICO"

    def trust(
        self, *ca: Any, handshake_ms: int | None = None, private: bytes | None = None
    ) -> None:
        """Which CAs the board trusts from now on: the bench's own if there are none."""
        given = list(ca) or [self.ca.der]
        self.client.trust(given, handshake_ms or self.patience, private)

    def attempt(
        self, serve: Serve, then: Callable[[Handle], Any] | None = None, host: str = HOST
    ) -> Any:
        """What comes of a connection: an error with its sentence, or what `then` gives.

        It takes no longer than a handshake may, and a little for the modem.
        """
        self.peer.forget()
        self.wire.chunks.clear()
        self.peer.serve = serve
        began = time.monotonic()
        try:
            self.client.connect(host, self.peer.port)
            return then(self.client) if then else "connected"
        except DeviceError as error:
            return f"{error.name}: {error.text}"
        finally:
            self.client.close()
            took = time.monotonic() - began
            assert took < self.patience / 1000 + 10, f"it took {took:.0f} s"

    def works(self) -> None:
        """A good server gets what the board sends, and the board what it answers."""
        self.trust()
        found = self.attempt(echo(self.good), lambda client: exchange(client, b"all is well"))
        assert found == b"all is well", found


def exchange(client: Handle, data: bytes) -> bytes:
    """Send, and get so many bytes back."""
    client.send(data)
    return bytes(client.receive(len(data)))


def streams(wire: Recorder) -> list[bytes]:
    """What has been sent into the network over each connection in a recording of the UART."""
    sent: list[bytes] = []
    said, wanted, prompted = b"", 0, False
    for direction, chunk in wire.chunks:
        if direction is Direction.TO_BOARD:
            prompted = wanted > 0 and (prompted or chunk.rstrip(b" ").endswith(b">"))
            if chunk == RESTARTED:
                wanted, prompted = 0, False
            continue
        said += chunk
        if prompted:
            sent[-1] += said[:wanted]
            wanted, said = max(0, wanted - len(said)), said[wanted:]
            prompted = wanted > 0
        while not prompted and b"\r\n" in said:
            line, _, said = said.partition(b"\r\n")
            if line.startswith(b"AT+CIPSTART="):
                sent.append(b"")
            wanted = int(line.split(b",")[1]) if line.startswith(b"AT+CIPSEND=") else 0
    return sent


def names(stream: bytes) -> list[str]:
    """The records that a connection consists of; the last one may have been cut off.

    Raises AssertionError when it begins with anything else, or goes on with it.
    """
    records = Records()
    found = [record.name for record in records.feed(stream)]
    assert re.fullmatch(rb"([\x14-\x17]\x03[\x01\x03].*)?", records.rest, re.DOTALL), records.rest
    return found


def lend(
    request: pytest.FixtureRequest,
    firmware: Firmware = ESP_AT_3_3,
    heap: str = "64M",
    user: str = "",
) -> Bench:
    """A bench whose board is `request.param`, with nobody meddling; it stays for later tests.

    For a board takes longer to start than to shake hands, and costs nothing while it is idle.
    Each `user` gets one of its own.
    """
    there = request.session.stash.setdefault(_THERE, {})
    key = request.param, firmware, heap
    if (key, user) not in there:
        stack = contextlib.ExitStack()
        request.session.addfinalizer(stack.close)
        there[key, user] = _start(stack, *key)
    made = there[key, user]
    modem = made.modem
    modem.on_uplink = modem.on_downlink = modem.on_from_board = modem.on_to_board = None
    modem.mute = False
    return made


def _start(stack: contextlib.ExitStack, name: str, firmware: Firmware, heap: str) -> Bench:
    wire = Recorder()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="birthkey-")))
    simulator = Simulator(ssid="net", password="secret", firmware=firmware, record=wire)
    made = Bench(name, stack.enter_context(running(simulator)), wire, folder)
    peer = stack.enter_context(Peer())
    interpreter = Interpreter(name, simulator.port, heap)
    stack.callback(interpreter.close)
    made.start(interpreter, peer)
    return made
