"""What the tests of the verifier share: servers, boards, and what they know of each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import FrameError, KnownDevice, Outcome, Verdict, Verifier

SERVER, BACKUP, ELSEWHERE = (ServerKey.generate() for _ in range(3))
STORED = Verdict(None, newest=7, stored=True)


class Registry(dict[bytes, KnownDevice]):
    """The devices that a test's server knows."""

    def add(self, *boards: ReferenceDevice) -> None:
        for board in boards:
            known = KnownDevice(board.device_id, board.thumbprint, board.public)
            self[board.device_id] = known


class Resigned(ReferenceDevice):
    """A board whose signature is replaced."""

    change: Callable[[bytes], bytes] = staticmethod(lambda signature: signature)

    def signature(self, data: bytes) -> bytes:
        return self.change(super().signature(data))


def receive(server: Verifier, frame: bytes, now: float = 1790000000.9) -> Outcome:
    return server.receive(frame, source="here", now=now)


def refused(server: Verifier, frame: bytes) -> str:
    """The layer under which a frame gets silence."""
    with pytest.raises(FrameError) as caught:
        receive(server, frame)
    assert caught.value.reason
    return caught.value.layer


def data(board: ReferenceDevice) -> Message:
    return board.message(Type.DATA, {"t": 21.5})
