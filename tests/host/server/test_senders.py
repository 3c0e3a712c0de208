"""What the listener knows of a frame's sender before it is opened, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline, Sender, Served
from birthkey_host.verifier import Verifier
from recording import count, data

SOURCE = "192.0.2.1"
PLAIN, SECURE = Sender(SOURCE), Sender(SOURCE, tls=True)


@pytest.fixture
def pipeline(server_key: ServerKey, registry: Registry) -> Pipeline:
    return Pipeline(Verifier([server_key], registry.lookup), registry, Open())


@pytest.fixture
def strict(server_key: ServerKey, registry: Registry) -> Pipeline:
    verifier = Verifier([server_key], registry.lookup)
    return Pipeline(verifier, registry, Open(), require_tls=True)


def test_device_proven_to_tls_speaks_for_itself_only(
    pipeline: Pipeline,
    registry: Registry,
    boards: Callable[[int], list[ReferenceDevice]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    board, other = boards(2)
    pipeline.serve(board.frame(board.enrol("pico", "1.0")), PLAIN)
    proven = Sender(SOURCE, tls=True, device_id=other.device_id)
    for message in (data(board), board.enrol("pico", "1.0"), board.message(9, {})):
        caplog.clear()
        assert pipeline.serve(board.frame(message), proven) == Served(None, charged=True)
        [record] = caplog.records
        assert record.getMessage() == (
            f"refused policy: the TLS connection is another device's from {SOURCE},"
            f" device {board.device_id.hex()}"
        )
    assert count(registry, "messages") == 1
    itself = Sender(SOURCE, tls=True, device_id=board.device_id)
    assert pipeline.serve(board.frame(data(board)), itself).device_id == board.device_id


def test_repetition_over_another_devices_connection(
    pipeline: Pipeline, boards: Callable[[int], list[ReferenceDevice]]
) -> None:
    """A frame that was verified just now is not verified again, and judged all the same."""
    board, other = boards(2)
    pipeline.serve(board.frame(board.enrol("pico", "1.0")), PLAIN)
    frame = board.frame(data(board))
    assert pipeline.serve(frame, SECURE).answer is not None
    proven = Sender(SOURCE, tls=True, device_id=other.device_id)
    assert pipeline.serve(frame, proven) == Served(None, charged=True)


def test_where_tls_is_required(
    strict: Pipeline, registry: Registry, board: ReferenceDevice
) -> None:
    enrol = board.enrol("pico", "1.0")
    served = strict.serve(board.frame(enrol), PLAIN)
    assert board.open(served.answer or b"").body == {0: 0, 1: "tls-required"}
    assert (served.device_id, served.charged) == (None, True)
    assert count(registry, "devices") == 0
    assert strict.serve(board.frame(enrol), SECURE).device_id == board.device_id
    reading = data(board)
    answer = strict.handle(board.frame(reading), SOURCE)
    assert board.open(answer or b"").body == {0: 1, 1: "tls-required"}
    assert count(registry, "messages") == 1
    assert strict.serve(board.frame(reading), SECURE).device_id == board.device_id


def test_clone_is_not_looked_for_without_tls_where_it_is_required(
    strict: Pipeline, registry: Registry, board: ReferenceDevice, server_key: ServerKey
) -> None:
    """What leaves no trace proves nothing either."""
    strict.serve(board.frame(board.enrol("pico", "1.0")), SECURE)
    thief = ReferenceDevice(board.private, server_key.public)
    answer = strict.handle(thief.frame(data(thief)), SOURCE)
    assert thief.open(answer or b"").body == {0: 1, 1: "tls-required"}
    assert registry.evidence(board.device_id) == []
