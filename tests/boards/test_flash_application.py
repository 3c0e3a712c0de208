"""`make flash APP=1`: birthkey beside a firmware that knows nothing of it.

The board is MicroPython's Unix port behind a pty, with littlefs as its root.
"""

from __future__ import annotations

import json
import time
from binascii import b2a_base64
from pathlib import Path

import pytest

from birthkey_host.repl import Repl
from boards.build import dist
from boards.flash.files import Files
from flashing import Flash
from stock_board import StockBoard

from .conftest import MakeBoard


@pytest.fixture
def options(board: StockBoard, key: str) -> list[str]:
    """All that a fresh board needs."""
    server = ["--server", "iot.example.com:7155", "--server-key", key, "--modem", "esp_at"]
    return ["--port", board.port, "--app", *server]


def test_everything_is_written_and_works(
    flash: Flash, board: StockBoard, options: list[str], key: str, folder: Path
) -> None:
    said = flash(*options)
    assert "birthkey  none" in said
    assert "/birthkey.json: written" in said
    files = board.files()
    for name, content in dist.modules().items():
        assert files[f"/lib/{name}"] == content
    assert files["/main.py"] == (dist.FIRMWARE / "main.py").read_bytes()
    assert files["/board.py"] == (folder / "board.py").read_bytes()
    assert json.loads(files["/birthkey.json"]) == {
        "server": "iot.example.com:7155",
        "server_key": key,
        "modem": {"dialect": "esp_at"},
    }
    assert not [path for path in files if path.endswith(".new")]
    with Repl(board.port) as repl:
        assert repl.ask("import board, birthkey\nprint(repr(birthkey.__version__))")
        imports = "import sys\nfrom birthkey import Device, cbor\nsys.modules['cbor2'] = cbor\n"
        assert repl.run(f"{imports}from senml import SenmlPack") == ""


def test_second_run_writes_nothing(flash: Flash, board: StockBoard, options: list[str]) -> None:
    flash(*options)
    before = board.flash.read_bytes()
    said = flash(*options)
    assert "application: 0 files written" in said
    assert "/birthkey.json: the same" in said
    assert said.endswith("everything was there already: nothing was written\n")
    assert board.flash.read_bytes() == before


def test_application_starts_afterwards(
    flash: Flash, boards: MakeBoard, board: StockBoard, options: list[str]
) -> None:
    flash(*options)
    board.close()
    board = boards(main=True)
    assert "nothing was written" in flash("--port", board.port, *options[2:])
    for _ in range(100):
        if b"stopped: there is no modem" in board.output:
            break
        time.sleep(0.05)
    assert b"stopped: there is no modem" in board.output


@pytest.mark.parametrize("after", [0, 1, 5, 30])
def test_interrupted_run_is_repeated(
    flash: Flash,
    board: StockBoard,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    """Ctrl-C in the middle of a file: what was there before is whole, and a second run goes on."""
    written = []
    write = Files.write

    def interrupted(self: Files, path: str, data: bytes, *_: object) -> None:
        def progress(count: int) -> None:
            if len(written) == after:
                raise KeyboardInterrupt

        write(self, path, data, progress)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", interrupted)
        assert flash.run(*options).exit_code == 130
    whole = {path: data for path, data in board.files().items() if not path.endswith(".new")}
    assert sorted(whole) == sorted(written)
    said = flash(*options)
    assert f"{len(dist.modules()) + 3 - after} files written, {after} the same" in said
    files = board.files()
    assert all(files[f"/lib/{name}"] == data for name, data in dist.modules().items())
    assert not [path for path in files if path.endswith(".new")]


def test_power_is_cut_in_the_middle(
    flash: Flash, boards: MakeBoard, board: StockBoard, options: list[str], monkeypatch
) -> None:
    write = Files.write

    def cut(self: Files, path: str, data: bytes, *_: object) -> None:
        write(self, path, data, lambda count: path.endswith("device.mpy") and board.close())

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", cut)
        assert "fell silent" in flash.fails(*options)
    again = boards()  # the same flash, switched on
    said = flash("--port", again.port, *options[2:])
    assert "application: 0" not in said
    files = again.files()
    assert all(files[f"/lib/{name}"] == data for name, data in dist.modules().items())


def test_file_that_arrives_changed(
    flash: Flash, board: StockBoard, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the wire or in flash: what the board reads back of it is not what it should be."""

    def noise(data: bytes, newline: bool) -> bytes:
        return b2a_base64(data.replace(b"application that ships", b"application that slips"))

    monkeypatch.setattr("boards.flash.files.b2a_base64", noise)
    sentence = flash.fails(*options)
    assert sentence == "the board's flash did not keep /main.py as it was written"
    assert "/main.py" not in board.files()


def test_sources_that_would_hide_the_bytecode_go(
    flash: Flash, board: StockBoard, options: list[str]
) -> None:
    with Repl(board.port) as repl:
        files = Files(repl)
        files.write("/lib/birthkey/device.py", b"raise ValueError('old')\n")
        files.write("/lib/birthkey/gone/old.mpy", b"M")
        files.write("/lib/other/mine.py", b"x = 1\n")
    flash(*options)
    kept = board.files()
    assert "/lib/birthkey/device.py" not in kept
    assert "/lib/birthkey/gone/old.mpy" not in kept
    assert kept["/lib/other/mine.py"] == b"x = 1\n"


def test_own_program_is_kept_under_another_name(
    flash: Flash, board: StockBoard, options: list[str]
) -> None:
    mine = b"# blinks\nprint('mine')\n"
    with Repl(board.port) as repl:
        Files(repl).write("/main.py", mine)
    assert "the board's own /main.py is kept as /main.py.old" in flash(*options)
    files = board.files()
    assert files["/main.py.old"] == mine
    assert files["/main.py"] == (dist.FIRMWARE / "main.py").read_bytes()


def test_wrong_configuration_stops_it_before_anything_is_written(
    flash: Flash, board: StockBoard, options: list[str]
) -> None:
    sentence = flash.fails(*options, "--claim", "12")
    assert sentence.startswith('"claim" is 32 hex digits')
    assert board.files() == {}


class TestFirmware:
    """What a firmware may lack; `before` takes it away."""

    @pytest.mark.parametrize(
        ("module", "name"), [("hashlib", "sha256"), ("vfs", "VfsLfs2"), ("time", "ticks_ms")]
    )
    def test_module_is_missing(
        self, flash: Flash, boards: MakeBoard, module: str, name: str
    ) -> None:
        before = f"class _Without: mount = lambda *_: []\nsys.modules[{module!r}] = _Without"
        board = boards(before=before)
        assert flash.fails("--port", board.port, "--app") == (
            f"this firmware cannot carry birthkey, it has no {module}.{name}: flash birthkey's own,"
            " make flash BOARD=STOCK without APP=1"
        )

    def test_what_the_board_file_needs_is_missing(
        self, flash: Flash, board: StockBoard, folder: Path
    ) -> None:
        source = (folder / "board.py").read_text()
        (folder / "board.py").write_text(f"{source}\nfrom machine import UART\n")
        sentence = flash.fails("--port", board.port, "--app")
        assert "it has no machine.UART" in sentence

    def test_board_with_fat(self, flash: Flash, boards: MakeBoard) -> None:
        class_ = (
            "class _Ram:\n"
            "    data = bytearray(512 * 64)\n"
            "    def readblocks(self, n, b): b[:] = self.data[n * 512:n * 512 + len(b)]\n"
            "    def writeblocks(self, n, b): self.data[n * 512:n * 512 + len(b)] = b\n"
            "    def ioctl(self, r, a): return {4: 64, 5: 512}.get(r, 0)\n"
        )
        mount = "vfs.VfsFat.mkfs(_Ram())\nvfs.umount('/')\nvfs.mount(vfs.VfsFat(_Ram()), '/')"
        board = boards(before=class_ + mount)
        sentence = flash.fails("--port", board.port, "--app")
        assert sentence.startswith(
            "the board's files are on VfsFat, and an identity needs littlefs"
        )

    def test_old_bytecode(self, flash: Flash, boards: MakeBoard) -> None:
        before = (
            "class _Sys:\n"
            "    def __getattr__(self, name): return getattr(_real, name)\n"
            "    class implementation:\n"
            "        _mpy, _machine, _build = 5, 'linux', ''\n"
            "        def __getitem__(self, at): return ('micropython', (1, 18, 0))[at]\n"
            "    implementation = implementation()\n"
            "_real = sys\n"
            "sys.modules['sys'] = _Sys()"
        )
        board = boards(before=before)
        sentence = flash.fails("--port", board.port, "--app")
        assert sentence.startswith("this MicroPython, 1.18.0, loads bytecode 5 and not 6")

    def test_other_board(self, flash: Flash, board: StockBoard, folder: Path) -> None:
        (folder / "board.json").write_text('{"mcu": "rp2040"}')
        sentence = flash.fails("--port", board.port, "--app")
        assert sentence.endswith("and STOCK is a board with rp2040: say the right BOARD or PORT")
        assert board.files() == {}

    def test_birthkey_is_part_of_the_firmware(
        self, flash: Flash, boards: MakeBoard, folder: Path
    ) -> None:
        frozen = "import birthkey\nbirthkey.__file__ = 'birthkey/__init__.py'"
        board = boards(dist.FIRMWARE, folder, before=frozen)
        sentence = flash.fails("--port", board.port, "--app")
        assert sentence.startswith("birthkey is part of this board's firmware")


def test_board_that_is_none(flash: Flash) -> None:
    result = Flash("NOWHERE").run("--port", "/dev/null")
    assert result.exit_code == 2
    assert result.stderr == "flash: there is no board NOWHERE: boards/ has STOCK\n"


class TestOnTheBoard:
    """What the application itself says where a person has copied it by hand."""

    def started(self, boards: MakeBoard, before: str, *names: str) -> StockBoard:
        board = boards()
        with Repl(board.port) as repl:
            files = Files(repl)
            for name in names:
                files.write(f"/{name}", (dist.FIRMWARE / name).read_bytes())
        board.close()
        return boards(main=True, before=before)

    @pytest.mark.parametrize(
        ("before", "missing"),
        [
            ("", "no module named 'board'"),
            (
                "class _Without: pass\nsys.modules['time'] = _Without\nsys.modules['board'] = 1\n"
                "class _B: pass\nsys.modules['birthkey'] = _B",
                "can't import name Device",
            ),
        ],
    )
    def test_something_is_missing(self, boards: MakeBoard, before: str, missing: str) -> None:
        board = self.started(boards, before, "main.py", "application.py")
        assert (
            f"stopped: {missing}: it is missing in this firmware, or not" in board.output.decode()
        )
        assert "Traceback" not in board.output.decode()
