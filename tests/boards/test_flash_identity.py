"""`make flash` and the identity on a board: it stays, and goes only when its id is typed back."""

from __future__ import annotations

import base64
from dataclasses import replace
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

FOLDERS = ("/birthkey.id", "/birthkey.id/copy")
KEY = "/birthkey.id/key"
NOTES = {f"{folder}/erased" for folder in FOLDERS}


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

    def test_one_damaged_copy_is_no_damage(
        self, flash: Flash, board: StockBoard, device_id: bytes
    ) -> None:
        spoil(board, FOLDERS[0])
        said = flash("--port", board.port, "--app")
        assert f"device    {device_id.hex(' ', 2)}, boot 2\n" in said


def spoil(board: StockBoard, *folders: str) -> None:
    """Change a bit of the key's record, in both copies or in those of these folders."""
    with Repl(board.port) as repl:
        for folder in folders or FOLDERS:
            repl.run(
                f"raw = bytearray(open('{folder}/key', 'rb').read())\nraw[50] ^= 1\n"
                f"with open('{folder}/key', 'wb') as file:\n file.write(raw)"
            )


class TestErased:
    def test_when_its_id_is_typed_back(
        self, flash: Flash, board: StockBoard, device_id: bytes
    ) -> None:
        with Repl(board.port) as repl:
            repl.run(
                "import os\nos.mkdir('/birthkey.id/spool-00000000')\n"
                "open('/birthkey.id/spool-00000000/1', 'w').close()"
            )
        typed = device_id.hex(" ", 2).upper()
        said = flash("--port", board.port, "--app", "--erase-identity", answer=f"{typed}\n")
        assert f"identity {device_id.hex()} is erased" in said
        assert set(state(board)) == NOTES
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
        assert set(state(board)) == NOTES

    def test_when_there_is_none(self, flash: Flash, board: StockBoard) -> None:
        flash("--port", board.port, "--app", "--erase-identity", "--yes")
        said = flash("--port", board.port, "--app", "--erase-identity", "--yes")
        assert "there is no identity to erase" in said

    def test_damaged_one(self, flash: Flash, board: StockBoard) -> None:
        spoil(board)
        arguments = ("--port", board.port, "--app", "--erase-identity")
        assert "identity damaged is erased" in flash(*arguments, answer="damaged\n")
        assert set(state(board)) == NOTES
        with Repl(board.port) as repl:
            assert prove(repl, 0.0)

    def test_one_that_damage_has_hidden(self, flash: Flash, board: StockBoard) -> None:
        with Repl(board.port) as repl:
            repl.run(f"import os\nfor folder in {FOLDERS}:\n os.remove(folder + '/key')")
        arguments = ("--port", board.port, "--app", "--erase-identity")
        assert "device    damaged, boot 2\n" in flash("--port", board.port, "--app")
        assert "identity damaged is erased" in flash(*arguments, answer="damaged\n")
        with Repl(board.port) as repl:
            assert probe(repl).identity is None
            assert prove(repl, 0.0)

    def test_without_birthkey_on_the_board(self, board: StockBoard) -> None:
        with Repl(board.port) as repl:
            found = replace(probe(repl), birthkey=None)
            with pytest.raises(identity.IdentityError, match="no birthkey that could erase it"):
                identity.erase(repl, found, None)

    def test_interrupted_in_between(self, board: StockBoard, device_id: bytes) -> None:
        """Whatever is left can be erased under the same id, or is none."""
        before = board.files()
        shown = []
        for stop in range(20):
            put_back(board, before)
            with Repl(board.port) as repl:
                found = probe(repl)
                assert found.identity and found.identity.device_id == device_id
                repl.run(LIMITED.format(stop=stop))
                error = ""
                try:
                    identity.erase(repl, found, lambda shown: shown)
                except ReplError as raised:
                    error = str(raised)
                assert not error or "cut" in error
                repl.reset()
                left = probe(repl).identity
                shown.append(None if left is None else left.device_id)
            if not error:
                break
        assert not error
        gone = shown.index(None)
        assert 0 < gone < len(shown) - 1
        assert shown == [device_id] * gone + [None] * (len(shown) - gone)


def put_back(board: StockBoard, files: dict[str, bytes]) -> None:
    with Repl(board.port) as repl:
        for path in NOTES:
            repl.run(f"import os\ntry:\n os.remove({path!r})\nexcept OSError:\n pass")
        for path, content in files.items():
            if path.startswith(FOLDERS[0]):
                repl.run(f"with open({path!r}, 'wb') as file:\n file.write({content!r})")


LIMITED = """\
import os as _os
from birthkey import keystore
left = {stop}
class Limited:
    mkdir, rmdir, statvfs = _os.mkdir, _os.rmdir, _os.statvfs
    @staticmethod
    def remove(path):
        spend()
        _os.remove(path)
    @staticmethod
    def rename(old, new):
        spend()
        _os.rename(old, new)
def spend():
    global left
    if not left:
        raise ValueError("cut")
    left -= 1
keystore.os = Limited
"""
