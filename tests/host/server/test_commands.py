"""Commands on the wire: behind an acknowledgement, under the same frame, in one go."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import event

from birthkey_host.enrolment import Open
from birthkey_host.errors import FrameError
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.lines import Lines
from birthkey_host.server.pipeline import Pipeline, Sender
from birthkey_host.server.tcp import TcpServer
from birthkey_host.verifier import Verifier
from recording import data, execute
from tcp_clients import LIMITS, Client, run

NOW = 1_790_000_000.5


@pytest.fixture
def pipeline(server_key: ServerKey, registry: Registry) -> Pipeline:
    return Pipeline(Verifier([server_key], registry.lookup), registry, Open(), clock=lambda: NOW)


@pytest.fixture
def commanded(pipeline: Pipeline, registry: Registry, board: ReferenceDevice) -> ReferenceDevice:
    """A board that has enrolled, and that a command waits for."""
    pipeline.handle(board.frame(board.enrol("pico", "1.0")), "here")
    registry.command(board.device_id, {"led": True}, expires=NOW + 60, who="ada", why="", now=NOW)
    return board


def ask(pipeline: Pipeline, board: ReferenceDevice, message: Message) -> list[Message]:
    return [board.open(frame) for frame in pipeline.frames(board.frame(message), "here")]


def test_command_follows_the_acknowledgement(
    pipeline: Pipeline, commanded: ReferenceDevice
) -> None:
    message = data(commanded)
    assert ask(pipeline, commanded, message) == [
        Message(Type.ACKNOWLEDGE, message.counter, {0: 1, 1: True}),
        Message(Type.COMMAND, 1, {0: 1, 1: {"led": True}}),
    ]


def test_both_answer_the_same_frame(pipeline: Pipeline, commanded: ReferenceDevice) -> None:
    answer, command = pipeline.frames(commanded.frame(data(commanded)), "here")
    iv = (1 << 32 | 1).to_bytes(8, "big")
    assert iv in answer
    assert iv in command
    stranger = ReferenceDevice.generate(commanded.server_public)
    stranger.frame_number = commanded.frame_number
    with pytest.raises(FrameError, match="not authentic"):
        stranger.open(command)


def test_nothing_follows_the_time_or_a_refusal(
    pipeline: Pipeline, commanded: ReferenceDevice, registry: Registry
) -> None:
    question = commanded.message(Type.STATUS, Status(wants_time=True).body())
    assert [m.type for m in ask(pipeline, commanded, question)] == [Type.TIME]
    execute(registry, "UPDATE devices SET state = 'suspended'")
    assert [m.type for m in ask(pipeline, commanded, data(commanded))] == [Type.REFUSE]


def test_sending_is_one_line_in_the_log(
    pipeline: Pipeline, commanded: ReferenceDevice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(pipeline, commanded, data(commanded))
    name = commanded.device_id.hex()
    assert caplog.messages[-1] == f"sent command 1 to device {name}"


def test_repeating_a_frame_fills_no_log_and_changes_nothing(
    pipeline: Pipeline,
    commanded: ReferenceDevice,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Anyone can who has recorded it."""
    caplog.set_level(logging.INFO)
    pipeline.lines = Lines(logging.getLogger("birthkey_host.test"), clock=lambda: 0.0)
    frame = commanded.frame(data(commanded))
    pipeline.handle(frame, "here")
    written = []

    def note(*arguments: Any) -> None:
        if arguments[2].split()[0] in ("INSERT", "UPDATE", "DELETE", "REPLACE"):
            written.append(arguments[2])

    event.listen(registry._engine, "before_cursor_execute", note)
    caplog.clear()
    for number in range(300):
        assert len(pipeline.frames(frame, f"source {number}")) == 2
    assert written == []
    assert len(caplog.records) == 48  # before them, one was stored, and one sent
    caplog.clear()
    pipeline.lines.sum_up()
    assert f"commands 252; most from {commanded.device_id.hex()}" in caplog.text


def test_nothing_is_sent_that_is_not_on_record_as_sent(
    pipeline: Pipeline, commanded: ReferenceDevice, registry: Registry
) -> None:
    execute(
        registry,
        "CREATE TRIGGER full BEFORE UPDATE ON commands BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    [answer] = ask(pipeline, commanded, data(commanded))
    assert answer.body == {0: 0, 1: "busy"}


def test_repeated_frame_is_served_as_a_sender(
    pipeline: Pipeline, commanded: ReferenceDevice
) -> None:
    frame = commanded.frame(data(commanded))
    for _ in range(2):
        served = pipeline.serve(frame, Sender("here"))
        assert [commanded.open(f).type for f in served.frames] == [Type.ACKNOWLEDGE, Type.COMMAND]
        assert pipeline.handle(frame, "here") is not None


def test_largest_command_and_its_acknowledgement_are_one_tcp_segment(
    pipeline: Pipeline, commanded: ReferenceDevice, registry: Registry
) -> None:
    execute(registry, "DELETE FROM commands")
    body = {"x": "x" * 1018}
    registry.command(commanded.device_id, body, expires=NOW + 60, who="ada", why="", now=NOW)
    frames = pipeline.frames(commanded.frame(data(commanded)), "here")
    assert len(frames) == 2
    assert sum(2 + len(frame) for frame in frames) <= 1220  # the least MTU of IPv6, TCP's data


def test_over_tcp(pipeline: Pipeline, commanded: ReferenceDevice) -> None:
    async def steps() -> None:
        server = TcpServer(pipeline, LIMITS)
        [(_, port)] = await server.start("127.0.0.1", 0)
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        for _ in range(2):
            client.send(commanded.frame(data(commanded)))
            kinds = [commanded.open(await client.receive()).type for _ in range(2)]
            assert kinds == [Type.ACKNOWLEDGE, Type.COMMAND]
        client.writer.close()
        await server.stop()

    run(steps())
