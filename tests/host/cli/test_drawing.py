"""Tables at a terminal, and lists that have no end: nothing is cut off, and nothing is kept."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from birthkey_host import paging
from birthkey_host.cli import drawing
from birthkey_host.cli.drawing import draw, fitted
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.schema import RegistryError
from command import Command, grouped
from recording import NOW, Server, execute

ID = "0123 4567 89ab cdef 0123 4567 89ab cdef"

texts = st.text(st.characters(exclude_categories=["C", "Z", "M"]) | st.just(" "), max_size=40)


def terminal(width: int, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding)
    return Console(file=file, force_terminal=True, color_system=None, width=width)


def drawn(console: Console, header: list[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    draw(console, header, rows)
    file = console.file
    assert isinstance(file, io.TextIOWrapper)
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(file.encoding)


def columns(text: str) -> list[str]:
    """What stands in each column, line by line, without spaces."""
    rows = [re.split("[│┃]", line)[1:-1] for line in text.splitlines() if line[0] in "│┃"]
    return ["".join(column).replace(" ", "") for column in zip(*rows, strict=True)]


class TestDraw:
    def test_what_fits(self) -> None:
        assert drawn(terminal(40), ["id", "label"], [["a", "Pump 7"], ["bb", "泵"]]) == (
            "┏━━━━┳━━━━━━━━┓\n"
            "┃ id ┃ label  ┃\n"
            "┡━━━━╇━━━━━━━━┩\n"
            "│ a  │ Pump 7 │\n"
            "│ bb │ 泵     │\n"
            "└────┴────────┘\n"
        )

    def test_nothing(self) -> None:
        assert "┃ id ┃" in drawn(terminal(40), ["id"], [])

    def test_terminal_without_such_letters(self) -> None:
        assert drawn(terminal(40, "ascii"), ["id"], [["a"]]).isascii()

    @given(
        rows=st.lists(st.tuples(texts, texts, texts).map(list), max_size=5),
        width=st.integers(25, 90),
    )
    def test_nothing_is_cut_off_and_no_line_is_too_long(
        self, rows: list[list[str]], width: int
    ) -> None:
        rows = [[re.sub("[│┃]", "", text) for text in row] for row in rows]
        header = ["id", "label", "why"]
        said = drawn(terminal(width), header, rows)
        lines = said.splitlines()
        assert {cell_len(line) for line in lines} == {cell_len(lines[0])}
        assert cell_len(lines[0]) <= width
        wanted = ["".join(column).replace(" ", "") for column in zip(header, *rows, strict=True)]
        assert columns(said) == wanted

    def test_an_id_stays_on_its_line_while_the_others_can_make_room(self) -> None:
        said = drawn(terminal(70), ["id", "label"], [[ID, "a long label " * 5]])
        assert f"│ {ID} │" in said

    def test_an_id_is_broken_between_its_groups(self) -> None:
        said = drawn(terminal(40), ["id", "label"], [[ID, "pump"]])
        assert [line.split("│")[1].strip() for line in said.splitlines() if "│" in line] == [
            ID[:24],
            ID[25:],
        ]

    def test_long_table_comes_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drawing, "PIECE", 2)
        for count, pieces in ((2, 1), (3, 2), (4, 2), (5, 3)):
            said = drawn(terminal(40), ["n"], ([str(n)] for n in range(count)))
            assert said.count("┃ n ┃") == said.count("└───┘") == pieces
            assert re.findall("│ ([0-9]) │", said) == [str(n) for n in range(count)]

    def test_no_more_than_a_piece_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drawing, "PIECE", 10)
        console = terminal(40)
        file = console.file
        assert isinstance(file, io.TextIOWrapper)

        def rows() -> Iterator[list[str]]:
            for number in range(1000):
                file.flush()
                assert isinstance(file.buffer, io.BytesIO)
                said = file.buffer.getvalue().decode()
                assert number <= 11 or f"│ {number - 12:3} │" in said
                yield [f"{number:3}"]

        draw(console, ["n"], rows())

    def test_ten_thousand_rows_take_a_moment(self) -> None:
        begun = time.process_time()
        drawn(terminal(120), ["id", "label"], ([ID, f"pump {n}"] for n in range(10_000)))
        assert time.process_time() - begun < 2  # with a library's table 4 and more


@pytest.mark.parametrize("room", [0, 3, 20, 50, 61, 200])
def test_no_column_vanishes(room: int) -> None:
    widths = fitted(["id", "a", "b"], [[ID, "x" * 30, "y"]], room)
    assert min(widths) >= 1
    assert sum(widths) <= max(room, 3)


class TestPages:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paging, "PAGE", 3)

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
    def test_devices_and_approvals_made_at_one_time(
        self, server: Server, board: ReferenceDevice, count: int
    ) -> None:
        for number in range(count):
            each = ReferenceDevice(bytes(31) + bytes([number + 10]), board.server_public)
            assert server.enrol(each)
            now = NOW + number // 2
            server.registry.approve(bytes([number] * 16), who="ada", why="", now=now)
        found = [row.device_id for row in server.registry.each_device()]
        assert found == [row.device_id for row in server.registry.devices()]
        assert len(found) == count
        found = [row.device_id for row in server.registry.each_approval()]
        assert found == [bytes([number] * 16) for number in range(count)]

    def test_events_commands_claims_and_keys(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        registry, identity = server.registry, enrolled.device_id
        for number in range(7):
            registry.command(identity, {"n": number}, expires=NOW + 1, who="ada", why="", now=NOW)
            registry.ban(bytes([number] * 32), who="ada", why="", now=NOW + number)
        registry.issue_claims(7, who="ada", now=NOW)
        assert [row.id for row in registry.each_command(identity)] == [
            row.id for row in registry.commands(identity)
        ]
        for mine in (None, identity):
            numbers = [row.number for row in registry.each_event(mine)]
            assert numbers == [row.number for row in registry.events(mine)]
        assert len(numbers) == 9
        assert len({row.sha256 for row in registry.each_claim()}) == 7
        assert [row.thumbprint[0] for row in registry.each_bad_key()] == list(range(7))
        said = birthkey("audit", "--verify")
        assert said.startswith(f"the chain of {len(registry.events())} events is whole; ")


class TestLists:
    """Each prints what it has read before it reads all."""

    @pytest.fixture
    def filled(self, birthkey: Command, server: Server, enrolled: ReferenceDevice) -> str:
        for number in range(4):
            server.registry.approve(bytes([number] * 16), who="ada", why="", now=NOW)
            each = ReferenceDevice(bytes(31) + bytes([number + 10]), enrolled.server_public)
            server.enrol(each)
            server.registry.ban(bytes([number] * 32), who="ada", why="", now=NOW)
            server.registry.issue_claims(1, who="ada", now=NOW)
            server.registry.command(
                enrolled.device_id, {"n": number}, expires=NOW + 1, who="ada", why="", now=NOW
            )
        return enrolled.device_id.hex()

    @pytest.mark.parametrize("at_terminal", [False, True], ids=["program", "terminal"])
    @pytest.mark.parametrize(
        "arguments",
        [
            ["devices"],
            ["devices", "--json"],
            ["audit"],
            ["audit", "--json"],
            ["claim", "list"],
            ["bad-key", "list"],
            ["show", "ID"],
        ],
        ids=" ".join,
    )
    def test_prints_what_comes(
        self,
        birthkey: Command,
        filled: str,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        at_terminal: bool,
    ) -> None:
        monkeypatch.setattr(paging, "PAGE", 1)
        monkeypatch.setattr(drawing, "PIECE", 1)
        pages = Registry._pages

        def failing(self: Registry, *options: object) -> Iterator[object]:
            rows = pages(self, *options)  # type: ignore[arg-type,var-annotated]
            yield from (row for row, _ in zip(rows, range(3), strict=False))
            raise RegistryError("the disk is gone")

        monkeypatch.setattr(Registry, "_pages", failing)
        monkeypatch.setattr(Registry, "events", None)
        if arguments[0] == "show":  # it looks through the approvals first
            monkeypatch.setattr(Registry, "each_approval", lambda self: iter(()))
        env = {"FORCE_COLOR": "1", "COLUMNS": "200"} if at_terminal else {}
        arguments = [filled if word == "ID" else word for word in arguments]
        result = birthkey.run(*arguments, env=env)
        assert (result.exit_code, result.stderr) == (1, "birthkey: the disk is gone\n")
        lines = [line for line in result.stdout.splitlines() if re.search("[0-9a-f]{4}", line)]
        assert len(lines) >= 2

    def test_json_is_one_array(self, birthkey: Command, filled: str) -> None:
        said = birthkey("devices", "--json")
        rows = json.loads(said)
        assert len(rows) == 9
        assert said == json.dumps(rows, indent=2) + "\n"

    def test_show_of_very_many_events(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        for _ in range(5):
            birthkey("suspend", enrolled.device_id.hex())
            birthkey("approve", enrolled.device_id.hex())
        execute(server.registry, "UPDATE devices SET label = 'hall'")
        said = birthkey("show", grouped(enrolled.device_id))
        assert said.count("\nevent ") == 12
