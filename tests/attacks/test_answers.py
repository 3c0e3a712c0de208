"""What comes down to a board: it believes the answer to its own frame, once, and in time.

The firmware decides here. It counts what it did not believe in `unopened`, and waits on for the
answer that it can open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import birthkey._port
import birthkey.conversation
from attacks.stage import Board, Stage
from attacks.wire import lost, passed
from birthkey._port import run
from birthkey_host import cose, hpke
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type

attack = pytest.mark.attack


def feed(board: Board, *answers: bytes) -> None:
    """Give the board these answers before the one that its next frame gets."""
    waiting = iter([list(answers)])
    board.line.down = lambda answer: [*next(waiting, []), answer]


def believes_none(board: Board, *answers: bytes) -> None:
    """The board refuses each of them, and then takes the genuine answer."""
    before = board.device.unopened
    feed(board, *answers)
    board.works()
    assert board.device.unopened - before == len(answers)


def forged(frame: bytes, key: bytes, device_id: bytes, message: Message) -> bytes:
    """An answer to a frame under a key of the forger's choice."""
    sealed = cose.SealedFrame.decode(frame)
    answer = cose.Answer(sealed.partial_iv, os.urandom(12))
    text = ChaCha20Poly1305(key).encrypt(answer.iv, message.encode(), answer.aad(device_id))
    return replace(answer, ciphertext=text).encode()


@attack("an answer with a byte changed, at every position", layer="board")
def test_changed_byte(board: Board) -> None:
    counts = []

    def change(answer: bytes) -> Iterable[bytes]:
        for at in range(len(answer)):
            yield answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]
        counts.append(len(answer))
        yield answer

    board.line.down = change
    board.works()
    assert len(counts) == 1
    assert board.device.unopened == counts[0]


@attack("an answer cut short at every length, or with bytes added", layer="board")
def test_cut_answer(board: Board) -> None:
    counts = []

    def cut(answer: bytes) -> Iterable[bytes]:
        spoilt = [answer[:length] for length in range(1, len(answer))]
        spoilt += [answer + b"\0", answer + answer, answer + bytes(cose.MAX_ANSWER - len(answer))]
        counts.append(len(spoilt))
        return [*spoilt, answer]

    board.line.down = cut
    board.works()
    assert board.device.unopened == counts[0]


@attack("the answer for board A fed to board B", layer="board")
def test_anothers_answer(stage: Stage, board: Board) -> None:
    neighbour = stage.board("neighbour")
    neighbour.deliver()
    answer = neighbour.line.answers[-1]
    upcoming = board.device.boot << 32 | len(board.line.frames)
    assert cose.Answer.decode(answer).partial_iv == upcoming.to_bytes(8, "big")
    believes_none(board, answer)


@attack("an old answer fed to the same board after it has started again", layer="board")
def test_answer_of_an_earlier_boot(board: Board) -> None:
    recorded = board.line.answers[:]
    board.start()
    first = (board.device.boot << 32).to_bytes(8, "big")
    renamed = [replace(cose.Answer.decode(a), partial_iv=first).encode() for a in recorded]
    believes_none(board, *recorded, *renamed)


@attack("an answer of this boot fed to the board again", layer="board")
def test_answer_to_an_earlier_frame(board: Board) -> None:
    board.deliver()
    recorded = board.line.answers[:]
    upcoming = board.device.boot << 32 | len(board.line.frames)
    renamed = [
        replace(cose.Answer.decode(a), partial_iv=upcoming.to_bytes(8, "big")).encode()
        for a in recorded
    ]
    believes_none(board, *recorded, *renamed)


@attack("a second answer to one frame, which was replayed for it", layer="board")
def test_second_answer(stage: Stage, board: Board) -> None:
    board.withhold()
    copies = iter([2])
    board.line.up = lambda frame: [frame] * next(copies, 1)
    board.deliver()  # two readings: while the second waits for its answer, the first gets another
    assert len(board.line.answers) == 5
    assert board.device.unopened == 1
    assert stage.layers() == []
    board.works()


@attack("a board's own frame reflected to it", layer="board")
def test_reflection(board: Board) -> None:
    def reflect(frame: bytes) -> Iterable[bytes]:
        board.line.tell(frame)
        return [frame]

    board.line.up = reflect
    board.works()
    assert board.device.unopened == 1


@attack("noise in place of answers", layer="board")
def test_noise(board: Board) -> None:
    noise = [b"\0", b"\xd0", b"\xff" * 1095, b"\xd0\x83" + b"\x81" * 1000, os.urandom(100)]
    believes_none(board, *noise)


@attack("answers under the fake server's own key, and under none", layer="board")
def test_forged_answer(board: Board) -> None:
    fake = ServerKey.generate()

    def fool(frame: bytes) -> Iterable[bytes]:
        counter = int.from_bytes(cose.SealedFrame.decode(frame).partial_iv, "big")
        for key in keys_of(fake, frame):
            for guess in (counter, counter - 1):
                message = Message(Type.ACKNOWLEDGE, guess, {0: 1})
                board.line.tell(forged(frame, key, board.device_id, message))
        return [frame]

    board.line.up = fool
    board.works()
    assert board.device.unopened == 6


def keys_of(fake: ServerKey, frame: bytes) -> list[bytes]:
    """What one might try who cannot open the frame."""
    enc = cose.SealedFrame.decode(frame).enc
    context = hpke.setup_receiver(enc, fake.private, cose.hpke_info(fake.server_id))
    return [context.export(cose.DOWN, 32), bytes(32), enc[1:33]]


@attack("a fake server takes the connection, and answers with its own key", layer="board")
def test_fake_server(stage: Stage, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 300)
    genuine, fake = stage.server, stage.listen("fake.sqlite3")
    stage.server = fake

    def answer(frame: bytes) -> Iterable[bytes]:
        message = Message(Type.ACKNOWLEDGE, board.device.boot << 32 | 2, {0: 1})
        for key in keys_of(fake.key, frame):
            board.line.tell(forged(frame, key, board.device_id, message))
        return [frame]

    board.line.up = answer
    board.line.cut()
    board.delivered.append({"n": "kept"})
    assert board.device.send({"n": "kept"}, 1500) is False
    assert "is the server's key the right one?" in board.device.problem
    assert board.device.queued == 1
    assert board.device.unopened >= 3
    assert set(stage.layers()) == {"seal"}  # what the fake one makes of the board's frames
    board.line.up = passed
    stage.server = genuine
    board.line.cut()
    board.works()


class Clock:
    """The board's clock, which goes by itself and can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0
        self._ticks = birthkey.conversation.ticks_ms

    def __call__(self) -> int:
        return self._ticks() + self.ahead


@pytest.mark.parametrize(
    ("silences", "opened"),
    [
        pytest.param(
            8, False, marks=attack("an answer held back for eight more frames", layer="board")
        ),
        pytest.param(
            3,
            True,
            marks=attack("an answer held back for 31 s", layer="-", result="opened: it is true"),
        ),
    ],
    ids=["8 frames", "31 s"],
)
def test_held_answer(
    board: Board, monkeypatch: pytest.MonkeyPatch, silences: int, opened: bool
) -> None:
    clock = Clock()
    for module in (birthkey.conversation, birthkey._port):
        monkeypatch.setattr(module, "ticks_ms", clock)
    board.line.down = lost
    board.delivered.append({"n": "held"})
    first = len(board.line.answers)
    steps = board.device.send_steps({"n": "held"}, 200_000)
    for silence in range(silences):
        while len(board.line.answers) == first + silence:
            next(steps)
        clock.ahead += 10_400  # the board waits for 10 s, and seals anew
    held = board.line.answers[first]
    board.line.down = lambda answer: [held] if opened else [held, answer]
    assert run(steps) is True
    assert len(board.line.answers) == first + silences + 1
    assert board.device.unopened == (not opened)
    board.line.down = passed
    board.works()


@attack("every answer is lost", layer="-", result="the board keeps its reading; it is stored once")
def test_lost_answers(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 100)
    board.line.down = lost
    board.delivered.append({"n": "lost"})
    assert board.device.send({"n": "lost"}, 500) is False
    assert board.device.queued == 1
    board.line.down = passed
    monkeypatch.undo()
    board.works()
