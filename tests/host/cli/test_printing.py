"""What commands write, to whom, and in which encoding."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birthkey_host.cli.printing import Guarded, cell, fitting
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from command import Command
from processes import BIRTHKEY
from recording import Server
from safe_text import HOSTILE, unsafe

ANY = st.text(st.characters(exclude_categories=[]))


class TestCells:
    @pytest.mark.parametrize(
        "text",
        ["=cmd|'/C calc'!A0", "+1+", "-1+1", "@SUM(A1)", "=1", " =1", "--1", "-", "'=1", '"=1"',
         "'", '"a', "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", "-x", "+", "-1e"],
    )  # fmt: skip
    def test_cell_that_a_spreadsheet_would_calculate(self, text: str) -> None:
        assert cell(text) == (text if text == "-" else f"'{text}")

    @pytest.mark.parametrize(
        "text",
        ["-3.5", "-18446744073709551616", "+2", "-1e-45", "3.4028235e+38", "1", "-inf", "nan",
         "-0.0", "a=1", "{n: -1}", "pump 7", "", "a'b", "(=1)"],
    )  # fmt: skip
    def test_number_stays_a_number_and_text_text(self, text: str) -> None:
        assert cell(text) == text

    @pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\u200b=1"])
    def test_what_hides_before_a_formula_is_named(self, text: str) -> None:
        assert cell(text).startswith("\\u")

    @given(ANY)
    def test_program_gets_the_text_back(self, text: str) -> None:
        shown = cell(text)
        assert unsafe(shown) == []
        if unsafe(text) == []:
            assert shown.removeprefix("'") == text or shown == text
            assert (shown == text) or text[:1] not in "'" or shown == f"'{text}"

    @given(st.lists(ANY, min_size=1, max_size=5))
    def test_spreadsheet_sees_the_cells_that_there_are(self, texts: list[str]) -> None:
        line = "\t".join(map(cell, texts))
        [row] = csv.reader(io.StringIO(line), delimiter="\t") if line else [[""]]
        assert row == [cell(text) for text in texts]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "é €😀"), ("latin-1", r"é \u20ac\U0001f600"), ("ascii", r"\u00e9 \u20ac\U0001f600"),
     ("cp1252", r"é €\U0001f600"), (None, "é €😀")],
)  # fmt: skip
def test_letter_that_an_encoding_lacks_is_named(encoding: str | None, shown: str) -> None:
    assert fitting("é €😀", encoding) == shown


class TestGuarded:
    @given(ANY, st.sampled_from(["utf-8", "latin-1", "ascii", "iso8859-15"]))
    def test_nothing_unsafe_comes_through(self, text: str, encoding: str) -> None:
        raw = io.BytesIO()
        inner = io.TextIOWrapper(raw, encoding=encoding, newline="")
        stream = Guarded(inner)
        assert stream.write(text) == len(text)
        stream.flush()
        written = raw.getvalue().decode(encoding)
        assert unsafe(written.replace("\n", "").replace("\t", "")) == []
        assert written.count("\n") == text.count("\n")
        assert written.count("\t") == text.count("\t")

    def test_bytes_are_none_of_its_business(self) -> None:
        with pytest.raises(TypeError):
            Guarded(io.StringIO()).write(b"")  # type: ignore[arg-type]


@pytest.fixture
def talking(server: Server, enrolled: ReferenceDevice) -> ReferenceDevice:
    """A board that has said all that is not to be seen."""
    text = "é€😀 " + HOSTILE
    server(enrolled, enrolled.message(Type.DATA, {text: text}))
    return enrolled


DRIVER = """
import json, sys
from birthkey_host.cli import app
from birthkey_host.cli.printing import guard
guard()
for arguments in json.loads(sys.argv[1]):
    print("-----", flush=True)
    try:
        app(arguments, prog_name="birthkey")
    except SystemExit as end:
        print("ended", end.code, flush=True)
"""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "cp437"])
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_every_command_goes_to_its_end_in_any_encoding(
    birthkey: Command,
    talking: ReferenceDevice,
    tmp_path: Path,
    encoding: str,
    terminal: bool,
) -> None:
    name = talking.device_id.hex()
    expected = {
        ("messages",): 0,
        ("messages", "--json"): 0,
        ("devices",): 0,
        ("show", name): 0,
        ("audit",): 0,
        ("--help",): 0,
        ("inspect", talking.message(Type.DATA, {"😀\u202e": "€"}).encode().hex()): 0,
        ("inspect", "\udcff\x1b\u202e"): 2,
        ("serve", "--policy", "\udcff\u20ac\x1b"): 2,
        ("\udcff\x1b[2J\u202e",): 2,
        ("--\udcff\x1b[2J\u202e",): 2,
        ("--home", f"{tmp_path}/\udcff\u20ac\x1b\n", "messages"): 1,
        ("--home", f"{tmp_path}/\udcfe\u20ac\x1b\n", "init"): 0,
    }
    home = ["--home", str(birthkey.home)]
    lines = json.dumps([home + list(arguments) for arguments in expected])
    code, written = run([sys.executable, "-c", DRIVER, lines], encoding, terminal=terminal)
    said = written.decode(encoding)
    assert code == 0, said
    if terminal:
        said = re.sub(r"\x1b\[[0-9;]*m", "", said.replace("\r\n", "\n"))
        assert ("┃" if encoding == "utf-8" else "|") in said
    assert unsafe(re.sub("[\n\t]", "", said)) == []
    ends = re.findall("^ended (.*)$", said, re.MULTILINE)
    assert ends == [str(code) for code in expected.values()]


def test_names_of_files_pass_the_guard(tmp_path: Path) -> None:
    """The command as it is installed; what it says of a path is escaped on its way out alone."""
    home = f"{tmp_path}/\udcfe\u20ac\u202e"
    code, written = run([BIRTHKEY, "--home", home, "init"], "latin-1", terminal=False)
    assert code == 0, written
    assert rb"Keep a copy of " in written
    assert rb"/\udcfe\u20ac\u202e" in written


def run(command: list[str], encoding: str, *, terminal: bool) -> tuple[int, bytes]:
    """Exit code, and what it wrote to both streams, at a terminal or into a pipe."""
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "COLUMNS": "200"}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        tty.setraw(theirs)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:  # so a terminal ends
                break
            if not more:
                break
            written += more
        return process.wait(30), written
    finally:
        process.kill()
        process.wait()
        os.close(ours)
