"""A server in this process and the way to it, in the place of a Device's modem and sockets.

The transport loses, holds and spoils frames on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from birthkey import ModemError
from birthkey_host.enrolment import policy
from birthkey_host.keys import ServerKey
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.verifier import Verifier

Tamper = Callable[[bytes], bytes | None]


class Network:
    """A server, and the way to it, on which `up` and `down` may change or drop frames."""

    def __init__(self, registry: Registry, key: ServerKey, policy_name: str = "open") -> None:
        self.registry, self.key = registry, key
        self.pipeline = Pipeline(Verifier([key], registry.lookup), registry, policy(policy_name))
        self.up: Tamper = lambda frame: frame
        self.down: Tamper = lambda frame: frame
        self.reachable = True
        self.frames: list[bytes] = []

    def carry(self, frame: bytes) -> list[bytes]:
        self.frames.append(frame)
        changed = self.up(frame)
        answers = self.pipeline.frames(changed, "board") if changed else []
        return [passed for passed in map(self.down, answers) if passed]


class Transport:
    """What `birthkey.transport.tcp.Tcp` offers, over a Network."""

    def __init__(self, link: Network, host: str, port: int) -> None:
        self.link, self.connected, self.answers = link, False, list[bytes]()

    def open(self) -> Iterator[None]:
        yield
        if not self.link.reachable:
            raise ModemError("cannot reach the server")
        self.connected = True

    def send(self, frame: bytes) -> Iterator[None]:
        yield
        self.answers += self.link.carry(frame)

    def receive(self, timeout_ms: int) -> Iterator[None]:
        yield
        return self.answers.pop(0) if self.answers else None

    def close(self) -> Iterator[None]:
        self.connected = False
        self.answers.clear()
        yield
