"""Becoming a device: with a key that is not one's own, twice, at once, or after the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from attacks.stage import Board, Refusal, Stage
from birthkey_host.message import Enrol, Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.schema import Action, Device

attack = pytest.mark.attack


def ask(stage: Stage, sender: ReferenceDevice, message: Message) -> Message:
    [answer] = stage.send(sender.frame(message))
    return sender.open(answer)


def enrolled(registry: Registry, device_id: bytes) -> int:
    """How often the audit log says that it was enrolled."""
    events = registry.events(device_id)
    return len([event for event in events if event.action is Action.ENROLLED])


@attack("enrolling with another's public key", layer="signature")
@pytest.mark.parametrize("victim", ["a device", "nobody yet"])
@pytest.mark.parametrize("kid", ["own", "the victim's"])
def test_anothers_key(stage: Stage, board: Board, victim: str, kid: str, layer: str) -> None:
    thief = stage.stranger()
    robbed = board.thief(1) if victim == "a device" else stage.stranger()
    if kid != "own":
        thief.kid = robbed.device_id
    enrol = thief.message(Type.ENROL, Enrol(robbed.public, "mine", "1.0").body())
    assert stage.send(thief.frame(enrol)) == []
    assert stage.layers() == [layer]
    assert [device.device_id for device in stage.server.registry.devices()] == [board.device_id]
    board.works()


@attack("enrolling one's own key under another's id", layer="signature")
@pytest.mark.parametrize("victim", ["a device", "nobody yet"])
def test_anothers_id(stage: Stage, board: Board, victim: str, layer: str) -> None:
    thief = stage.stranger()
    thief.kid = board.device_id if victim == "a device" else stage.stranger().device_id
    assert stage.send(thief.frame(thief.enrol("mine", "1.0"))) == []
    assert stage.layers() == [layer]
    known = stage.known(board.device_id)
    assert known
    assert known.public_key == board.thief(1).public
    board.works()


@attack("a key whose thumbprint begins as that of a device", layer="signature")
def test_same_beginning_of_the_thumbprint(stage: Stage, board: Board, layer: str) -> None:
    # Nobody can make one. So the registry is made to hold another key under the owner's id.
    owner = stage.owner()
    bound = stage.stranger()
    values = {"public_key": bound.public, "thumbprint": owner.device_id + bytes(16)}
    with stage.server.registry._engine.begin() as connection:
        row = update(Device).where(Device.device_id == owner.device_id)
        connection.execute(row.values(**values))
    stage.server.restart()
    for message in (owner.enrol("mine", "1.0"), owner.message(Type.DATA, {})):
        assert stage.send(owner.frame(message)) == []
        assert stage.layers() == [layer]
    known = stage.known(owner.device_id)
    assert known
    assert known.public_key == bound.public
    board.works()


@attack("enrolling twice", layer="-", result="one device; the second enrol is stored as a message")
def test_twice(stage: Stage, board: Board) -> None:
    owner = stage.owner()
    assert ask(stage, owner, owner.enrol("owned", "2.0")).type == Type.ACKNOWLEDGE
    registry = stage.server.registry
    [device] = [d for d in registry.devices() if d.device_id == owner.device_id]
    assert (device.firmware, device.state) == ("2.0", State.ACTIVE)
    assert enrolled(registry, owner.device_id) == 1
    board.works()


@attack("ten connections enrol one key at once", layer="-", result="one device, enrolled once")
@pytest.mark.parametrize("same", [True, False], ids=["one message", "ten messages"])
def test_ten_at_once(stage: Stage, board: Board, same: bool) -> None:
    stranger = stage.stranger()
    messages = [stranger.enrol("many", "1.0") for _ in range(10)]
    if same:
        messages = messages[:1] * 10
    frames = [stranger.frame(message) for message in messages]
    with ThreadPoolExecutor(10) as threads:
        answers = [answer for [answer] in threads.map(stage.send, frames)]
    assert [stranger.open(answer).type for answer in answers] == [Type.ACKNOWLEDGE] * 10
    registry = stage.server.registry
    assert len(registry.devices()) == 2
    assert enrolled(registry, stranger.device_id) == 1
    counters = [message.counter for message in stage.messages(stranger.device_id)]
    assert sorted(counters) == sorted({message.counter for message in messages})
    board.works()


End = Callable[[Stage, ReferenceDevice], None]


def act(action: str) -> End:
    def end(stage: Stage, owner: ReferenceDevice) -> None:
        getattr(stage.server.registry, action)(owner.device_id, who="op", why="", now=time.time())

    return end


def clone(stage: Stage, owner: ReferenceDevice) -> None:
    second = ReferenceDevice(owner.private, owner.server_public, boot=owner.boot)
    assert ask(stage, second, second.message(Type.DATA, {})).body == {0: 1, 1: "cloned"}
    stage.log.take()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(
            act("revoke"),
            "revoked",
            marks=attack("enrolling again after being revoked", layer="policy", result="`revoked`"),
        ),
        pytest.param(
            act("suspend"),
            "suspended",
            marks=attack("enrolling again while suspended", layer="policy", result="`suspended`"),
        ),
        pytest.param(
            act("delete"),
            "pending",
            marks=attack(
                "enrolling again after being deleted",
                layer="policy",
                result="`pending`, whatever the policy",
            ),
        ),
        pytest.param(
            clone,
            "cloned",
            marks=attack("enrolling again after being cloned", layer="replay", result="`cloned`"),
        ),
    ],
    ids=["revoked", "suspended", "deleted", "cloned"],
)
def test_after_the_end(stage: Stage, board: Board, end: End, reason: str, layer: str) -> None:
    owner = stage.owner()
    recorded = owner.frame(owner.enrol("owned", "1.0"))
    end(stage, owner)
    state = stage.state(owner.device_id)
    stored = stage.messages(owner.device_id)
    [answer] = stage.send(recorded)  # anyone can, who has recorded it
    assert owner.open(answer).body == {0: 1, 1: reason}
    for boot in (1, 2):
        owner.start(boot)
        assert ask(stage, owner, owner.enrol("owned", "1.0")).body == {0: 1, 1: reason}
    assert stage.log.take() == [Refusal(layer, reason)] * 3
    assert stage.state(owner.device_id) is state
    assert stage.messages(owner.device_id) == stored
    board.works()


@attack("readings of a board that nobody knows", layer="policy", result="`unknown-device`")
def test_unknown_device(stage: Stage, board: Board, layer: str) -> None:
    stranger = stage.stranger()
    answer = ask(stage, stranger, stranger.message(Type.DATA, {"t": 99.9}))
    assert answer.body == {0: 0, 1: "unknown-device"}
    assert stage.layers() == [layer]
    assert len(stage.server.registry.devices()) == 1
    board.works()


@attack(
    "readings of a board that nobody has approved",
    layer="policy",
    result="`pending`, nothing stored",
)
def test_pending(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("strict.sqlite3", "approve")
    stranger = stage.stranger()
    messages = (stranger.enrol("x", "1.0"), stranger.message(Type.DATA, {"t": 99.9}))
    for message in messages:
        assert ask(stage, stranger, message).body == {0: 0, 1: "pending"}
    assert stage.log.take() == [Refusal(layer, "pending")] * 2
    assert stage.messages(stranger.device_id) == []


@attack(
    "strangers fill the list of those who wait for approval",
    layer="policy",
    result="one address has its share, and pushes its own off; whoever is approved gets in",
)
def test_full_waiting_list(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("strict.sqlite3", "approve", pending_limit=30)
    registry = stage.server.registry
    strangers = [stage.stranger() for _ in range(5)]
    for stranger in strangers:
        answer = ask(stage, stranger, stranger.enrol("x", "1.0"))
        assert answer.body == {0: 0, 1: "pending"}
    left = strangers[2:]
    assert {row.device_id for row in registry.devices()} == {each.device_id for each in left}
    for stranger in left:  # they come back, to stay
        assert ask(stage, stranger, stranger.enrol("x", "1.0")).body == {0: 0, 1: "pending"}
    last = stage.stranger()
    assert ask(stage, last, last.enrol("x", "1.0")).body == {0: 0, 1: "busy"}
    assert stage.layers() == [layer] * 9
    genuine = stage.stranger()
    registry.approve(genuine.device_id, who="op", why="", now=time.time())
    assert ask(stage, genuine, genuine.enrol("x", "1.0")).type == Type.ACKNOWLEDGE


@attack(
    "one address enrols key after key where everyone may",
    layer="policy",
    result="`busy` after a hundred; whoever is approved or has a code gets in",
)
def test_many_new_devices(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("many.sqlite3", "open")
    registry = stage.server.registry
    for number in range(110):
        stranger = stage.stranger()
        answer = ask(stage, stranger, stranger.enrol("x", "1.0"))
        assert answer.body == ({0: 1} if number < 100 else {0: 0, 1: "busy"})
    assert stage.layers() == [layer] * 10
    assert len(registry.devices()) == 100
    approved, holder = stage.stranger(), stage.stranger()
    registry.approve(approved.device_id, who="op", why="", now=time.time())
    [code] = registry.issue_claims(1, who="op", now=time.time())
    assert ask(stage, approved, approved.enrol("x", "1.0")).type == Type.ACKNOWLEDGE
    assert ask(stage, holder, holder.enrol("x", "1.0", code)).type == Type.ACKNOWLEDGE


@attack(
    "a claim code is used a second time, or made up", layer="policy", result="`pending`, no trace"
)
def test_claim_code(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("claims.sqlite3", "claim")
    [code] = stage.server.registry.issue_claims(1, who="op", now=time.time())
    first, second, third = (stage.stranger() for _ in range(3))
    assert ask(stage, first, first.enrol("x", "1.0", code)).type == Type.ACKNOWLEDGE
    for thief, guess in ((second, code), (third, bytes(16))):
        assert ask(stage, thief, thief.enrol("x", "1.0", guess)).body == {0: 0, 1: "pending"}
    assert stage.layers() == [layer] * 2
    assert [device.device_id for device in stage.server.registry.devices()] == [first.device_id]


@attack("ten boards use one claim code at once", layer="policy", result="one gets in")
def test_claim_code_at_once(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("claims.sqlite3", "claim")
    [code] = stage.server.registry.issue_claims(1, who="op", now=time.time())
    strangers = [stage.stranger() for _ in range(10)]
    frames = [stranger.frame(stranger.enrol("x", "1.0", code)) for stranger in strangers]
    with ThreadPoolExecutor(10) as threads:
        answers = [answer for [answer] in threads.map(stage.send, frames)]
    types = [s.open(answer).type for s, answer in zip(strangers, answers, strict=True)]
    assert sorted(types) == [Type.ACKNOWLEDGE] + 9 * [Type.REFUSE]
    assert stage.layers() == [layer] * 9
    assert len(stage.server.registry.devices()) == 1


@attack("a key whose private half is printed in a standard", layer="policy", result="`revoked`")
def test_published_key(stage: Stage, board: Board, layer: str) -> None:
    # RFC 6979 A.2.5.
    private = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
    anyone = ReferenceDevice(bytes.fromhex(private), stage.server.key.public)
    assert ask(stage, anyone, anyone.enrol("x", "1.0")).body == {0: 0, 1: "revoked"}
    assert stage.layers() == [layer]
    assert len(stage.server.registry.devices()) == 1
    board.works()


@attack("a board name that writes to the operator's terminal", layer="policy", result="`malformed`")
@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\u202eevil", "x" * 33, ""], ids=ascii)
def test_hostile_name(stage: Stage, board: Board, name: str, layer: str) -> None:
    stranger = stage.stranger()
    assert ask(stage, stranger, stranger.enrol(name, "1.0")).body == {0: 0, 1: "malformed"}
    assert stage.layers() == [layer]
    assert len(stage.server.registry.devices()) == 1
    board.works()
