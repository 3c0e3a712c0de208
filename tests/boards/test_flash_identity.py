"""`make flash` and the identity on a board: it stays, and goes only when its id is typed back."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from birthkey_host.cose import thumbprint
from birthkey_host.factory import prove
from birthkey_host.repl import Repl, ReplError
from boards.build import dist
from boards.flash import identity
from boards.flash.probe import probe
from flashing import Flash
from stock_board import StockBoard

from .conftest import MakeBoard

KEY, BOOT = "/birthkey.id/key", "/birthkey.id/boot"


@pytest.fixture
def board(boards: MakeBoard, folder: Path) -> StockBoard:
    """A board with birthkey, which has made its key and has booted twice."""
    board = boards(dist.FIRMWARE, folder)
    for _ in range(2):
        with Repl(board.port) as repl:
            prove(repl, 0.0)
    return board


@pytest.fixture
def device_id(board: StockBoard) -> bytes:
    return thumbprint(board.files()[KEY][38:102])[:16]


def state(board: StockBoard) -> dict[str, bytes]:
    """The files of the identity."""
    return {path: data for path, data in board.files().items() if path.startswith("/birthkey.id/")}


class TestKept:
    def test_and_shown(self, flash: Flash, board: StockBoard, device_id: bytes) -> None:
        before = state(board)
        said = flash("--port", board.port, "--app")
        shown = device_id.hex(" ", 2)
        assert f"device    {shown}, boot 2\n" in said
        assert f"device {shown} is who it was\n" in said
        assert state(board) == before

    def test_private_key_stays_on_the_board(self, flash: Flash, board: StockBoard) -> None:
        record = board.files()[KEY]
        private, public = record[6:38], record[38:102]
        flash("--port", board.port, "--app")
        flash("--port", board.port, "--erase-identity", "--yes", "--app")
        assert repr(public)[2:-1].encode() in board.output
        for form in (
            private,
            private.hex().encode(),
            repr(private)[2:-1].encode(),
            base64.b64encode(private)[:40],
        ):
            assert form not in board.output

    def test_identity_that_changes_is_noticed(
        self, flash: Flash, board: StockBoard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A firmware that looks elsewhere, or flash that fails: the person is told."""

        def lose(session: object, repl: Repl, found: object) -> None:
            repl.run("import os\nos.rename('/birthkey.id', '/elsewhere')")

        monkeypatch.setattr("boards.flash.session.Session._copy", lose)
        sentence = flash.fails("--port", board.port, "--app")
        assert sentence.startswith("the identity is not the one that the board had before")

    def test_damaged_identity_is_left_as_it_is(self, flash: Flash, board: StockBoard) -> None:
        spoil(board)
        before = state(board)
        said = flash("--port", board.port, "--app")
        assert "device    damaged, boot 2\n" in said
        assert "the identity is damaged, and was before\n" in said
        assert state(board) == before


def spoil(board: StockBoard) -> None:
    """Change a bit of the key's record."""
    with Repl(board.port) as repl:
        repl.run(
            f"raw = bytearray(open({KEY!r}, 'rb').read())\nraw[50] ^= 1\n"
            f"with open({KEY!r}, 'wb') as file:\n file.write(raw)"
        )


class TestErased:
    def test_when_its_id_is_typed_back(
        self, flash: Flash, board: StockBoard, device_id: bytes
    ) -> None:
        with Repl(board.port) as repl:
            repl.run(
                "import os\nos.mkdir('/birthkey.id/spool')\n"
                "open('/birthkey.id/spool/1', 'w').close()"
            )
        typed = device_id.hex(" ", 2).upper()
        said = flash("--port", board.port, "--app", "--erase-identity", answer=f"{typed}\n")
        assert f"identity {device_id.hex()} is erased" in said
        assert state(board) == {}
        with Repl(board.port) as repl:
            assert probe(repl).identity is None
            assert prove(repl, 0.0).device_id != device_id

    @pytest.mark.parametrize("answer", ["", "yes", "0" * 32])
    def test_not_when_anything_else_is_typed(
        self, flash: Flash, board: StockBoard, answer: str
    ) -> None:
        before = board.files()
        arguments = ("--port", board.port, "--app", "--erase-identity")
        result = flash.run(*arguments, answer=f"{answer}\n")
        assert result.exit_code == 1
        if answer:
            assert "that is not its id: nothing was erased" in result.stderr
        assert board.files() == before

    def test_without_asking(self, flash: Flash, board: StockBoard) -> None:
        flash("--port", board.port, "--app", "--erase-identity", "--yes")
        assert state(board) == {}

    def test_when_there_is_none(self, flash: Flash, board: StockBoard) -> None:
        flash("--port", board.port, "--app", "--erase-identity", "--yes")
        said = flash("--port", board.port, "--app", "--erase-identity", "--yes")
        assert "there is no identity to erase" in said

    def test_damaged_one(self, flash: Flash, board: StockBoard) -> None:
        spoil(board)
        arguments = ("--port", board.port, "--app", "--erase-identity")
        assert "identity damaged is erased" in flash(*arguments, answer="damaged\n")
        assert state(board) == {}

    def test_interrupted_in_between(
        self, board: StockBoard, device_id: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever is left can be erased under the same id, or is none."""
        names = sorted(state(board))
        assert names == [BOOT, KEY]
        for stop in range(len(names) + 1):
            with Repl(board.port) as repl:
                found = probe(repl)
                limited = identity._ERASE.replace(
                    "import os\n", f"import os as _os\n{LIMITED.format(stop=stop)}", 1
                )
                monkeypatch.setattr(identity, "_ERASE", limited)
                with pytest.raises(ReplError, match="cut"):
                    identity.erase(repl, found, lambda shown: shown)
                monkeypatch.undo()
                repl.reset()
                found = probe(repl)
                assert found.identity is not None or stop == len(names)
                if found.identity is not None:
                    assert found.identity.device_id == device_id
                    # Not the case that stops a board for ever: booted before, and no key.
                    assert KEY in state(board)


LIMITED = """\
class os:
    left = {stop}
    listdir, stat = _os.listdir, _os.stat
    @classmethod
    def remove(cls, path):
        if not cls.left:
            raise ValueError("cut")
        cls.left -= 1
        _os.remove(path)
    @staticmethod
    def rmdir(path):
        raise ValueError("cut")
"""
