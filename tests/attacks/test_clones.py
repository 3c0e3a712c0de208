"""A copied flash: what gives two holders of one key away, and what does not.

The thief runs the firmware on a copy of a board's keystore, or makes frames with the key himself.
What comes of it stands in the marks, and the tests hold it against the server.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attacks.proofs import CLONED, cloned_by, not_cloned
from attacks.stage import Board, Refusal, Stage
from attacks.wire import lost, passed
from birthkey import Refused
from birthkey.identity import BOOT, KEY, KEY_SIZE, MAGIC, boot_record
from birthkey.keystore import Keystore, Twins
from birthkey_host.message import Message, Type
from birthkey_host.registry import State
from birthkey_host.schema import Proof

attack = pytest.mark.attack


def put(holder: Board, boot: int) -> None:
    """Start a holder so that it is in this boot; a thief writes what he likes into his flash."""
    records = Twins(Keystore(str(holder.flash), MAGIC))
    records.write(BOOT, boot_record(records.read(KEY, KEY_SIZE), boot - 1))
    holder.start()
    assert holder.device.boot == boot


def speak(holder: Board, body: dict[str, int]) -> str:
    """Have a holder send a reading: `stored`, or the reason for which it was refused for good."""
    try:
        assert holder.device.send(body, 8000), holder.device.problem
    except Refused as refused:
        return str(refused.reason)
    return "stored"


def locked_out(stage: Stage, *holders: Board) -> None:
    """Whatever either holder sends is refused, after a reboot too, and nothing more is stored."""
    device_id = holders[0].device_id
    stored = stage.messages(device_id)
    for holder in holders:
        assert speak(holder, {"more": 1}) == "cloned"
        put(holder, holder.device.boot + 2000)
        assert speak(holder, {"more": 2}) == "cloned"
    assert stage.messages(device_id) == stored
    assert {refusal.layer for refusal in stage.log.take()} == {"replay"}


def pair(stage: Stage, ahead: int) -> tuple[Board, Board]:
    """A genuine board in its second boot, and a copy that is so many boots ahead of it."""
    board = stage.board()
    thief = board.copy("copy")
    put(board, 2)
    put(thief, 2 + ahead)
    return board, thief


def case(ahead: int, first: str, readings: str, result: str, layer: str = "replay") -> object:
    boots = "in the same boot" if ahead == 0 else f"{ahead} boots ahead"
    what = f"copy {boots}; {first} speaks first; {readings} readings"
    return pytest.param(
        ahead, first, readings, marks=attack(what, layer=layer, result=result), id=what
    )


SECOND = "at the second one's first message"
THIRD = "when the board speaks again; until then both are stored"


@pytest.mark.parametrize(
    ("ahead", "first", "readings"),
    [
        case(0, "copy", "equal", f"{CLONED[Proof.BOOT]}, {SECOND}"),
        case(0, "copy", "other", f"{CLONED[Proof.COUNTER]}, {SECOND}"),
        case(0, "board", "equal", f"{CLONED[Proof.BOOT]}, {SECOND}"),
        case(0, "board", "other", f"{CLONED[Proof.COUNTER]}, {SECOND}"),
        case(5, "copy", "equal", f"{CLONED[Proof.STATUS]}, {SECOND}"),
        case(5, "copy", "other", f"{CLONED[Proof.STATUS]}, {SECOND}"),
        case(5, "board", "equal", f"{CLONED[Proof.STATUS]}, {THIRD}"),
        case(5, "board", "other", f"{CLONED[Proof.STATUS]}, {THIRD}"),
        case(1000, "copy", "equal", f"{CLONED[Proof.STATUS]}, {SECOND}"),
        case(1000, "copy", "other", f"{CLONED[Proof.STATUS]}, {SECOND}"),
        case(1000, "board", "equal", f"{CLONED[Proof.STATUS]}, {THIRD}"),
        case(1000, "board", "other", f"{CLONED[Proof.STATUS]}, {THIRD}"),
    ],
)
def test_copy_beside_the_board(
    stage: Stage, request: pytest.FixtureRequest, ahead: int, first: str, readings: str
) -> None:
    result = request.node.get_closest_marker("attack").kwargs["result"]
    board, thief = pair(stage, ahead)
    bodies = {board: {"t": 1}, thief: {"t": 1 if readings == "equal" else 2}}
    order = [board, thief] if first == "board" else [thief, board]
    assert speak(order[0], bodies[order[0]]) == "stored"
    outcome = speak(order[1], bodies[order[1]])
    if result.endswith(THIRD):
        assert outcome == "stored"
        assert stage.state(board.device_id) is State.ACTIVE
        outcome = speak(board, {"t": 3})
    assert outcome == "cloned"
    [proof] = [proof for proof, text in CLONED.items() if result.startswith(text)]
    cloned_by(stage, board.device_id, proof)
    locked_out(stage, board, thief)


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(
            ahead,
            marks=attack(
                f"copy {ahead} boots ahead; the board is silenced",
                layer="-",
                result="nothing: the copy is believed",
            ),
        )
        for ahead in (0, 5, 1000)
    ],
)
def test_copy_alone(stage: Stage, ahead: int) -> None:
    board, thief = pair(stage, ahead)
    board.line.up = lost
    for number in range(3):
        assert speak(thief, {"n": number}) == "stored"
        board.withhold()
        board.line.up = lost
    not_cloned(stage, board.device_id)
    assert stage.layers() == []


@attack(
    "copy 5 boots ahead; the board's frames pass, and its answers are kept from it",
    layer="replay",
    result="nothing but `stale-boot`; cloned once the board gets an answer",
)
def test_answers_kept_from_the_board(stage: Stage) -> None:
    board, thief = pair(stage, 5)
    assert speak(thief, {"n": 0}) == "stored"
    board.unanswered({"n": 1}).close()
    assert stage.log.take() == [Refusal("replay", "stale-boot")]
    not_cloned(stage, board.device_id)
    with pytest.raises(Refused, match="cloned"):
        board.device.deliver(8000)
    cloned_by(stage, board.device_id, Proof.STATUS)


@attack(
    "copy in the last boot there is, 2^32-1; copy speaks first",
    layer="replay",
    result=f"{CLONED[Proof.STATUS]}, {SECOND}",
)
def test_copy_in_the_last_boot(stage: Stage) -> None:
    board, thief = pair(stage, 2**32 - 3)
    assert speak(thief, {"n": 0}) == "stored"
    assert speak(board, {"n": 1}) == "cloned"
    cloned_by(stage, board.device_id, Proof.STATUS)


@attack(
    "copy some boots behind, with the firmware as it is",
    layer="replay",
    result=CLONED[Proof.STATUS] + ", which is the copy",
)
def test_copy_behind(stage: Stage) -> None:
    board, thief = pair(stage, 1)
    put(board, 9)
    assert speak(board, {"n": 0}) == "stored"
    assert speak(thief, {"n": 1}) == "cloned"
    cloned_by(stage, board.device_id, Proof.STATUS)
    locked_out(stage, board, thief)


@attack(
    "copy some boots behind, by a thief who says nothing of what he is told",
    layer="replay",
    result="nothing: none of his messages is stored (`stale-boot`)",
)
def test_thief_in_an_old_boot(stage: Stage, board: Board) -> None:
    put(board, 9)
    board.deliver()
    thief = board.thief(boot=5)
    for counter in (5 << 32, 5 << 32 | 7, 1 << 32 | 99):
        [answer] = stage.send(thief.frame(Message(Type.DATA, counter, {"t": 99.9})))
        assert thief.open(answer).body == {0: 9, 1: "stale-boot"}
    assert stage.log.take() == [Refusal("replay", "stale-boot")] * 3
    not_cloned(stage, board.device_id)
    board.works()


@attack(
    "copy some boots behind, in a boot and under a counter that are stored",
    layer="replay",
    result=CLONED[Proof.COUNTER] + ", though the boot is stale",
)
def test_thief_in_a_boot_that_was_heard(stage: Stage, board: Board) -> None:
    put(board, 9)
    board.deliver()
    thief = board.thief(boot=1)
    [answer] = stage.send(thief.frame(Message(Type.DATA, 1 << 32 | 1, {"t": 99.9})))
    assert thief.open(answer).body == {0: 9, 1: "cloned"}
    cloned_by(stage, board.device_id, Proof.COUNTER)


@attack(
    "copy 5 boots ahead; the board is restarted until it is in the copy's boot",
    layer="replay",
    result=CLONED[Proof.BOOT],
)
def test_board_catches_up(stage: Stage) -> None:
    board, thief = pair(stage, 5)
    assert speak(thief, {"n": 0}) == "stored"
    for _ in range(5):
        board.start()
    assert board.device.boot == thief.device.boot
    assert speak(board, {"n": 0}) == "cloned"
    cloned_by(stage, board.device_id, Proof.BOOT)


@attack(
    "copy 5 boots ahead; the board is restarted until it is past it",
    layer="replay",
    result=CLONED[Proof.STATUS] + ", which is the copy",
)
def test_board_overtakes(stage: Stage) -> None:
    board, thief = pair(stage, 5)
    assert speak(thief, {"n": 0}) == "stored"
    for _ in range(6):
        board.start()
    assert speak(board, {"n": 1}) == "stored"
    not_cloned(stage, board.device_id)
    assert speak(thief, {"n": 2}) == "cloned"
    cloned_by(stage, board.device_id, Proof.STATUS)


@attack(
    "copy with readings that wait on flash, delivered by both",
    layer="replay",
    result=CLONED[Proof.BOOT] + "; each reading is stored once",
)
def test_copied_spool(stage: Stage) -> None:
    board = stage.board()
    board.start(spool=1000)
    board.line.up = lost
    assert board.device.send({"waits": 1}, 0) is False
    thief = board.copy("copy")
    board.line.up = passed
    thief.start(spool=1000)
    board.start(spool=1000)
    assert thief.device.deliver(8000)
    with pytest.raises(Refused, match="cloned"):
        board.device.deliver(8000)
    cloned_by(stage, board.device_id, Proof.BOOT)
    assert stage.readings(board.device_id)[1:] == [{"waits": 1}]


@attack(
    "the owner puts an older copy back into his own board",
    layer="replay",
    result=CLONED[Proof.COUNTER] + ": restoring a flash counts as cloning",
)
def test_restored_flash(stage: Stage) -> None:
    board = stage.board()
    backup = board.copy("backup")
    for _ in range(3):
        board.start()
        board.deliver()
    backup.start()
    assert speak(backup, {"n": 0}) == "cloned"
    cloned_by(stage, board.device_id, Proof.COUNTER)


Forgery = Callable[[Board], Message]


@pytest.mark.parametrize(
    "forgery",
    [
        lambda board: Message(Type.DATA, board.device.boot << 32 | 1, {"t": 99.9}),
        lambda board: Message(Type.DATA, board.device.boot << 32 | 77, {}),
        lambda board: Message(Type.STATUS, board.device.boot << 32 | 78, {1: 7}),
    ],
    ids=["counter", "boot", "status"],
)
@attack("making another's board look cloned, without its key", layer="signature", result="nothing")
def test_quarantine_without_the_key(
    stage: Stage, board: Board, forgery: Forgery, layer: str
) -> None:
    for forger in (stage.stranger(), stage.owner()):
        forger.kid = board.device_id
        forger.start(board.device.boot)
        assert stage.send(forger.frame(forgery(board))) == []
        assert stage.layers() == [layer]
    not_cloned(stage, board.device_id)
    board.works()


@attack(
    "making another's board look cloned, with all that it ever sent",
    layer="replay",
    result="nothing: `stale-boot`",
)
def test_quarantine_by_replays(stage: Stage, board: Board, layer: str) -> None:
    for _ in range(3):
        board.deliver()
        board.withhold()
        board.delivered.pop()
        board.start()
    board.works()
    frames = board.line.frames
    for recorded in (frames, frames[::-1], frames[1::2] + frames[::2]):
        stage.send(*recorded)
    assert set(stage.log.take()) == {Refusal(layer, "stale-boot")}
    not_cloned(stage, board.device_id)
    board.works()


@attack(
    "a status that names a boot nobody was heard in, by the key's holder",
    layer="replay",
    result="nothing: `stale-boot`",
)
def test_status_that_proves_nothing(stage: Stage, board: Board, layer: str) -> None:
    put(board, 9)
    board.deliver()
    thief = board.thief(boot=5)
    for told in (1, 5, 8, 2**32 - 1):
        [answer] = stage.send(thief.frame(thief.message(Type.STATUS, {1: told})))
        assert thief.open(answer).body == {0: 9, 1: "stale-boot"}
    assert stage.log.take() == [Refusal(layer, "stale-boot")] * 4
    not_cloned(stage, board.device_id)
    board.works()
