"""Commands in the registry: ids, states, and what a board's report settles."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from birthkey_host import cbor, commands, events
from birthkey_host.cbor import Value
from birthkey_host.message import Command, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import RegistryError
from birthkey_host.schema import Action
from commanding import END, LED, WHO, hear, queue, report, states
from recording import NOW, Server, count, data, execute

Boards = Callable[[int], list[ReferenceDevice]]


class TestEncode:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"led": True, "text": "ü", "list": [1, None, {"b": b"\0"}], 7: 2**64 - 1},
            {"f": [0.5, 1.0, -0.0, 3.4028234663852886e38, 0.10000000149011612, math.nan, math.inf]},
            {"deep": [[[[1]]]]},
            {"x": "x" * 1018},
            {"x": [0] * 253},
        ],
    )
    def test_what_a_board_can_be_sent(self, body: object) -> None:
        assert commands.encode(body) == cbor.dumps(body)

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ([], "a command is a map"),
            (None, "a command is a map"),
            ("led", "a command is a map"),
            ({"f": 0.1}, "0.1 is none of them; the nearest is 0.10000000149011612"),
            ({"f": [{"g": 1e300}]}, "and 1e\\+300 is none of them\\. An integer"),
            ({"f": 1e-300}, "the nearest is 0.0"),
            ({"i": 2**64}, "an integer must lie"),
            ({"i": {1.5: 1}}, "a map's key is a float"),
            ({"o": object()}, "object has no place"),
            ({"s": "\ud800"}, "not valid Unicode"),
            ({"deep": [[[[[[1]]]]]]}, "nested deeper"),
            ({"x": "x" * 1019}, "the command has 1025 bytes in CBOR; at most 1024 fit"),
            ({"x": [0] * 254}, "the command has 257 items, keys counted; boards take at most 256"),
            ({"x": [{1: 2}] * 85}, "the command has 258 items"),
        ],
    )
    def test_what_none_can(self, body: object, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            commands.encode(body)


class TestQueue:
    def test_ids_rise_from_one_for_each_device(self, server: Server, boards: Boards) -> None:
        one, other = boards(2)
        for board in (one, other):
            server.enrol(board)
        assert [queue(server, one) for _ in range(3)] == [1, 2, 3]
        assert queue(server, other) == 1

    def test_is_an_event(self, server: Server, enrolled: ReferenceDevice) -> None:
        body = {"led": True, "raw": b"\x01"}
        server.registry.command(
            enrolled.device_id, body, expires=END, who="ada", why="dark", now=NOW
        )
        event = server.registry.events()[-1]
        assert (event.action, event.who) == (Action.COMMANDED, "ada")
        assert event.why == 'command 1: {"led":true,"raw":"01"}; dark'
        events.verify(server.registry.events())

    @pytest.mark.parametrize("word", ["pending", "suspended", "revoked", "cloned", "deleted"])
    def test_only_active_devices_take_commands(
        self, server: Server, enrolled: ReferenceDevice, word: str
    ) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        with pytest.raises(RegistryError, match=f"it is {word}, and only active"):
            queue(server, enrolled)
        assert count(server.registry, "commands") == 0
        assert len(server.registry.events()) == 1

    def test_a_device_that_is_not_there(self, server: Server, board: ReferenceDevice) -> None:
        with pytest.raises(RegistryError, match="there is no device"):
            queue(server, board)

    def test_what_no_board_can_be_sent(self, server: Server, enrolled: ReferenceDevice) -> None:
        with pytest.raises(ValueError, match="is none of them"):
            queue(server, enrolled, {"f": 0.1})
        assert count(server.registry, "commands") == 0

    def test_at_most_a_hundred_wait(self, server: Server, enrolled: ReferenceDevice) -> None:
        for _ in range(99):
            queue(server, enrolled)
        queue(server, enrolled, expires=NOW + 1)
        with pytest.raises(RegistryError, match="100 commands wait for it already"):
            queue(server, enrolled)
        server.registry.command(enrolled.device_id, LED, expires=END, now=NOW + 2, **WHO)

    def test_no_id_follows_the_last(self, server: Server, enrolled: ReferenceDevice) -> None:
        report(server, enrolled, 2**64 - 2, None)
        assert queue(server, enrolled) == 2**64 - 1
        with pytest.raises(RegistryError, match="all its command ids are used up"):
            queue(server, enrolled)


class TestDue:
    def test_nothing_without_a_command(self, server: Server, enrolled: ReferenceDevice) -> None:
        assert hear(server, enrolled) is None

    def test_the_same_one_until_a_status_reports_it(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        for number in range(3):
            queue(server, enrolled, {"n": number})
        for _ in range(3):
            assert hear(server, enrolled) == Command(1, {"n": 0})
        assert states(server, enrolled) == ["sent", "queued", "queued"]
        assert report(server, enrolled, 1, "on") == Command(2, {"n": 1})
        assert hear(server, enrolled) == Command(2, {"n": 1})
        assert states(server, enrolled) == ["done", "sent", "queued"]

    def test_with_the_answer_to_a_message_that_comes_again(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        server(enrolled, message)
        queue(server, enrolled)
        verdict = server(enrolled, message)
        assert (verdict.stored, verdict.command) == (False, Command(1, {"led": True}))

    def test_not_behind_the_time_nor_an_enrol(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled)
        question = enrolled.message(Type.STATUS, Status(wants_time=True).body())
        assert server(enrolled, question).command is None
        assert server.enrol(enrolled).command is None
        assert states(server, enrolled) == ["queued"]

    @pytest.mark.parametrize("word", ["pending", "suspended", "revoked", "cloned"])
    def test_not_for_a_device_that_is_not_active(
        self, server: Server, enrolled: ReferenceDevice, word: str
    ) -> None:
        queue(server, enrolled)
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        assert server(enrolled, data(enrolled)).command is None
        assert states(server, enrolled) == ["queued"]

    def test_not_for_the_holder_of_an_earlier_boot(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled)
        execute(server.registry, "UPDATE devices SET newest = 9")
        assert server(enrolled, data(enrolled)).command is None

    def test_another_devices_command_stays_where_it_is(
        self, server: Server, boards: Boards
    ) -> None:
        one, other = boards(2)
        for board in (one, other):
            server.enrol(board)
        queue(server, one)
        assert hear(server, other) is None
        assert hear(server, one) == Command(1, {"led": True})


class TestExpiry:
    def test_one_that_was_never_sent_expires(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled, expires=NOW + 10)
        queue(server, enrolled, {"n": 2})
        assert states(server, enrolled, NOW + 9) == ["queued", "queued"]
        assert states(server, enrolled, NOW + 10) == ["expired", "queued"]
        assert hear(server, enrolled, NOW + 10) == Command(2, {"n": 2})

    def test_one_that_was_sent_has_an_unknown_outcome(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled, expires=NOW + 10)
        hear(server, enrolled)
        assert hear(server, enrolled, NOW + 10) is None
        assert states(server, enrolled) == ["outcome unknown"]

    def test_it_is_closed_for_servers_whose_clock_is_behind_too(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled, expires=NOW + 10)
        queue(server, enrolled, {"n": 2})
        hear(server, enrolled)
        assert hear(server, enrolled, NOW + 11) == Command(2, {"n": 2})
        assert hear(server, enrolled, NOW) == Command(2, {"n": 2})

    def test_a_result_that_comes_later_counts(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled, expires=NOW + 10)
        hear(server, enrolled)
        hear(server, enrolled, NOW + 20)
        report(server, enrolled, 1, "on", NOW + 30)
        assert states(server, enrolled, NOW + 40) == ["done"]

    def test_no_result_makes_one_done_that_was_not_sent(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled, expires=NOW + 10)
        hear(server, enrolled, NOW + 20)
        report(server, enrolled, 1, "on", NOW + 30)
        assert states(server, enrolled, NOW + 40) == ["expired"]


class TestSettle:
    @pytest.mark.parametrize(
        "result", [None, False, 0, 1.5, "on", {"a": [1]}, ["failed", "E: x"], ["no-handler", ""]]
    )
    def test_result_is_kept(self, server: Server, enrolled: ReferenceDevice, result: Value) -> None:
        queue(server, enrolled)
        hear(server, enrolled)
        report(server, enrolled, 1, result, NOW + 5)
        [row] = server.registry.commands(enrolled.device_id)
        assert (row.state, row.closed, row.result) == ("done", NOW + 5, cbor.dumps(result))

    def test_the_first_result_stays(self, server: Server, enrolled: ReferenceDevice) -> None:
        queue(server, enrolled)
        hear(server, enrolled)
        for result in ("first", "second", ["unknown", ""]):
            report(server, enrolled, 1, result)
        [row] = server.registry.commands(enrolled.device_id)
        assert (row.state, row.result) == ("done", cbor.dumps("first"))

    def test_board_that_does_not_know_what_came_of_it(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        queue(server, enrolled)
        queue(server, enrolled)
        hear(server, enrolled)
        assert report(server, enrolled, 1, ["unknown", "begun before"]) == Command(2, {"led": True})
        assert states(server, enrolled) == ["outcome unknown", "sent"]

    def test_all_up_to_the_boards_last_are_closed(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        """As after a restore: the board has done what this database knows nothing of."""
        for number in range(6):
            queue(server, enrolled, {"n": number})
        hear(server, enrolled)
        assert report(server, enrolled, 4, "of another") == Command(5, {"n": 4})
        assert states(server, enrolled) == ["outcome unknown"] * 4 + ["sent", "queued"]
        [*_, fourth, _, _] = server.registry.commands(enrolled.device_id)
        assert fourth.result is None

    def test_ids_go_on_above_the_boards_last(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        report(server, enrolled, 70, None)
        assert queue(server, enrolled) == 71

    def test_a_lower_report_lowers_nothing(self, server: Server, enrolled: ReferenceDevice) -> None:
        report(server, enrolled, 70, None)
        report(server, enrolled, 3, None)
        assert queue(server, enrolled) == 71

    def test_another_devices_report_closes_nothing(self, server: Server, boards: Boards) -> None:
        one, other = boards(2)
        for board in (one, other):
            server.enrol(board)
        queue(server, one)
        hear(server, one)
        report(server, other, 1, "on")
        assert states(server, one) == ["sent"]

    def test_a_report_that_comes_again_settles_nothing_new(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        status = enrolled.message(Type.STATUS, Status(command_result=(5, None)).body())
        assert server(enrolled, status).stored
        execute(server.registry, "UPDATE devices SET command_id = x'0000000000000000'")
        assert not server(enrolled, status).stored
        assert queue(server, enrolled) == 1

    @pytest.mark.parametrize(
        "result", [b"bytes", [], ["on"], ["other", "word"], ["failed", 5], [1, 2], "x" * 510]
    )
    def test_no_result(self, server: Server, enrolled: ReferenceDevice, result: Value) -> None:
        queue(server, enrolled)
        hear(server, enrolled)
        body: Value = {2: [1, result]}
        verdict = server(enrolled, enrolled.message(Type.STATUS, body))
        assert verdict.reason == "malformed"
        assert states(server, enrolled) == ["sent"]


class TestLife:
    def test_tombstone_keeps_the_last_id(self, server: Server, enrolled: ReferenceDevice) -> None:
        for _ in range(3):
            queue(server, enrolled)
        server.registry.delete(enrolled.device_id, now=NOW, **WHO)
        assert count(server.registry, "commands") == 0
        server.registry.approve(enrolled.device_id, now=NOW, **WHO)
        server.enrol(enrolled)
        assert queue(server, enrolled) == 4

    def test_pruning_takes_what_was_over_by_then(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        for _ in range(3):
            queue(server, enrolled)
        hear(server, enrolled)
        report(server, enrolled, 1, None, NOW + 10)
        report(server, enrolled, 2, None, NOW + 30)
        server.registry.prune(enrolled.device_id, before=NOW + 20, who="ada", now=NOW + 40)
        rows = server.registry.commands(enrolled.device_id)
        assert [row.id for row in rows] == [2, 3]
        assert queue(server, enrolled) == 4
