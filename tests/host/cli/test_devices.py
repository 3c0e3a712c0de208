from __future__ import annotations

import json

import pytest

from birthkey_host.message import Message, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from command import ADA, Command, grouped
from recording import NOW, Server, data, execute

MOMENT = "2023-11-14T22:13:20Z"  # NOW


class TestDevices:
    def test_nobody(self, birthkey: Command) -> None:
        assert birthkey("devices") == "id\tstate\tlabel\tboard\tfirmware\tlast seen\n"
        assert json.loads(birthkey("devices", "--json")) == []

    def test_table(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        name = grouped(enrolled.device_id)
        assert birthkey("devices").splitlines()[1:] == [f"{name}\tactive\t-\tpico\t1.0\t{MOMENT}"]

    def test_json(self, birthkey: Command, server: Server, board: ReferenceDevice) -> None:
        server.enrol(board)
        assert json.loads(birthkey("devices", "--json")) == [
            {
                "id": board.device_id.hex(),
                "state": "pending",
                "label": None,
                "board": "pico",
                "firmware": "1.0",
                "public_key": board.public.hex(),
                "first_seen": MOMENT,
                "last_seen": None,
                "newest": 0,
                "frames": 0,
                "bytes": 0,
                "from": None,
                "replaces": None,
            }
        ]

    def test_ids_that_are_awaited(self, birthkey: Command) -> None:
        birthkey("approve", "ab" * 16, "--label", "pump 7")
        assert birthkey("devices").splitlines()[1:] == [
            " ".join(["abab"] * 8) + "\tapproved\tpump 7\t-\t-\t-"
        ]
        assert json.loads(birthkey("devices", "--json")) == [
            {"id": "ab" * 16, "state": "approved", "label": "pump 7", "replaces": None}
        ]

    def test_deleted_devices_are_listed_when_asked_for(
        self, birthkey: Command, enrolled: ReferenceDevice
    ) -> None:
        birthkey("delete", enrolled.device_id.hex())
        assert birthkey("devices").count("\n") == 1
        name = grouped(enrolled.device_id)
        assert birthkey("devices", "--all").splitlines()[1:] == [f"{name}\tdeleted\t-\t-\t-\t-"]

    def test_terminal_draws_a_table_and_reads_no_markup_from_boards(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        server(board, board.enrol("[red]x[/red]", "[/]"))
        drawn = birthkey("devices", env={"FORCE_COLOR": "1", "COLUMNS": "120"})
        assert "┃" in drawn
        assert "[red]x[/red]" in drawn
        assert "[/]" in drawn


class TestShow:
    def test_active_device(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        assert birthkey("show", grouped(enrolled.device_id)).splitlines() == [
            f"id           {grouped(enrolled.device_id)}",
            "state        active",
            "label        -",
            "board        pico",
            "firmware     1.0",
            f"thumbprint   {enrolled.thumbprint.hex()}",
            f"public key   {enrolled.public.hex()}",
            f"first seen   {MOMENT}",
            f"last seen    {MOMENT}",
            "newest boot  1",
            "frames kept  2, 995 bytes",
            f"event        {MOMENT} approved by ada: mine",
            f"event        {MOMENT} enrolled by server: approved before its first contact",
        ]

    def test_awaited_id(self, birthkey: Command) -> None:
        birthkey("approve", "ab" * 16, "--label", "pump 7")
        lines = birthkey("show", "ab" * 16).splitlines()
        assert lines[1:3] == ["state        approved, not seen yet", "label        pump 7"]
        assert lines[3].endswith(f"approved by {ADA}")

    def test_deleted_device(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        birthkey("delete", enrolled.device_id.hex(), "--why", "sold")
        said = birthkey("show", enrolled.device_id.hex())
        assert "\nstate        deleted, deleted 2" in said
        assert "\nboard        -\n" in said
        assert said.endswith(": messages: 1; sold\n")

    def test_both_sides_of_a_replacement(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        old, new = enrolled.device_id, bytes(range(16))
        birthkey("revoke", old.hex())
        birthkey("approve", new.hex(), "--replaces", grouped(old))
        assert f"\nreplaced by  {grouped(new)}\n" in birthkey("show", old.hex())
        assert f"\nreplaces     {grouped(old)}\n" in birthkey("show", new.hex())


class TestEvidence:
    @pytest.fixture
    def twin(self, enrolled: ReferenceDevice) -> ReferenceDevice:
        twin = ReferenceDevice(enrolled.private, enrolled.server_public)
        twin.sequence = 5
        return twin

    def check(
        self, birthkey: Command, server: Server, board: ReferenceDevice, proof: str, *frames: str
    ) -> None:
        """The proof in words, what is in each frame, and that both were checked just now."""
        said = birthkey("show", board.device_id.hex())
        lines = said.splitlines()
        assert "state        cloned" in lines
        [words] = [line for line in lines if line.startswith("proof ")]
        assert words.startswith(f"proof        {proof}")
        for number, frame in enumerate(frames, start=1):
            assert f"frame {number}      {frame}, signature verifies" in lines
        for row in server.registry.evidence(board.device_id):
            assert f"  enc        {row.enc.hex()}" in lines
            assert f"  signed     {row.signed_frame.hex()}" in lines
        assert lines[-1] == "checked now  both signatures verify, and the two frames show it"

    def test_one_boot_two_keys(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        server(twin, data(twin), NOW + 60)
        self.check(
            birthkey,
            server,
            enrolled,
            "one boot number, two encapsulated keys",
            f"received {MOMENT}, boot 1, counter 1:0",
            "received 2023-11-14T22:14:20Z, boot 1, counter 1:5",
        )

    def test_one_counter_two_messages(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        first = data(enrolled)
        server(enrolled, first)
        enrolled.start(2)
        server(enrolled, Message(Type.DATA, first.counter, {"n": 99}))
        self.check(
            birthkey,
            server,
            enrolled,
            "one counter, two messages",
            f"received {MOMENT}, boot 1, counter 1:1",
            f"received {MOMENT}, boot 2, counter 1:1",
        )

    def test_board_that_was_told_of_a_higher_boot(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        twin.start(4)
        server(twin, data(twin))
        server(enrolled, enrolled.message(Type.STATUS, Status(newest=4).body()))
        self.check(
            birthkey,
            server,
            enrolled,
            "a board says that it was told of a boot above its own",
            f"received {MOMENT}, boot 4, counter 4:0",
            f"received {MOMENT}, boot 1, counter 1:1",
        )

    @pytest.mark.parametrize(
        ("change", "what"), [("boot = 7", "boot 7"), ("signed_frame = x'00'", "counter unreadable")]
    )
    def test_changed_evidence_is_said_to_prove_nothing(
        self,
        birthkey: Command,
        server: Server,
        enrolled: ReferenceDevice,
        twin: ReferenceDevice,
        change: str,
        what: str,
    ) -> None:
        server(twin, data(twin))
        execute(server.registry, f"UPDATE evidence SET {change} WHERE place = 1")
        lines = birthkey("show", enrolled.device_id.hex()).splitlines()
        [frame] = [line for line in lines if line.startswith("frame 2")]
        assert what in frame
        assert frame.endswith("signature does NOT verify")
        assert lines[-1].startswith("checked now  this does NOT prove it")
