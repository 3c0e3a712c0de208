from __future__ import annotations

import json

import pytest

from birthkey_host.cli import messages as messages_command
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
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
        sentence = birthkey.fails("messages")
        assert sentence.startswith("message 1 of the registry is damaged: ")
