"""Strangers who send all that one core can: `python flooder.py PORT SERVER_KEY RECORDED`.

Each of many addresses has connections that say nothing, together as many as the server has places,
which come first, and others that pour without a pause. All are made anew as soon as they are
closed. What is poured:

- rubbish: random bytes, and what a parser takes the longest over;
- forged: frames of the right shape for the right server, each with another point as its `enc`;
- unknown: true frames of devices that the server does not know, with long messages;
- replayed: frames that boards have sent, from the file RECORDED, a line of hex digits each.

Goes on until SIGTERM, then prints what it did as JSON.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from birthkey_host import cose
from birthkey_host.keys import parse_public
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 101)]
SILENT = 5  # connections of each address, besides one of each kind that pours
HEAD_START_S = 0.5  # of those that say nothing
BATCH = 16  # frames that are sent at once
LONG_READ = b"\xd0\x83\x99\x0f\xf0" + b"\x01" * 0xFF0 + b"\xa0\x40"  # 4080 items in an array


def counted(frame: bytes) -> bytes:
    return len(frame).to_bytes(2, "big") + frame


def rubbish() -> bytes:
    if random.random() < 0.5:
        return counted(LONG_READ)
    data = os.urandom(random.randrange(1, 1024))
    return data if random.random() < 0.1 else counted(data)


def forger(server_public: bytes) -> Callable[[], bytes]:
    """Makes frames that cost the server an ECDH each, and cost little to make."""
    server_id = cose.thumbprint(server_public)[:16]

    def forged() -> bytes:
        enc = b"\x04" + cose.public_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())
        return counted(cose.SealedFrame(server_id, enc, 1, 0, os.urandom(150)).encode())

    return forged


def unknown(server_public: bytes) -> list[bytes]:
    devices = [ReferenceDevice.generate(server_public) for _ in range(20)]
    return [device.frame(device.message(Type.DATA, {"n": [1] * 3700})) for device in devices]


def repeater(frames: list[bytes]) -> Callable[[], bytes]:
    return lambda: counted(random.choice(frames))


@dataclass(eq=False)
class Stranger:
    """One connection, which is opened again whenever it ends; without `make` it says nothing."""

    address: str
    port: int
    kind: str
    make: Callable[[], bytes] | None
    did: Counter[str]
    socket: socket.socket | None = None
    rest: bytes = b""

    def open(self, selector: selectors.BaseSelector) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((self.address, 0))
        self.socket.connect_ex(("127.0.0.1", self.port))
        self.rest = b""
        self.did["connections"] += 1
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.make else 0)
        selector.register(self.socket, events, self)

    def close(self, selector: selectors.BaseSelector) -> None:
        if self.socket is not None:
            selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def go_on(self, events: int) -> None:
        """Send what can be sent; raises OSError when the connection is over."""
        assert self.socket is not None
        if events & selectors.EVENT_READ and not self.socket.recv(65536):
            raise ConnectionResetError
        if events & selectors.EVENT_WRITE and self.make:
            if not self.rest:
                self.rest = b"".join(self.make() for _ in range(BATCH))
                self.did[self.kind] += BATCH
            self.rest = self.rest[self.socket.send(self.rest) :]


def flood(port: int, server_public: bytes, recorded: list[bytes]) -> Counter[str]:
    did: Counter[str] = Counter()
    pouring = {
        "rubbish": rubbish,
        "forged": forger(server_public),
        "unknown": repeater(unknown(server_public)),
        "replayed": repeater(recorded),
    }
    strangers = [
        Stranger(address, port, "silent", None, did) for _ in range(SILENT) for address in ADDRESSES
    ]
    others = [
        Stranger(address, port, kind, make, did)
        for kind, make in pouring.items()
        for address in ADDRESSES
    ]
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        while not told:
            if time.monotonic() - began > HEAD_START_S:
                strangers, others = strangers + others, []
            for stranger in strangers:
                if stranger.socket is None:
                    stranger.open(selector)
            for key, events in selector.select(0.1):
                try:
                    key.data.go_on(events)
                except OSError:
                    key.data.close(selector)
        for stranger in strangers:
            stranger.close(selector)
    did["cpu_ms"] = round(time.process_time() * 1000)
    return did


def main() -> None:
    port, server_key, recorded = sys.argv[1:]
    frames = [bytes.fromhex(line) for line in Path(recorded).read_text().split()]
    print(json.dumps(flood(int(port), parse_public(server_key), frames)))


if __name__ == "__main__":
    main()
