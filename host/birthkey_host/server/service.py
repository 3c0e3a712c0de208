"""What serves the frames that a listener takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from birthkey_host.server.lines import Lines
from birthkey_host.server.pipeline import Sender, Served

log = logging.getLogger(__name__)

Handle = Callable[[bytes, str], bytes | None]


class Service(Protocol):
    """What the listener needs of a `Pipeline`."""

    lines: Lines
    """Where it logs what strangers cause."""

    @property
    def server_ids(self) -> Collection[bytes]:
        """The keys that frames may be sealed to."""

    def boots(self, limit: int) -> Iterable[tuple[bytes, bytes]]:
        """At most `limit` (device id, `enc`) of active devices' newest boots."""

    def serve(self, frame: bytes, sender: Sender) -> Served:
        """What becomes of a frame; called from one thread."""


class Plain:
    """A function as a service that knows nobody."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.lines = Lines(log)

    @property
    def server_ids(self) -> Collection[bytes]:
        return ()

    def boots(self, limit: int) -> Iterable[tuple[bytes, bytes]]:
        return ()

    def serve(self, frame: bytes, sender: Sender) -> Served:
        answer = self._handle(frame, sender.source)
        return Served(answer, charged=answer is None)
