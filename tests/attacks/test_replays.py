"""Frames that were recorded, and come again: stored once, and answered for their board alone."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import pytest

from attacks.stage import Board, Refusal, Stage
from birthkey._port import run
from birthkey_host.errors import FrameError
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry, State

attack = pytest.mark.attack
Reorder = Callable[[list[bytes]], list[bytes]]

ORDERS: dict[str, Reorder] = {
    "in order": list,
    "backwards": lambda frames: frames[::-1],
    "shuffled": lambda frames: random.Random(7).sample(frames, len(frames)),
    "each five times": lambda frames: [frame for frame in frames for _ in range(5)],
}


@attack(
    "every frame that was recorded, again, over other connections",
    layer="replay",
    result="each is answered again, and stored once",
)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("restart", [False, True], ids=["", "after a server restart"])
def test_again(stage: Stage, board: Board, order: str, restart: bool) -> None:
    for _ in range(5):
        board.deliver()
    before = stage.messages(board.device_id)
    frames = ORDERS[order](board.line.frames)
    if restart:
        stage.server.restart()
    assert len(stage.send(*frames)) == len(frames)
    assert stage.messages(board.device_id) == before
    assert stage.layers() == []
    board.works()


def prune(registry: Registry, device_id: bytes) -> None:
    now = time.time() + 1
    assert registry.prune(device_id, before=now, who="op", now=now) == 3


def delete_and_approve(registry: Registry, device_id: bytes) -> None:
    assert registry.delete(device_id, who="op", why="", now=time.time()) == 3
    registry.approve(device_id, who="op", why="", now=time.time())


@attack("the answer that a replayed frame draws, opened by anyone else", layer="seal")
def test_answer_to_a_replay(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    frame = owner.frame(owner.message(Type.DATA, {"n": 1}))
    first, second = stage.send(frame, frame)
    assert first != second
    thief, neighbour = stage.stranger(), board.thief(boot=1)
    for eavesdropper in (thief, neighbour):
        eavesdropper.frame_number = owner.frame_number
        for answer in (first, second):
            with pytest.raises(FrameError) as caught:
                eavesdropper.open(answer)
            assert caught.value.layer == layer
    assert owner.open(first) == owner.open(second)
    assert owner.open(second).type == Type.ACKNOWLEDGE


@attack(
    "a frame is replayed before its board has its answer, which is lost",
    layer="replay",
    result="stored once; the board takes the answer that the replay drew",
)
def test_answer_to_a_replay_serves_the_board(stage: Stage, board: Board) -> None:
    steps = board.unanswered({"race": 1})
    [answer] = stage.send(board.line.frames[-1])
    assert answer != board.line.answers[-1]
    board.line.tell(answer)
    assert run(steps) is True
    assert board.device.unopened == 0
    board.works()


@attack(
    "the frames of an earlier boot, after the board has started again",
    layer="replay",
    result="`stale-boot`",
)
@pytest.mark.parametrize("restart", [False, True], ids=["", "after a server restart"])
def test_earlier_boot(stage: Stage, board: Board, restart: bool, layer: str) -> None:
    withheld = board.withhold()
    recorded = board.line.frames[:]
    board.delivered.pop()  # it was queued in RAM
    board.start()
    board.works()
    if restart:
        stage.server.restart()
    answers = stage.send(*recorded)
    assert len(answers) == len(recorded)
    assert withheld in recorded
    assert stage.log.take() == [Refusal(layer, "stale-boot")] * len(recorded)
    board.works()


@pytest.mark.parametrize(
    "forget",
    [
        pytest.param(
            forget,
            marks=attack(f"the frames of messages that were {how}", layer="replay", result="`old`"),
            id=how,
        )
        for how, forget in (("pruned", prune), ("deleted with their device", delete_and_approve))
    ],
)
def test_forgotten_messages(
    stage: Stage, board: Board, forget: Callable[[Registry, bytes], None], layer: str
) -> None:
    board.deliver()
    recorded = board.line.frames[:]
    forget(stage.server.registry, board.device_id)
    assert stage.messages(board.device_id) == []
    stage.server.restart()
    assert len(stage.send(*recorded, *recorded[::-1])) == 2 * len(recorded)
    assert stage.log.take() == [Refusal(layer, "old")] * 2 * len(recorded)
    assert stage.messages(board.device_id) == []
    board.delivered.clear()
    board.works()


@attack(
    "one message, stored long since, in boot after boot",
    layer="policy",
    result="`busy` after a hundred boots; then one in ten seconds is kept",
)
def test_boot_after_boot(stage: Stage, layer: str) -> None:
    owner = stage.stranger()
    message = owner.enrol("x", "1.0")
    answers = []
    for boot in range(1, 131):
        owner.start(boot)
        [answer] = stage.send(owner.frame(message))
        answers.append(owner.open(answer))
    kept = [answer.type for answer in answers].count(Type.ACKNOWLEDGE)
    assert 100 <= kept <= 105  # as slow as this machine may be
    assert [answer.type for answer in answers[:100]] == [Type.ACKNOWLEDGE] * 100
    assert answers[-1].type == Type.REFUSE
    assert stage.layers() == [layer] * (130 - kept)
    device = stage.server.registry.device(owner.device_id)
    assert device is not None
    assert device.frames == kept + 1


@attack(
    "frames are held back, and let go in another order",
    layer="-",
    result="stored as they come: any unseen counter is good",
)
def test_reordered(stage: Stage, board: Board) -> None:
    owner = stage.owner()
    frames = [owner.frame(owner.message(Type.DATA, {"n": number})) for number in range(4)]
    answers = stage.send(*frames[::-1])
    assert [owner.open(answer).type for answer in answers] == [Type.ACKNOWLEDGE] * 4
    bodies = stage.readings(owner.device_id)
    assert sorted(body["n"] for body in bodies) == [0, 1, 2, 3]  # type: ignore[index]
    assert stage.layers() == []
    board.works()


@attack("another message under a counter that is stored, without the key", layer="signature")
def test_used_counter(stage: Stage, board: Board, layer: str) -> None:
    forger = stage.owner()
    forger.kid = board.device_id
    for kind, body in itertools.product((Type.DATA, Type.STATUS), ({}, {1: 5})):
        [stored] = {message.counter for message in stage.messages(board.device_id)[-1:]}
        assert stage.send(forger.frame(Message(kind, stored, body))) == []
        assert stage.layers() == [layer]
    assert stage.state(board.device_id) is State.ACTIVE
    board.works()
