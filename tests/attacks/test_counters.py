"""Numbers at their ends: what is above all others burns nothing for anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attacks.stage import Board, Refusal, Stage
from birthkey_host import cose
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import State

attack = pytest.mark.attack

LAST = 2**32 - 1


def ask(stage: Stage, sender: ReferenceDevice, message: Message) -> Message:
    [answer] = stage.send(sender.frame(message))
    return sender.open(answer)


@attack("the highest counter, in a frame of a lower boot", layer="policy", result="`malformed`")
@pytest.mark.parametrize("counter", [2**64 - 1, 2 << 32, LAST << 32])
def test_counter_above_its_boot(stage: Stage, board: Board, counter: int, layer: str) -> None:
    owner = stage.owner()
    answer = ask(stage, owner, Message(Type.DATA, counter, {"t": 1}))
    assert (answer.counter, answer.body) == (counter, {0: 1, 1: "malformed"})
    assert stage.layers() == [layer]
    assert ask(stage, owner, owner.message(Type.DATA, {"t": 2})).type == Type.ACKNOWLEDGE
    assert stage.readings(owner.device_id) == [{"t": 2}]
    board.works()


@attack("a counter of boot 0", layer="policy", result="`malformed`")
def test_counter_of_boot_0(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    answer = ask(stage, owner, Message(Type.DATA, 5, {"t": 1}))
    assert answer.body == {0: 1, 1: "malformed"}
    assert stage.layers() == [layer]
    board.works()


@attack(
    "a jump to the highest counter of the boot",
    layer="-",
    result="stored; the counters below it are good as before",
)
def test_jump_burns_no_counter(stage: Stage, board: Board) -> None:
    owner = stage.owner()
    for sequence in (LAST, 5, 4):
        message = Message(Type.DATA, 1 << 32 | sequence, {"s": sequence})
        assert ask(stage, owner, message).type == Type.ACKNOWLEDGE
    assert stage.readings(owner.device_id) == [{"s": LAST}, {"s": 5}, {"s": 4}]
    assert stage.layers() == []
    board.works()


@attack(
    "a jump to the last boot and counter 2^64-1, by the key's holder",
    layer="replay",
    result="stored; unseen counters stay good, and earlier boots are `stale-boot`",
)
def test_last_boot(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    earlier = owner.message(Type.DATA, {"earlier": 1})
    late = ReferenceDevice(owner.private, owner.server_public, boot=LAST)
    late.frame_number = LAST
    answer = ask(stage, late, Message(Type.DATA, 2**64 - 1, {"last": 1}))
    assert (answer.type, answer.body) == (Type.ACKNOWLEDGE, {0: LAST})
    # Counters that were not seen are still good, under the new boot's seal ...
    late.frame_number = 0
    assert ask(stage, late, earlier).type == Type.ACKNOWLEDGE
    assert stage.readings(owner.device_id) == [{"last": 1}, {"earlier": 1}]
    # ... and the boot below it is refused, without a trace.
    stale = owner.message(Type.DATA, {"stale": 1})
    assert ask(stage, owner, stale).body == {0: LAST, 1: "stale-boot"}
    assert stage.log.take() == [Refusal(layer, "stale-boot")]
    assert ask(stage, late, stale).type == Type.ACKNOWLEDGE
    board.works()


@attack("a jump to the last boot, forged under another board's id", layer="signature")
def test_forged_jump_burns_nothing(stage: Stage, board: Board, layer: str) -> None:
    forger = stage.owner()
    forger.kid = board.device_id
    forger.start(LAST)
    frames = [
        forger.frame(Message(Type.DATA, 2**64 - 1, {})),
        forger.frame(Message(Type.STATUS, 2**64 - 1, {1: LAST})),
    ]
    assert stage.send(*frames) == []
    assert stage.layers() == [layer] * 2
    device = stage.server.registry.device(board.device_id)
    assert device
    assert (device.newest, device.state) == (board.device.boot, State.ACTIVE)
    board.works()


@attack("boot number 0", layer="seal")
def test_boot_0(stage: Stage, board: Board, layer: str) -> None:
    owner = stage.owner()
    owner.start(0)
    assert stage.send(owner.frame(Message(Type.DATA, 0, {}))) == []
    assert stage.layers() == [layer]
    board.works()


@attack("the header's boot number is changed, so that the board seems to jump", layer="seal")
def test_changed_boot(stage: Stage, board: Board, layer: str) -> None:

    frame = cose.SealedFrame.decode(board.withhold())
    for boot in (frame.boot + 1, LAST):
        assert stage.send(replace(frame, boot=boot).encode()) == []
    assert stage.layers() == [layer] * 2
    board.works()
