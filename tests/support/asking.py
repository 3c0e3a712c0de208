"""A pipeline without a listener: what boards are answered, and what it logs."""

from __future__ import annotations

import pytest

from birthkey_host.message import Message
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.server.pipeline import Pipeline


def ask(pipeline: Pipeline, board: ReferenceDevice, message: Message) -> Message:
    answer = pipeline.handle(board.frame(message), "192.0.2.1")
    assert answer is not None
    return board.open(answer)


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in log.records]
    log.clear()
    return found
