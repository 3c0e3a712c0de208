"""`birthkey factory` with a board on the bench: MicroPython's Unix port behind a pty."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import segno

from birthkey_host import events
from birthkey_host.bad_keys import PUBLISHED
from birthkey_host.cli.factory import qr_code
from birthkey_host.cose import thumbprint
from birthkey_host.enrolment import Allowlist
from birthkey_host.factory import _CODE
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import State
from birthkey_host.repl import Repl
from birthkey_host.verifier import Verdict
from boards.emulated.unix_port import FIRMWARE
from command import ADA, Command, grouped
from recording import Server
from stock_board import BOARD_PY, StockBoard

MakeBoard = Callable[..., StockBoard]


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[MakeBoard]:
    """Boards with birthkey, each with a flash of its own."""
    made = []

    def make(
        name: str = "bench", *, firmware: Path = FIRMWARE, source: str = BOARD_PY
    ) -> StockBoard:
        folder = tmp_path / f"{name}-board"
        folder.mkdir()
        (folder / "board.py").write_text(source)
        board = StockBoard(tmp_path / name, firmware, folder, main=False)
        made.append(board)
        return board

    yield make
    for board in made:
        board.close()


@pytest.fixture
def bench(make_board: MakeBoard) -> StockBoard:
    return make_board()


def described(birthkey: Command, board: StockBoard, *options: str) -> dict[str, object]:
    fields: dict[str, object] = json.loads(
        birthkey("factory", "--port", board.port, "--json", *options)
    )
    return fields


class TestRegistration:
    def test_line_and_code_for_the_box(self, birthkey: Command, bench: StockBoard) -> None:
        line, code = birthkey("factory", "--port", bench.port, "--label", "Pump 7").split("\n", 1)
        digits = line.removesuffix("  Pump 7")
        assert re.fullmatch("([0-9a-f]{4} ){7}[0-9a-f]{4}", digits)
        identity = bytes.fromhex(digits)
        assert code == qr_code(identity) + "\n"
        assert f"{digits}\tapproved\tPump 7\t" in birthkey("devices")

    def test_again_changes_nothing_and_prints_the_same(
        self, birthkey: Command, bench: StockBoard, server: Server
    ) -> None:
        first = birthkey("factory", "--port", bench.port, "--label", "Pump 7")
        before = server.registry.events()
        assert birthkey("factory", "--port", bench.port) == first
        assert birthkey("factory", "--port", bench.port, "--label", "Pump 7") == first
        assert len(server.registry.events()) == len(before)

    def test_board_is_let_in_by_a_server_that_knows_the_list_alone(
        self, birthkey: Command, bench: StockBoard, server: Server
    ) -> None:
        fields = described(birthkey, bench, "--label", "Pump 7")
        assert (fields["state"], fields["born"]) == ("approved", True)
        identity = bytes.fromhex(str(fields["device"]))
        # The board itself, with its own key, in a later boot than the one of its proof.
        server.policy = Allowlist()
        verdict = enrol(bench, birthkey, server)
        assert (verdict.stored, verdict.newest) == (True, 2)
        device = server.registry.device(identity)
        assert device is not None
        assert (device.state, device.label) == (State.ACTIVE, "Pump 7")
        assert device.public_key.hex() == fields["public_key"]
        fields = described(birthkey, bench)
        assert (fields["state"], fields["born"]) == ("active", False)

    def test_event_says_who_and_why(
        self, birthkey: Command, bench: StockBoard, server: Server
    ) -> None:
        birthkey("factory", "--port", bench.port)
        event = server.registry.events()[-1]
        assert (event.who, event.why) == (ADA, "at the bench")
        assert event.at == pytest.approx(time.time(), abs=60)
        events.verify(server.registry.events())

    def test_every_board_is_another(self, birthkey: Command, make_board: MakeBoard) -> None:
        first, second = (described(birthkey, make_board(name)) for name in ("a", "b"))
        assert first["device"] != second["device"]

    def test_board_that_waits_becomes_active(
        self, birthkey: Command, bench: StockBoard, server: Server
    ) -> None:
        verdict = enrol(bench, birthkey, server)
        assert verdict.reason is Reason.PENDING
        assert described(birthkey, bench)["state"] == "active"

    def test_label_that_is_another(self, birthkey: Command, bench: StockBoard) -> None:
        birthkey("factory", "--port", bench.port, "--label", "Pump 7")
        sentence = birthkey.fails("factory", "--port", bench.port, "--label", "Pump 8")
        assert sentence.endswith(" is registered already, as Pump 7")

    def test_nothing_is_made_when_the_label_is_none(
        self, birthkey: Command, bench: StockBoard
    ) -> None:
        birthkey.fails("factory", "--port", bench.port, "--label", "x" * 65, code=2)
        assert "/birthkey.id/key" not in bench.files()


class TestProof:
    """What a board must not get away with: its firmware is what it runs, whatever that is."""

    @pytest.fixture
    def forger(self, tmp_path: Path, make_board: MakeBoard) -> Callable[[str], StockBoard]:
        """A board whose firmware answers the bench with something else."""

        def make(enrol: str) -> StockBoard:
            package = tmp_path / "forged" / "birthkey"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("")
            (package / "factory.py").write_text(enrol)
            return make_board("forger", firmware=tmp_path / "forged", source='NAME = "forged"\n')

        return make

    def test_no_frame(self, birthkey: Command, forger: Callable[[str], StockBoard]) -> None:
        board = forger("def enrol(board, key):\n    return 1, b''\n")
        assert birthkey.fails("factory", "--port", board.port).endswith("answered what is no proof")

    def test_recorded_proof(self, birthkey: Command, forger: Callable[[str], StockBoard]) -> None:
        """A proof of another time is sealed to a key that nobody has any more."""
        old = ReferenceDevice.generate(ServerKey.generate().public)
        frame = old.frame(old.enrol("pico", "1.0"))
        board = forger(f"def enrol(board, key):\n    return False, {frame!r}\n")
        sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence.startswith("the board's proof is not good: seal: sealed to server ")

    def test_message_that_is_no_enrol(
        self,
        birthkey: Command,
        forger: Callable[[str], StockBoard],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        key = ServerKey.generate()
        monkeypatch.setattr("birthkey_host.factory.ServerKey.generate", lambda: key)
        device = ReferenceDevice.generate(key.public)
        frame = device.frame(device.message(1, {"t": 1}))
        board = forger(f"def enrol(board, key):\n    return False, {frame!r}\n")
        sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence.startswith("the board's proof is not good: no device ")

    def test_key_of_another(
        self,
        birthkey: Command,
        forger: Callable[[str], StockBoard],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whoever knows a public key still cannot enrol it."""
        key = ServerKey.generate()
        monkeypatch.setattr("birthkey_host.factory.ServerKey.generate", lambda: key)
        thief = ReferenceDevice.generate(key.public)
        other = ReferenceDevice.generate(key.public)
        frame = thief.frame(other.enrol("pico", "1.0"))
        board = forger(f"def enrol(board, key):\n    return False, {frame!r}\n")
        sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence.startswith("the board's proof is not good: signature: kid ")


class TestRefusals:
    @pytest.mark.parametrize("end", ["revoked", "cloned"])
    def test_birth_key_that_is_out_for_ever(
        self, birthkey: Command, bench: StockBoard, server: Server, end: str
    ) -> None:
        server.policy = Allowlist()
        name = str(described(birthkey, bench)["device"])
        enrol(bench, birthkey, server)
        if end == "revoked":
            birthkey("revoke", name)
        else:
            clone(bench, birthkey, server)
        sentence = birthkey.fails("factory", "--port", bench.port)
        assert sentence == (
            f"{name} is {end}, and that is for ever: `make flash ERASE_IDENTITY=1`, then"
            f" `birthkey factory --replaces {name}`"
        )

    def test_and_what_replaces_it(
        self, birthkey: Command, make_board: MakeBoard, server: Server
    ) -> None:
        server.policy = Allowlist()
        old = make_board("old")
        name = str(described(birthkey, old, "--label", "Pump 7")["device"])
        enrol(old, birthkey, server)
        birthkey("revoke", name)
        new = make_board("new")
        fields = described(birthkey, new, "--replaces", name)
        assert (fields["state"], fields["label"]) == ("approved", "Pump 7")
        replaced = server.registry.replaced_by(bytes.fromhex(name))
        assert replaced is not None
        assert replaced.hex() == fields["device"]

    def test_suspended_device(self, birthkey: Command, bench: StockBoard, server: Server) -> None:
        name = str(described(birthkey, bench)["device"])
        enrol(bench, birthkey, server)
        birthkey("suspend", name)
        sentence = birthkey.fails("factory", "--port", bench.port)
        assert sentence == f"{name} is suspended: `birthkey approve` ends that"

    def test_key_that_others_know(
        self, birthkey: Command, bench: StockBoard, server: Server
    ) -> None:
        fields = described(birthkey, bench)
        birthkey("bad-key", "add", str(fields["public_key"]))
        sentence = birthkey.fails("factory", "--port", bench.port)
        assert sentence.startswith(f"the key of {fields['device']} is on the list of bad ones")

    def test_published_keys_are_known_too(
        self, birthkey: Command, bench: StockBoard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public = bytes.fromhex(str(described(birthkey, bench)["public_key"]))
        monkeypatch.setitem(PUBLISHED, thumbprint(public), "a book")
        assert "on the list of bad ones" in birthkey.fails("factory", "--port", bench.port)


class TestErrors:
    def test_no_birthkey_on_the_board(self, birthkey: Command, tmp_path: Path) -> None:
        with StockBoard(tmp_path / "stock") as board:
            sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence == (
            "there is no birthkey on the board, or an older one (no module named 'board'):"
            " `make flash` puts it there"
        )

    def test_noise_that_is_none(self, birthkey: Command, make_board: MakeBoard) -> None:
        board = make_board(source=BOARD_PY.replace("entropy.urandom", "bytes"))
        sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence.startswith("the board says: entropy source 'urandom' failed")
        assert "/birthkey.id/key" not in board.files()

    def test_damaged_flash(self, birthkey: Command, make_board: MakeBoard) -> None:
        broken = 'mount(): raise __import__("birthkey").KeystoreError("flash is damaged")'
        board = make_board(source=BOARD_PY.replace("mount():\n    pass", broken))
        sentence = birthkey.fails("factory", "--port", board.port)
        assert sentence == "the board says: flash is damaged"

    def test_port_that_is_busy(self, birthkey: Command, bench: StockBoard) -> None:
        with Repl(bench.port):
            sentence = birthkey.fails("factory", "--port", bench.port)
        assert "another program has it" in sentence

    def test_port_that_is_not_there(self, birthkey: Command) -> None:
        sentence = birthkey.fails("factory", "--port", "/dev/ttyNONE")
        assert sentence.startswith("there is no serial port /dev/ttyNONE; there is ")

    def test_registry_that_is_not_there(self, nothing: Command, bench: StockBoard) -> None:
        assert "`birthkey init` makes it" in nothing.fails("factory", "--port", bench.port)
        assert "/birthkey.id/key" not in bench.files()


def clone(board: StockBoard, birthkey: Command, server: Server) -> None:
    """Two boards with one flash: both start into the same boot."""
    flash = board.flash.read_bytes()
    enrol(board, birthkey, server)
    board.flash.write_bytes(flash)
    assert enrol(board, birthkey, server).reason is Reason.CLONED


def test_code_is_drawn_whole() -> None:
    """Each character is two modules, one above the other; light is what is drawn."""
    identity = bytes(range(16))
    modules = [list(row) for row in segno.make_qr(identity.hex().upper()).matrix_iter(border=4)]
    rows = qr_code(identity).rstrip("\n").split("\n")
    for number, row in enumerate(rows):
        upper = [character not in "█▀" for character in row]
        lower = [character not in "█▄" for character in row]
        assert upper == [bool(module) for module in modules[2 * number]]
        if 2 * number + 1 < len(modules):
            assert lower == [bool(module) for module in modules[2 * number + 1]]
    assert len(rows) == (len(modules) + 1) // 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_code_is_drawn_where_there_are_no_blocks(encoding: str) -> None:
    identity = bytes(range(16))
    modules = [list(row) for row in segno.make_qr(identity.hex().upper()).matrix_iter(border=4)]
    rows = qr_code(identity, encoding).rstrip("\n").split("\n")
    assert [[row[at] == " " for at in range(0, len(row), 2)] for row in rows] == [
        [bool(module) for module in row] for row in modules
    ]
    assert {character for row in rows for character in row} == {" ", "#"}
    assert qr_code(identity, "cp437") == qr_code(identity)


def enrol(board: StockBoard, birthkey: Command, server: Server) -> Verdict:
    key = ServerKey.load(birthkey.home / "server.key")
    return server.record(server.receive(frame_of(board, key)))


def frame_of(board: StockBoard, key: ServerKey) -> bytes:
    """An enrol of the board for the server of that key, as its application sends one."""
    with Repl(board.port) as repl:
        _, frame = repl.ask(f"KEY = {key.public!r}\n{_CODE}")
    return bytes(frame)


def test_grouping_is_that_of_the_other_commands(birthkey: Command, bench: StockBoard) -> None:
    fields = described(birthkey, bench)
    line = birthkey("factory", "--port", bench.port).split("\n")[0]
    assert line == grouped(bytes.fromhex(str(fields["device"])))
