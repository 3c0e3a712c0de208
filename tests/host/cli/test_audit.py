from __future__ import annotations

import json

import pytest

from birthkey_host import events
from birthkey_host.reference_device import ReferenceDevice
from command import Command, grouped
from recording import Server, execute

MOMENT = "2023-11-14T22:13:20Z"  # NOW


class TestPrinted:
    def test_table(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        name = grouped(enrolled.device_id)
        assert birthkey("audit").splitlines() == [
            "number\tat\twho\taction\tdevice\twhy",
            f"1\t{MOMENT}\tada\tapproved\t{name}\tmine",
            f"2\t{MOMENT}\tserver\tenrolled\t{name}\tapproved before its first contact",
        ]

    def test_nothing_happened(self, birthkey: Command) -> None:
        assert birthkey("audit").count("\n") == 1
        assert birthkey("audit", "--json") == ""

    def test_json_lines(self, birthkey: Command, server: Server, enrolled: ReferenceDevice) -> None:
        birthkey("claim", "new")
        rows = [json.loads(line) for line in birthkey("audit", "--json").splitlines()]
        assert rows[0] == {
            "number": 1,
            "at": MOMENT,
            "who": "ada",
            "action": "approved",
            "device": enrolled.device_id.hex(),
            "why": "mine",
            "hash": server.registry.events()[0].hash.hex(),
        }
        assert rows[2]["device"] is None

    def test_one_device(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        birthkey("claim", "new")
        birthkey("approve", "ab" * 16)
        name = enrolled.device_id.hex()
        lines = birthkey("audit", "--device", name).splitlines()[1:]
        assert [line.split("\t")[0] for line in lines] == ["1", "2"]
        rows = birthkey("audit", "--json", "--device", "ab" * 16).splitlines()
        assert [json.loads(row)["number"] for row in rows] == [4]

    def test_beginning_of_an_id_is_not_enough(self, birthkey: Command) -> None:
        assert birthkey.fails("audit", "--device", "abab", code=2).startswith("an id has 32 hex")


class TestVerify:
    def test_whole_chain(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        birthkey("suspend", enrolled.device_id.hex())
        last = events.verify(server.registry.events())
        assert birthkey("audit", "--verify") == (
            f"the chain of 3 events is whole; its last hash is {last.hex()}\n"
        )

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE events SET who = 'eve' WHERE number = 1",
            "UPDATE events SET device_id = NULL WHERE number = 1",
            "DELETE FROM events WHERE number = 1",
        ],
    )
    def test_broken_chain(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice, change: str
    ) -> None:
        execute(server.registry, change)
        for arguments in (["--verify"], ["--verify", "--device", "ab" * 16]):
            sentence = birthkey.fails("audit", *arguments)
            assert sentence.startswith("event ")
            assert "does not continue the chain: it, or what came before it, was" in sentence
