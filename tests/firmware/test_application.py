"""The shipped application's own decisions, with everything around it played.

What it says on a board, and over a modem, is in test_main.py.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birthkey import KeystoreError, OutboxFull, Refused
from boards.emulated.unix_port import ROOT

application: Any


class Board(types.ModuleType):
    """A board.py whose sensor and modem do what a test wants."""

    def __init__(self, state: Path) -> None:
        super().__init__("board")
        self.STATE, self.CONFIG = str(state), str(state / "birthkey.json")
        self.readings: list[Any] = []
        self.resets: list[str] = []

    def temperature(self) -> float:
        reading = self.readings.pop(0) if self.readings else 21.5
        if isinstance(reading, BaseException):
            raise reading
        return float(reading)

    def reset_modem(self) -> None:
        self.resets.append("modem")

    def reset(self) -> None:
        self.resets.append("board")


class Device:
    """A device whose calls end as a test wants: stored, not, or with an error."""

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.sent: list[Any] = []
        self.enrolled, self.problem, self.queued = True, None, 0
        self.answers = self.damaged = 0

    def send_steps(self, body: Any, wait_ms: int) -> Iterator[None]:
        self.sent.append(body)
        return self._steps()

    def deliver_steps(self, wait_ms: int) -> Iterator[None]:
        return self._steps()

    def _steps(self) -> Iterator[None]:
        yield
        end = self.ends.pop(0) if self.ends else True
        if isinstance(end, BaseException):
            raise end
        self.answers += end
        self.queued = 0 if end else self.queued + 1
        return end


class Watchdog:
    fed = released = 0

    def feed(self) -> None:
        self.fed += 1

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    global application
    board = Board(tmp_path / "state")
    Path(board.STATE).mkdir()
    monkeypatch.setitem(sys.modules, "board", board)
    monkeypatch.syspath_prepend(ROOT / "build" / "mpylib")
    monkeypatch.delitem(sys.modules, "application", raising=False)
    with_cbor = sys.modules.get("cbor2")
    application = importlib.import_module("application")
    monkeypatch.setattr(application.time, "sleep_ms", lambda ms: None, raising=False)
    monkeypatch.setattr(application.sys, "print_exception", print, raising=False)
    yield board
    sys.modules.pop("application", None)
    if with_cbor:
        sys.modules["cbor2"] = with_cbor
    else:
        sys.modules.pop("cbor2", None)


@pytest.fixture
def device() -> Device:
    return Device()


def made(device: Device, count: int, watchdog: Watchdog | None = None) -> Any:
    configuration = {"interval_s": 1, "count": count}
    return application._Application(device, configuration, application._Trouble(), watchdog)


def values(pack: list[dict[Any, Any]]) -> dict[str, Any]:
    """{name: value} of a SenML pack: labels 0, 2 and 3 of RFC 8428 are name, value and text."""
    return {record[0]: record.get(2, record.get(3)) for record in pack}


def test_a_reading_that_cannot_be_made_is_skipped_and_counted(
    board: Board, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    board.readings = [OSError(5, "EIO"), ValueError("nonsense"), 21.0, 22.0]
    made(device, 4).run()
    assert [values(pack) for pack in device.sent] == [
        {"temperature": 21.0, "skipped": 2},
        {"temperature": 22.0},
    ]
    said = capsys.readouterr().out
    assert "reading 1 cannot be made: OSError: " in said
    assert "reading 2 cannot be made: ValueError: nonsense\n" in said


def test_what_was_skipped_is_told_until_it_is_stored(board: Board, device: Device) -> None:
    board.readings = [OSError(5)]
    device.ends = [False, True]
    made(device, 4).run()
    assert [values(pack).get("skipped") for pack in device.sent] == [1, 1, None]


def test_a_full_outbox_ends_nothing(board: Board, device: Device) -> None:
    device.ends = [OutboxFull("no room"), True]
    made(device, 2).run()
    assert len(device.sent) == 2


@pytest.mark.parametrize(("kind", "said"), [(1, "a reading is lost"), (3, "what it said was")])
def test_a_refusal_says_what_was_refused(
    board: Board, device: Device, capsys: pytest.CaptureFixture[str], kind: int, said: str
) -> None:
    device.ends = [Refused("malformed", kind, 1 << 32)]
    made(device, 2).run()
    assert said in capsys.readouterr().out


def test_a_refusal_while_it_only_delivers_ends_nothing(board: Board, device: Device) -> None:
    """Before it has enrolled, and when all readings are made."""
    device.enrolled = False
    steps = device.deliver_steps

    def enrols(body: Any) -> Iterator[None]:
        yield from steps(body)
        device.enrolled = True
        return True

    device.ends = [Refused("malformed", 1, 1 << 32)]
    device.deliver_steps = enrols  # type: ignore[method-assign]
    made(device, 1).run()
    device.ends = [True, Refused("old", 1, 1 << 32), True]
    made(device, 1).run()
    assert len(device.sent) == 2


def test_a_reading_that_no_message_holds_ends_nothing(board: Board, device: Device) -> None:
    device.ends = [ValueError("a message has at most 3800 bytes"), True]
    made(device, 2).run()
    assert [values(pack).get("skipped") for pack in device.sent] == [None, 1]


def test_flash_that_does_not_take_a_reading_is_asked_twice(
    board: Board, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.ends = [KeystoreError("cannot write"), True, *[KeystoreError("cannot write")] * 2, True]
    made(device, 3).run()
    temperatures = [values(pack).get("skipped") for pack in device.sent]
    assert temperatures == [None, None, None, None, 1]
    assert capsys.readouterr().out.count(" lost: ") == 1


def test_a_reset_line_that_fails_ends_nothing(
    board: Board, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(5, "EIO")

    board.reset_modem = fail  # type: ignore[method-assign]
    device.ends = [False] * 7
    made(device, 8).run()
    assert "the modem cannot be reset: OSError: " in capsys.readouterr().out


WHOLE = {
    "server": "localhost:7155",
    "server_key": "00" * 64,
    "modem": {"dialect": "esp_at", "ssid": "net", "password": "secret"},
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("interval_s", "60", "0 to 31536000 seconds"),
        ("interval_s", [1], "0 to 31536000 seconds"),
        ("interval_s", True, "0 to 31536000 seconds"),
        ("interval_s", -5, "0 to 31536000 seconds"),
        ("interval_s", 1e12, "0 to 31536000 seconds"),
        ("interval_s", float("nan"), "0 to 31536000 seconds"),
        ("spool", "20000", "a whole number, 0 to 31536000"),
        ("spool", -1, "a whole number, 0 to 31536000"),
        ("count", "3", "a whole number, 0 to 31536000"),
        ("count", 1.5, "a whole number, 0 to 31536000"),
        ("server", 5, "text"),
        ("server_key", 5, "text"),
        ("backup_key", 5, "text"),
        ("claim", 5, "text"),
        ("ca", ["-----BEGIN"], "text"),
        ("modem", "esp_at", "settings: {...}"),
        ("tls", "yes", "true or false"),
        ("client_certificate", 1, "true or false"),
    ],
)
def test_a_setting_of_another_kind_stops_it(
    board: Board, name: str, value: object, said: str
) -> None:
    Path(board.CONFIG).write_text(json.dumps({**WHOLE, name: value}))
    with pytest.raises(ValueError) as failed:
        application._configuration()
    assert str(failed.value) == f'"{name}" in {board.CONFIG} is {said}'


@pytest.mark.parametrize("text", ["5", "null", "[]", '"server"'])
def test_a_configuration_without_settings_stops_it(board: Board, text: str) -> None:
    Path(board.CONFIG).write_text(text)
    with pytest.raises(ValueError, match="holds no settings"):
        application._configuration()


def test_a_setting_that_is_null_is_left_out(board: Board) -> None:
    Path(board.CONFIG).write_text(json.dumps({**WHOLE, "spool": None, "interval_s": None}))
    assert application._configuration() == WHOLE


def test_an_error_that_cannot_even_be_said_is_skipped(board: Board, device: Device) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    board.readings = [Mute()]
    made(device, 2).run()
    assert len(device.sent) == 1


@pytest.mark.parametrize("reason", ["cloned", "revoked"])
def test_what_no_retry_can_mend_ends_it(board: Board, device: Device, reason: str) -> None:
    device.ends = [Refused(reason, 1, 1 << 32)]
    with pytest.raises(Refused):
        made(device, 2).run()


def test_the_modem_is_reset_when_nothing_comes_of_five_attempts(
    board: Board, device: Device
) -> None:
    device.ends = [False] * 4 + [True] + [False] * 10
    made(device, 15).run()
    assert board.resets == ["modem"] * 2


def test_the_watchdog_is_fed_all_the_time(board: Board, device: Device) -> None:
    """An interval of a second is waited for in pieces."""
    watchdog = Watchdog()
    made(device, 2, watchdog).run()
    assert watchdog.fed >= 2 * 3
    assert watchdog.released == 0


class TestUnforeseen:
    @pytest.fixture
    def run(self, board: Board, device: Device, monkeypatch: pytest.MonkeyPatch) -> Watchdog:
        watchdog = Watchdog()
        configuration = {"interval_s": 1, "count": 2}
        monkeypatch.setattr(application, "_set_up", lambda: (device, configuration))
        monkeypatch.setattr(application, "_watchdog", lambda: watchdog)
        return watchdog

    def test_it_is_kept_told_and_followed_by_a_new_start(
        self, board: Board, device: Device, run: Watchdog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pauses = (10, 20, 40, 80)
        for pause in pauses:
            device.ends = [RuntimeError("all counters\x1b[2J are used up")]
            application.main()
            assert f"the board starts anew in {pause} s\n" in capsys.readouterr().out
        assert board.resets == ["board"] * len(pauses)
        assert run.fed > sum(pauses)
        device.ends = [False, True]
        device.sent.clear()
        application.main()
        trouble = "RuntimeError: all counters?[2J are used up"
        assert [values(pack).get("trouble") for pack in device.sent] == [trouble, trouble]
        assert application._Trouble().times == 0
        assert run.released == len(pauses) + 1

    def test_the_pause_grows_to_an_hour(
        self, board: Board, device: Device, run: Watchdog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(20):
            pause = application._Trouble().keep(MemoryError())
        assert pause == 3600

    def test_a_damaged_note_ends_nothing(self, board: Board, device: Device, run: Watchdog) -> None:
        (Path(board.STATE) / "trouble").write_bytes(b"damaged")
        application.main()
        assert len(device.sent) == 2
        assert board.resets == []

    def test_flash_that_takes_no_note_does_not_keep_it_from_starting_anew(
        self,
        board: Board,
        device: Device,
        run: Watchdog,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def full(self: Any, name: str, payload: bytes) -> None:
            raise KeystoreError("no space left")

        device.ends = [MemoryError()]
        monkeypatch.setattr("birthkey.keystore.Keystore.write", full)
        application.main()
        said = capsys.readouterr().out
        assert "that cannot be kept: " in said
        assert "the board starts anew in 10 s" in said
        assert board.resets == ["board"]

    def test_a_person_at_the_repl_is_let_in(
        self, board: Board, device: Device, run: Watchdog
    ) -> None:
        device.ends = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt):
            application.main()
        assert run.released == 1
        assert board.resets == []

    @pytest.mark.parametrize("lasting", [True, False])
    def test_flash_that_fails_once_does_not_stop_it(
        self,
        board: Board,
        run: Watchdog,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        lasting: bool,
    ) -> None:
        def fails() -> None:
            raise KeystoreError("cannot read key from flash: EIO", lasting)

        monkeypatch.setattr(application, "_set_up", fails)
        application.main()
        said = capsys.readouterr().out
        if lasting:
            assert said == "stopped: cannot read key from flash: EIO\n"
        else:
            assert said == ("cannot read key from flash: EIO\nthe board starts anew in 10 s\n")
        assert board.resets == ([] if lasting else ["board"])

    def test_a_configuration_that_is_wrong_stops_it(
        self,
        board: Board,
        run: Watchdog,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def wrong() -> None:
            raise ValueError("there is no birthkey.json")

        monkeypatch.setattr(application, "_set_up", wrong)
        application.main()
        assert capsys.readouterr().out == "stopped: there is no birthkey.json\n"
        assert board.resets == []
