"""A boot's sealed conversation, against the server's own verifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Type
from birthkey_host.verifier import KnownDevice, Outcome, Verdict, Verifier
from device import Handle, Interpreter

DATA, STORED = 1, Verdict(reason=None, newest=1, stored=True)


class Talk:
    """A device's session and the server it talks to."""

    def __init__(self, device: Interpreter, folder: Path, keys: list[ServerKey]) -> None:
        self.device = device
        store = device.call("birthkey.keystore:Keystore", str(folder))
        sources = device.get("birthkey.crypto.entropy:SOURCES")
        identity = device.call("birthkey.identity:Identity", store, sources)
        self.public = self.get(identity, "public")
        self.device_id = self.get(identity, "device_id")
        self.boot = self.get(identity, "boot")
        self.session = device.call(
            "birthkey.session:Session", identity, [key.public for key in keys]
        )
        thumbprint = device.call("birthkey.cose:thumbprint", self.public)
        self.known = KnownDevice(self.device_id, thumbprint, self.public)
        self.verifier = Verifier(
            keys, lambda device_id: self.known if device_id == self.device_id else None
        )
        self.sequence = 0

    def get(self, handle: Handle, name: str) -> Any:
        return self.device.get(f"#{handle._number}:{name}")

    def seal(self, body: Any, now: int = 0) -> bytes:
        counter = self.boot << 32 | self.sequence
        self.sequence += 1
        encoded = self.device.call("birthkey.message:encode", DATA, counter, body)
        return self.session.seal(counter, encoded, now)

    def receive(self, frame: bytes) -> Outcome:
        return self.verifier.receive(frame, source="test", now=0.0)


@pytest.fixture
def keys() -> list[ServerKey]:
    return [ServerKey.generate(), ServerKey.generate()]


@pytest.fixture
def talk(device: Interpreter, tmp_path: Path, keys: list[ServerKey]) -> Talk:
    return Talk(device, tmp_path / "state", keys)


def _answer(outcome: Outcome, verdict: Verdict = STORED) -> bytes:
    answer = outcome.answer(verdict)
    assert answer is not None
    return answer


def test_a_reading_reaches_the_server_and_the_answer_the_board(talk: Talk) -> None:
    outcome = talk.receive(talk.seal({"t": 21.5}))
    assert outcome.message == Message(DATA, 1 << 32, {"t": 21.5})
    assert (outcome.device_id, outcome.boot, outcome.frame_number) == (talk.device_id, 1, 0)
    assert talk.session.open(_answer(outcome), 0) == [16, 1 << 32, {0: 1}]


def test_a_refusal_says_its_reason(talk: Talk) -> None:
    outcome = talk.receive(talk.seal({}))
    refused = Verdict(reason=Reason.PENDING, newest=0, stored=False)
    assert talk.session.open(_answer(outcome, refused), 0) == [19, 1 << 32, {0: 0, 1: "pending"}]


def test_every_sealing_takes_the_next_frame_number(talk: Talk) -> None:
    outcomes = [talk.receive(talk.seal({"n": number})) for number in range(3)]
    assert [outcome.frame_number for outcome in outcomes] == [0, 1, 2]
    assert len({outcome.enc for outcome in outcomes}) == 1


def test_the_backup_key_is_sealed_to_after_a_switch(talk: Talk, keys: list[ServerKey]) -> None:
    first = talk.receive(talk.seal({}))
    talk.session.switch_server()
    second = talk.receive(talk.seal({}))
    assert [first.server_id, second.server_id] == [key.server_id for key in keys]
    assert (first.enc, second.frame_number) == (second.enc, 1)
    assert talk.session.open(_answer(second), 0)[0] == 16
    assert talk.session.open(_answer(first), 0)[0] == 16
    talk.session.switch_server()
    assert talk.receive(talk.seal({})).server_id == keys[0].server_id


def test_an_answer_opens_once(talk: Talk) -> None:
    outcome = talk.receive(talk.seal({}))
    talk.session.open(_answer(outcome), 0)
    with pytest.raises(ValueError, match="second answer"):
        talk.session.open(_answer(outcome), 0)


def test_an_acknowledgement_opens_at_any_age(talk: Talk) -> None:
    """What is stored stays stored."""
    outcomes = [talk.receive(talk.seal({}, 1000)) for _ in range(2)]
    assert talk.session.open(_answer(outcomes[0]), 500_000_000)[0] == Type.ACKNOWLEDGE
    talk.session.age()
    assert talk.session.open(_answer(outcomes[1]), 1000)[0] == Type.ACKNOWLEDGE


def _command(outcome: Any) -> bytes:
    return bytes(outcome.seal(Message(Type.COMMAND, 1, {0: 1, 1: {"led": True}})))


def _time(outcome: Any) -> bytes:
    counter = outcome.message.counter
    return bytes(outcome.seal(Message(Type.TIME, counter, {0: 1, 1: 1_790_000_000})))


@pytest.mark.parametrize(("seal", "most"), [(_command, 30_000), (_time, 10_000)])
def test_a_command_and_a_time_open_for_so_long(talk: Talk, seal: Any, most: int) -> None:
    for late in (0, 1):
        outcome = talk.receive(talk.seal({}, 1000))
        if seal is _command:
            talk.session.open(_answer(outcome), 1000)
        if not late:
            assert talk.session.open(seal(outcome), 1000 + most)
            continue
        with pytest.raises(ValueError, match="too late"):
            talk.session.open(seal(outcome), 1000 + most + 1)


@pytest.mark.parametrize("seal", [_command, _time])
def test_no_command_and_no_time_opens_once_nobody_has_counted(talk: Talk, seal: Any) -> None:
    outcome = talk.receive(talk.seal({}, 1000))
    if seal is _command:
        talk.session.open(_answer(outcome), 1000)
    talk.session.age()
    with pytest.raises(ValueError, match="too late"):
        talk.session.open(seal(outcome), 1000)


def test_another_boards_answer_does_not_open(
    device: Interpreter, tmp_path: Path, talk: Talk, keys: list[ServerKey]
) -> None:
    other = Talk(device, tmp_path / "other", keys)
    talk.seal({})
    outcome = other.receive(other.seal({}))
    with pytest.raises(ValueError, match="authentic"):
        talk.session.open(_answer(outcome), 0)


def test_an_answer_of_an_earlier_boot_does_not_open(
    device: Interpreter, tmp_path: Path, talk: Talk, keys: list[ServerKey]
) -> None:
    outcome = talk.receive(talk.seal({}))
    rebooted = Talk(device, tmp_path / "state", keys)
    rebooted.seal({})
    with pytest.raises(ValueError, match="no frame that is under way"):
        rebooted.session.open(_answer(outcome), 0)


def test_an_uplink_that_is_reflected_does_not_open(talk: Talk) -> None:
    with pytest.raises(ValueError, match="COSE_Encrypt0"):
        talk.session.open(talk.seal({}), 0)


def test_a_changed_byte_anywhere_does_not_open(talk: Talk) -> None:
    outcome = talk.receive(talk.seal({}))
    answer = _answer(outcome)
    for position in range(len(answer)):
        changed = bytearray(answer)
        changed[position] ^= 1
        with pytest.raises(ValueError, match=r"CBOR|answer|COSE|authentic"):
            talk.session.open(bytes(changed), 0)
    for length in range(len(answer)):
        with pytest.raises(ValueError, match=r"CBOR|answer|COSE"):
            talk.session.open(answer[:length], 0)
    assert talk.session.open(answer, 0)[0] == 16


def test_what_waits_for_an_answer_is_bounded(talk: Talk) -> None:
    outcomes = [talk.receive(talk.seal({})) for _ in range(9)]
    with pytest.raises(ValueError, match="no frame that is under way"):
        talk.session.open(_answer(outcomes[0]), 0)
    assert talk.session.open(_answer(outcomes[1]), 0)[0] == 16
