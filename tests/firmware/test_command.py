"""A command is carried out once or not at all, whatever its handler does and flash does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device import Handle, Interpreter

SERVER = b"\x17\x51\x80\xc5" + bytes(12)
RECORD = "command-175180c5"


class Board:
    """The commands of a board, which may start again."""

    def __init__(self, device: Interpreter, flash: Path) -> None:
        self.device, self.flash = device, flash
        device.call("command_handlers:forget")
        self.start()

    def start(self, writes: int | None = None) -> None:
        """`writes` is how many writes flash takes; each record is there twice."""
        store = self.device.call("birthkey.keystore:Keystore", str(self.flash))
        if writes is not None:
            store = self.device.call("command_handlers:Fussy", store, 2 * writes)
        self.commands = self.device.call("birthkey.command:Commands", store, [SERVER])

    def handler(self, name: str | None) -> Handle | None:
        return self.device.get(f"command_handlers:{name}") if name else None

    def __call__(self, number: int, body: Any, handler: str | None = "count") -> Any:
        self.commands.take(number, body)
        return self.commands.obey(self.handler(handler))

    @property
    def done(self) -> Any:
        return self.device.get("command_handlers:done")


@pytest.fixture
def board(device: Interpreter, tmp_path: Path) -> Board:
    return Board(device, tmp_path / "flash")


LED = {"led": True}


@pytest.mark.parametrize(
    "result", [None, True, False, 0, -5, 2**64 - 1, 1.5, "", "on", {}, {"a": [1, b"2"], 3: None}]
)
def test_what_the_handler_returns_is_the_result(board: Board, result: Any) -> None:
    assert board(7, {"give": result}, "echo") == [7, result]
    assert board.done == [{"give": result}]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_same_command_again_is_not_carried_out_and_has_its_result(
    board: Board, restarts: bool
) -> None:
    assert board(1, LED) == [1, 1]
    for _ in range(2):
        if restarts:
            board.start()
        assert board(1, LED) == [1, 1]
    assert board.done == [LED]


def test_a_lower_id_is_answered_with_the_last_one_and_its_result(board: Board) -> None:
    board(5, LED)
    for number in (0, 1, 4):
        assert board(number, {"other": number}) == [5, 1]
    assert board.done == [LED]
    assert board(6, LED) == [6, 2]


def test_another_command_under_the_last_id_has_no_result(board: Board) -> None:
    board(5, LED)
    board.start()
    assert board(5, {"led": False})[1][0] == "unknown"
    assert board.done == [LED]
    assert board(5, LED) == [5, 1]


def test_the_largest_id_is_the_last(board: Board) -> None:
    assert board(2**64 - 1, LED) == [2**64 - 1, 1]
    assert board(2**64 - 1, {})[1][0] == "unknown"
    assert len(board.done) == 1


def test_without_a_handler_the_server_is_told_so(board: Board) -> None:
    number, [failure, sentence] = board(1, LED, None)
    assert (number, failure) == (1, "no-handler")
    assert sentence == "the application on this board takes no commands"
    # It would be a surprise if it were carried out once there is a handler.
    assert board(1, LED)[1][0] == "no-handler"
    assert board.done == []


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        ("fail", "ValueError: no such pin"),
        ("fail_at_length", "ValueError: " + "x" * 88),
        ("fail_without_a_word", "Mute"),
        ("run_out_of_memory", "MemoryError"),
        ("give_bytes", "TypeError: a result is None"),
        ("give_list", "TypeError: a result is None"),
        ("give_object", "TypeError: a result is None"),
        ("give_object_within", "ValueError: CBOR: cannot encode"),
        ("give_deep", "ValueError: CBOR: "),
    ],
)
def test_whatever_a_handler_does_there_is_a_result(
    board: Board, handler: str, sentence: str
) -> None:
    number, [failure, said] = board(1, LED, handler)
    assert (number, failure) == (1, "failed")
    assert said.startswith(sentence)
    assert len(said) <= 100
    assert board(1, LED, handler) == [1, [failure, said]]
    assert board(2, LED) == [2, len(board.done)]


def test_a_result_has_at_most_512_bytes(board: Board) -> None:
    assert board(1, {"size": 509}, "give_much") == [1, "x" * 509]
    board.start()
    assert board(1, {"size": 509}, "give_much") == [1, "x" * 509]
    assert board(2, {"size": 510}, "give_much") == [
        2,
        ["failed", "ValueError: a result has at most 512 bytes, not 513"],
    ]


def test_a_handler_that_restarts_the_board_leaves_the_outcome_unknown(board: Board) -> None:
    board.commands.take(1, LED)
    assert board.device.call("command_handlers:restarts", board.commands)
    board.start()
    number, [failure, _] = board(1, LED)
    assert (number, failure) == (1, "unknown")
    assert board.done == [LED]
    assert board(2, LED) == [2, 2]


def test_nothing_is_done_when_flash_does_not_take_the_id(board: Board) -> None:
    board.start(writes=0)
    number, [failure, sentence] = board(1, LED)
    assert (number, failure, sentence) == (1, "failed", "KeystoreError: flash is full")
    assert board.done == []
    board.start()
    assert board(1, LED) == [1, 1]


def test_a_result_that_flash_does_not_take_is_told_while_the_boot_lasts(board: Board) -> None:
    board.start(writes=1)
    assert board(1, LED) == [1, 1]
    assert board(1, LED)[1][0] == "unknown"
    assert board.done == [LED]


def test_nothing_is_done_when_the_record_is_damaged(board: Board) -> None:
    board(1, LED)
    for record in (board.flash / RECORD, board.flash / "copy" / RECORD):
        record.write_bytes(record.read_bytes()[:-1] + b"\0")
    number, [failure, sentence] = board(2, LED)
    assert (number, failure) == (2, "failed")
    assert sentence.startswith("DamagedRecord: the record ")
    assert board.done == [LED]


@pytest.mark.parametrize("folder", [".", "copy"])
@pytest.mark.parametrize("damage", ["gone", "damaged", "of the command before"])
def test_one_bad_copy_of_the_record_makes_no_command_done_twice(
    board: Board, folder: str, damage: str
) -> None:
    board(1, LED)
    record = board.flash / folder / RECORD
    earlier = record.read_bytes()
    board(2, LED)
    if damage == "gone":
        record.unlink()
    else:
        record.write_bytes(earlier if damage.startswith("of") else earlier[:-1] + b"\0")
    board.start()
    assert board(2, LED) == [2, 2]
    assert board.done == [LED, LED]


def test_each_server_has_its_own_last_command(board: Board) -> None:
    assert board(7, LED) == [7, 1]
    store = board.device.call("birthkey.keystore:Keystore", str(board.flash))
    board.commands = board.device.call("birthkey.command:Commands", store, [bytes(16)])
    assert board(1, LED) == [1, 2]
    board.start()
    assert board(7, LED) == [7, 1]


def test_what_was_begun_under_one_key_of_a_server_is_begun_under_the_other(board: Board) -> None:
    assert board(7, LED) == [7, 1]
    store = board.device.call("birthkey.keystore:Keystore", str(board.flash))
    for keys in ([bytes(16), SERVER], [SERVER, bytes(16)]):
        board.commands = board.device.call("birthkey.command:Commands", store, keys)
        assert board(7, LED) == [7, 1]
    board.commands = board.device.call("birthkey.command:Commands", store, [bytes(16), SERVER])
    assert board(8, LED) == [8, 2]
    board.start()
    assert board(7, LED)[0] == 7
    board.commands = board.device.call("birthkey.command:Commands", store, [SERVER, bytes(16)])
    assert board(8, LED) == [8, 2]
    assert board.done == [LED, LED]


def test_one_command_is_taken_at_a_time(board: Board) -> None:
    board.commands.take(1, LED)
    board.commands.take(2, {"later": True})
    assert board.commands.obey(board.handler("count")) == [1, 1]
    assert board.done == [LED]
    assert board(2, {"later": True}) == [2, 2]


@pytest.mark.parametrize("result", [b"\x80\x80", b"\x82", b"\xff", b"\x79\x01\xf4" + b"\x80" * 500])
def test_nothing_is_done_when_the_record_is_whole_and_makes_no_sense(
    device: Interpreter, board: Board, result: bytes
) -> None:
    """Flash that is read as something else, with a check sum that fits."""
    board(3, LED)
    store = device.call("birthkey.keystore:Keystore", str(board.flash))
    twins = device.call("birthkey.keystore:Twins", store)
    [name] = [path.name for path in board.flash.glob("command-*")]
    twins.write(name, twins.read(name, 16, 16 + 512)[:16] + result)
    board.start()
    number, [failed, sentence] = board(3, LED)
    assert (number, failed) == (3, "failed")
    assert sentence.startswith(("ValueError: CBOR: ", "UnicodeError: ", "UnicodeDecodeError: "))
    assert board.done == [LED]
    assert board(4, LED)[0] == 4
