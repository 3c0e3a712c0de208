from __future__ import annotations

import json

import pytest

from birthkey_host.cli import messages as messages_command
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import StoredMessage
from command import Command, grouped
from recording import NOW, Server, data

MOMENT = "2023-11-14T22:13:20Z"  # NOW


class TestMessages:
    @pytest.fixture
    def readings(self, server: Server, enrolled: ReferenceDevice) -> ReferenceDevice:
        for number in range(3):
            server(enrolled, data(enrolled, number))
        return enrolled

    def test_program_reads_cells_with_tabs_between(
        self, birthkey: Command, readings: ReferenceDevice
    ) -> None:
        name = grouped(readings.device_id)
        header, enrol, *lines = birthkey("messages").splitlines()
        assert header == "received\tdevice\tcounter\ttype\tbody"
        assert enrol.startswith(f"{MOMENT}\t{name}\t1:0\tenrol\t{{key: {{1: 2, ")
        assert lines == [f"{MOMENT}\t{name}\t1:{n + 1}\tdata\t{{n: {n}}}" for n in range(3)]

    def test_person_sees_a_table(self, birthkey: Command, readings: ReferenceDevice) -> None:
        drawn = birthkey("messages", env={"FORCE_COLOR": "1", "COLUMNS": "160"})
        assert "┃" in drawn
        rows = [line for line in drawn.splitlines() if "{n: 2}" in line]
        assert len(rows) == 1
        assert grouped(readings.device_id) in rows[0]
        assert "\t" not in drawn

    def test_table_for_a_narrow_terminal_leaves_nothing_out(
        self, birthkey: Command, readings: ReferenceDevice
    ) -> None:
        drawn = birthkey("messages", env={"FORCE_COLOR": "1", "COLUMNS": "60"})
        assert "…" not in drawn

    def test_nothing_is_a_header_alone(self, birthkey: Command) -> None:
        assert birthkey("messages").count("\n") == 1
        assert birthkey("messages", "--json") == ""

    def test_json_lines(self, birthkey: Command, readings: ReferenceDevice) -> None:
        rows = [json.loads(line) for line in birthkey("messages", "--json").splitlines()]
        assert [row["type"] for row in rows] == ["enrol", "data", "data", "data"]
        assert rows[-1] == {
            "position": 4,
            "received": MOMENT,
            "device": readings.device_id.hex(),
            "boot": 1,
            "sequence": 3,
            "type": "data",
            "body": {"n": 2},
        }

    def test_limit_keeps_the_last(self, birthkey: Command, readings: ReferenceDevice) -> None:
        lines = birthkey("messages", "--limit", "2").splitlines()[1:]
        assert [line.split("\t")[2] for line in lines] == ["1:2", "1:3"]

    def test_program_goes_on_where_it_stopped(
        self, birthkey: Command, server: Server, readings: ReferenceDevice
    ) -> None:
        def positions(*options: str) -> list[int]:
            lines = birthkey("messages", "--json", *options).splitlines()
            return [json.loads(line)["position"] for line in lines]

        assert positions("--after", "0", "--limit", "3") == [1, 2, 3]
        assert positions("--after", "3") == [4]
        assert positions("--after", "4") == []
        server.registry.delete(readings.device_id, who="ada", why="", now=NOW)
        other = ReferenceDevice.generate(readings.server_public)
        server.registry.approve(other.device_id, who="ada", why="", now=NOW)
        server.enrol(other)
        assert positions("--after", "4") == positions("--after", "0") == [5]
        assert positions("--after", "0", "--device", other.device_id.hex()) == [5]

    def test_all_after_a_position(
        self, birthkey: Command, readings: ReferenceDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(messages_command, "LAST", 2)
        assert len(birthkey("messages", "--json").splitlines()) == 2
        assert len(birthkey("messages", "--json", "--after", "0").splitlines()) == 4

    @pytest.mark.parametrize("options", [[], ["--follow"], ["--json"]])
    def test_position_that_was_never_reached(
        self, birthkey: Command, readings: ReferenceDevice, options: list[str]
    ) -> None:
        sentence = birthkey.fails("messages", "--after", "5", *options)
        assert sentence.startswith("the last position of this registry is 4, and 5 was asked for")

    def test_limit_and_position_of_what_has_no_end(self, birthkey: Command) -> None:
        birthkey.fails("messages", "--follow", "--after", "1", "--limit", "1", code=2)

    def test_one_device(self, birthkey: Command, server: Server, readings: ReferenceDevice) -> None:
        other = ReferenceDevice.generate(readings.server_public)
        server.registry.approve(other.device_id, who="ada", why="", now=NOW)
        server.enrol(other)
        assert len(birthkey("messages", "--json").splitlines()) == 5
        only = ("messages", "--json", "--device", other.device_id.hex())
        assert len(birthkey(*only).splitlines()) == 1

    def test_follow_prints_what_comes_until_interrupted(
        self,
        birthkey: Command,
        server: Server,
        readings: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        arriving = iter([2, 0, 1])

        def wait(seconds: float) -> None:
            try:
                number = next(arriving)
            except StopIteration:
                raise KeyboardInterrupt from None
            for _ in range(number):
                server(readings, data(readings))

        monkeypatch.setattr(messages_command.time, "sleep", wait)
        lines = birthkey("messages", "--follow", "--limit", "1").splitlines()
        assert [line.split("  ")[2] for line in lines] == ["1:3", "1:4", "1:5", "1:6"]

    @pytest.mark.parametrize("options", [["--json"], [], ["--json", "--after", "0"]], ids=" ".join)
    def test_part_does_not_pass_for_all(
        self,
        birthkey: Command,
        readings: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
    ) -> None:
        plain, printed = messages_command._decode, 0

        def interrupted(row: StoredMessage) -> object:
            nonlocal printed
            printed += 1
            if printed == 3:
                raise KeyboardInterrupt
            return plain(row)

        monkeypatch.setattr(messages_command, "_decode", interrupted)
        result = birthkey.run("messages", *options)
        assert result.exit_code == 130
        assert result.stderr == "birthkey: stopped before all was printed\n"

    def test_follow_misses_nothing_when_messages_are_deleted(
        self,
        birthkey: Command,
        server: Server,
        readings: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = ReferenceDevice.generate(readings.server_public)
        server.registry.approve(other.device_id, who="ada", why="", now=NOW)
        turns = iter(range(3))

        def wait(seconds: float) -> None:
            match next(turns):
                case 0:
                    server.registry.delete(readings.device_id, who="ada", why="", now=NOW)
                    server.enrol(other)
                case 1:
                    server.registry.prune(None, before=NOW + 1, who="ada", now=NOW)
                    server(other, data(other))
                case _:
                    raise KeyboardInterrupt

        monkeypatch.setattr(messages_command.time, "sleep", wait)
        lines = birthkey("messages", "--follow").splitlines()
        assert [line.split("  ")[2] for line in lines][4:] == ["1:0", "1:1"]

    def test_follow_notices_a_backup_that_was_put_back(
        self,
        birthkey: Command,
        server: Server,
        readings: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def put_back(seconds: float) -> None:
            with server.registry._engine.begin() as connection:
                connection.exec_driver_sql("DELETE FROM messages WHERE number > 2")
                connection.exec_driver_sql("UPDATE registry SET position = 2")

        monkeypatch.setattr(messages_command.time, "sleep", put_back)
        result = birthkey.run("messages", "--follow")
        assert result.exit_code == 1
        assert len(result.stdout.splitlines()) == 4
        assert "the last position of this registry is 2, and 4 was asked for" in result.stderr

    def test_hostile_body_is_harmless(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        server(enrolled, enrolled.message(Type.DATA, {"\x1b[2J\n": "\x9b[red]\u202e"}))
        for option in ([], ["--json"]):
            *_, line = birthkey("messages", *option).splitlines()
            assert line.replace("\t", "").isprintable()
            assert "[red]" in line
        drawn = birthkey("messages", env={"FORCE_COLOR": "1", "COLUMNS": "200"})
        assert "[red]" in drawn
        assert "[2J" in drawn  # escaped: without its escape character
        assert "\x1b[2J" not in drawn

    def test_damaged_message(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        with server.registry._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE messages SET message = x'ff'")
        sentence = birthkey.fails("messages", "--json")
        assert sentence.startswith("message 1 of the registry is damaged: ")
