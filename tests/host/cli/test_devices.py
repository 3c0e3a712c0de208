from __future__ import annotations

import json
import time

import pytest

from birthkey_host import events
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import State
from command import Command, grouped
from recording import Server, data

MOMENT = "2023-11-14T22:13:20Z"  # NOW


class TestDevices:
    def test_nobody(self, birthkey: Command) -> None:
        assert birthkey("devices") == "id\tstate\tboard\tfirmware\tlast seen\n"
        assert json.loads(birthkey("devices", "--json")) == []

    def test_table(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        name = grouped(enrolled.device_id)
        assert birthkey("devices").splitlines()[1:] == [f"{name}\tactive\tpico\t1.0\t{MOMENT}"]

    def test_json(self, birthkey: Command, server: Server, board: ReferenceDevice) -> None:
        server.enrol(board)
        assert json.loads(birthkey("devices", "--json")) == [
            {
                "id": board.device_id.hex(),
                "state": "pending",
                "board": "pico",
                "firmware": "1.0",
                "public_key": board.public.hex(),
                "first_seen": MOMENT,
                "last_seen": None,
                "newest": 0,
            }
        ]

    def test_ids_that_are_awaited(self, birthkey: Command) -> None:
        birthkey("approve", "ab" * 16)
        assert birthkey("devices").splitlines()[1:] == [
            " ".join(["abab"] * 8) + "\tapproved\t-\t-\t-"
        ]
        assert json.loads(birthkey("devices", "--json")) == [{"id": "ab" * 16, "state": "approved"}]

    def test_terminal_draws_a_table_and_reads_no_markup_from_boards(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        server(board, board.enrol("[red]x[/red]", "[/]"))
        drawn = birthkey("devices", env={"FORCE_COLOR": "1", "COLUMNS": "120"})
        assert "┃" in drawn
        assert "[red]x[/red]" in drawn
        assert "[/]" in drawn


class TestApprove:
    def test_pending_device(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        server.enrol(board)
        name = grouped(board.device_id)
        said = birthkey("approve", board.device_id.hex(), "--why", "mine", env={"LOGNAME": "ada"})
        assert said == f"{name} is active\n"
        device = server.registry.device(board.device_id)
        assert device is not None
        assert device.state is State.ACTIVE
        event = server.registry.events()[-1]
        assert (event.who, event.why) == ("ada", "mine")
        assert event.at == pytest.approx(time.time(), abs=60)
        events.verify(server.registry.events())

    def test_before_the_first_contact(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        said = birthkey("approve", board.device_id.hex())
        name = grouped(board.device_id)
        assert said == f"{name} is approved, and active from its first contact on\n"
        assert server.enrol(board).stored

    def test_id_in_any_grouping(self, birthkey: Command) -> None:
        digits = "00112233445566778899aabbccddeeff"
        for number, words in enumerate(
            (
                [grouped(bytes.fromhex(digits))],
                grouped(bytes.fromhex(digits)).split(),
                [bytes.fromhex(digits).hex(":")],
                [digits.upper()],
                [digits[:16] + "-" + digits[16:]],
            )
        ):
            if number == 0:
                birthkey("approve", *words)
            else:
                assert birthkey.fails("approve", *words).startswith("it is approved already")

    def test_active_device(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        sentence = birthkey.fails("approve", enrolled.device_id.hex())
        assert sentence == "it is active, and only pending ones wait"

    def test_reason_cannot_carry_control_characters(
        self, birthkey: Command, server: Server
    ) -> None:
        birthkey("approve", "ab" * 16, "--why", "a\x1b[2Jb\ud800")
        assert server.registry.events()[-1].why == "a\\u001b[2Jb\\ud800"


class TestShow:
    def test_active_device(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        assert birthkey("show", grouped(enrolled.device_id)).splitlines() == [
            f"id           {grouped(enrolled.device_id)}",
            "state        active",
            "board        pico",
            "firmware     1.0",
            f"thumbprint   {enrolled.thumbprint.hex()}",
            f"public key   {enrolled.public.hex()}",
            f"first seen   {MOMENT}",
            f"last seen    {MOMENT}",
            "newest boot  1",
            f"event        {MOMENT} approved by ada: mine",
            f"event        {MOMENT} enrolled by server: approved before its first contact",
        ]

    def test_awaited_id(self, birthkey: Command) -> None:
        birthkey("approve", "ab" * 16, env={"LOGNAME": "ada"})
        lines = birthkey("show", "ab" * 16).splitlines()
        assert lines[1] == "state        approved, not seen yet"
        assert lines[2].endswith("approved by ada")

    def test_cloned_device_with_the_evidence(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        twin = ReferenceDevice(enrolled.private, enrolled.server_public)
        twin.sequence = 5
        server(twin, data(twin))
        said = birthkey("show", enrolled.device_id.hex())
        assert "state        cloned\n" in said
        assert "cloned by server: one boot number, two encapsulated keys" in said
        for row in server.registry.evidence(enrolled.device_id):
            assert row.signed_frame.hex() in said
