"""Answers: what they say, and that one device can open them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from birthkey_host import commands, cose
from birthkey_host.message import Command, Message, Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import FrameError, Verdict, Verifier
from verifying import SERVER, STORED, data, receive


def test_acknowledge_is_about_the_message(server: Verifier, board: ReferenceDevice) -> None:
    message = data(board)
    outcome = receive(server, board.frame(message))
    answer = board.open(outcome.answer(STORED))
    assert answer == Message(Type.ACKNOWLEDGE, message.counter, {0: 7})


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_gives_its_reason(
    server: Verifier, board: ReferenceDevice, reason: Reason
) -> None:
    outcome = receive(server, board.frame(data(board)))
    verdict = Verdict(reason, newest=9, stored=False)
    answer = board.open(outcome.answer(verdict))
    assert (answer.type, answer.body) == (Type.REFUSE, {0: 9, 1: reason.value})
    replay = reason in (Reason.OLD, Reason.STALE_BOOT, Reason.CLONED)
    assert verdict.layer == ("replay" if replay else "policy")


def test_a_verdict_that_stores_has_no_layer() -> None:
    assert STORED.layer is None


def test_the_time_answers_a_status_that_asks_for_it(
    server: Verifier, board: ReferenceDevice
) -> None:
    status = board.message(Type.STATUS, {3: True})
    outcome = receive(server, board.frame(status))
    answer = board.open(outcome.answer(STORED))
    assert answer == Message(Type.TIME, status.counter, {0: 7, 1: 1790000000})
    busy = board.open(outcome.answer(Verdict(Reason.BUSY, newest=7, stored=False)))
    assert busy.type == Type.REFUSE


def test_a_command_goes_down_under_the_same_frame(server: Verifier, board: ReferenceDevice) -> None:
    outcome = receive(server, board.frame(data(board)))
    command = Message(Type.COMMAND, 5, {0: 7, 1: {"led": True}})
    assert board.open(outcome.seal(command)) == command


def test_only_the_sender_opens_an_answer(
    server: Verifier, board: ReferenceDevice, neighbour: ReferenceDevice
) -> None:
    frame = board.frame(data(board))
    neighbour.frame(data(neighbour))
    answer = receive(server, frame).answer(STORED)
    board.open(answer)
    for other in (neighbour, ReferenceDevice(board.private, SERVER.public, boot=7)):
        other.frame_number = 1
        with pytest.raises(FrameError) as caught:
            other.open(answer)
        assert caught.value.layer == "seal"
    thief = ReferenceDevice(board.private, SERVER.public, boot=7)
    thief.device_id, thief.enc, thief._context = neighbour.device_id, board.enc, board._context
    thief.frame_number = 1
    with pytest.raises(FrameError, match="not authentic"):
        thief.open(answer)


def test_an_answer_belongs_to_its_frame_and_message(
    server: Verifier, board: ReferenceDevice
) -> None:
    first = receive(server, board.frame(data(board)))
    second = receive(server, board.frame(data(board)))
    moved = cose.Answer.decode(first.answer(STORED))
    moved = replace(moved, partial_iv=cose.Answer.decode(second.answer(STORED)).partial_iv)
    with pytest.raises(FrameError, match="not authentic"):
        board.open(moved.encode())
    with pytest.raises(FrameError) as caught:
        board.open(second.seal(Message(Type.ACKNOWLEDGE, first.message.counter, {0: 7})))
    assert caught.value.layer == "policy"
    answer = first.answer(STORED)
    board.start(8)
    with pytest.raises(FrameError, match="not sent"):
        board.open(answer)


def test_any_byte_changed_in_an_answer_is_refused(server: Verifier, board: ReferenceDevice) -> None:
    answer = receive(server, board.frame(data(board))).answer(STORED)
    for position in range(len(answer)):
        changed = answer[:position] + bytes([answer[position] ^ 1]) + answer[position + 1 :]
        with pytest.raises(FrameError):
            board.open(changed)


def test_an_answer_is_smaller_than_any_frame_that_gets_one(
    server: Verifier, board: ReferenceDevice
) -> None:
    frame = board.frame(board.message(Type.DATA, {}))
    outcome = receive(server, frame)
    longest = Verdict(Reason.UNKNOWN_DEVICE, newest=2**32 - 1, stored=False)
    assert len(outcome.answer(longest)) < len(frame)


def test_two_answers_to_one_frame_have_two_nonces(server: Verifier, board: ReferenceDevice) -> None:
    outcome = receive(server, board.frame(data(board)))
    assert outcome.answer(STORED) != outcome.answer(STORED)


def test_the_longest_that_a_server_says_is_an_answer_of_1095_bytes(
    server: Verifier, board: ReferenceDevice
) -> None:
    outcome = receive(server, board.frame(data(board)))
    body = {"x": "x" * 1018}
    assert len(commands.encode(body)) == commands.MAX_BODY
    command = Command(commands.LAST_ID, body)
    verdict = Verdict(None, (1 << 32) - 1, stored=True, command=command)
    said = outcome.command(verdict)
    assert said is not None
    assert len(said) == cose.MAX_ANSWER == 1095
    assert len(outcome.answer(verdict)) < 100
    for reason in Reason:
        assert len(outcome.answer(replace(verdict, reason=reason))) < 100
