from __future__ import annotations

import time

import pytest

from birthkey_host import erasing, events
from birthkey_host.cli import work
from birthkey_host.message import Reason
from birthkey_host.origins import networks
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import State, Terms
from birthkey_host.schema import Action
from command import ADA, Command, grouped
from recording import NOW, Server, data, refused, state, stored


class TestApprove:
    def test_pending_device(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        server.enrol(board)
        name = grouped(board.device_id)
        said = birthkey("approve", board.device_id.hex(), "--why", "mine")
        assert said == f"{name} is active\n"
        device = server.registry.device(board.device_id)
        assert device is not None
        assert device.state is State.ACTIVE
        event = server.registry.events()[-1]
        assert (event.who, event.why) == (ADA, "mine")
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
        assert sentence == "it is active already"

    @pytest.mark.parametrize("label", ["", "x" * 65, "a\nb"])
    def test_label_that_is_none(self, birthkey: Command, label: str) -> None:
        sentence = birthkey.fails("approve", "ab" * 16, "--label", label, code=2)
        assert sentence == "a label is 1 to 64 characters that can be printed"

    def test_label(self, birthkey: Command, server: Server, board: ReferenceDevice) -> None:
        birthkey("approve", board.device_id.hex(), "--label", "Pumpe Süd")
        server.enrol(board)
        assert "\tactive\tPumpe Süd\tpico\t" in birthkey("devices")

    def test_replacement(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        old = enrolled.device_id.hex()
        new = ReferenceDevice.generate(enrolled.server_public)
        sentence = birthkey.fails("approve", new.device_id.hex(), "--replaces", old)
        assert sentence == (
            f"{old} is active, and only a revoked or cloned device is replaced:"
            f" `birthkey revoke {old}` first"
        )
        birthkey("revoke", old)
        sentence = birthkey.fails("approve", old)
        assert sentence == (
            "it is revoked, and that is for ever: its board has to make a new birth key; then"
            f" `birthkey approve NEW --replaces {old}`"
        )
        birthkey("approve", new.device_id.hex(), "--replaces", old)
        assert server.enrol(new).stored

    def test_beginning_of_the_replaced_id_is_not_enough(self, birthkey: Command) -> None:
        sentence = birthkey.fails("approve", "ab" * 16, "--replaces", "cdef", code=2)
        assert sentence.startswith("an id has 32 hex digits, and this has 4")

    def test_reason_cannot_carry_control_characters(
        self, birthkey: Command, server: Server
    ) -> None:
        birthkey("approve", "ab" * 16, "--why", "a\x1b[2Jb\ud800")
        assert server.registry.events()[-1].why == "a\\u001b[2Jb\\ud800"


class TestSuspend:
    def test_and_what_ends_it(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        name = enrolled.device_id.hex()
        said = birthkey("suspend", name, "--why", "leaks")
        end = f"`birthkey --home {birthkey.home} approve {enrolled.device_id.hex()}`"
        assert said == f"{grouped(enrolled.device_id)} is suspended; {end} ends it\n"
        event = server.registry.events()[-1]
        assert (event.action, event.who, event.why) == (Action.SUSPENDED, ADA, "leaks")
        message = data(enrolled)
        assert server(enrolled, message) == refused(Reason.SUSPENDED, 1)
        sentence = birthkey.fails("suspend", name)
        assert sentence == "it is suspended, and only active devices are suspended"
        birthkey("approve", name)
        assert server(enrolled, message) == stored(1)


class TestRevoke:
    def test_is_for_ever(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        name = enrolled.device_id.hex()
        said = birthkey("revoke", *grouped(enrolled.device_id).split(), "--why", "stolen")
        assert said == f"{grouped(enrolled.device_id)} is revoked, for ever\n"
        event = server.registry.events()[-1]
        assert (event.action, event.who, event.why) == (Action.REVOKED, ADA, "stolen")
        assert server(enrolled, data(enrolled)).reason is Reason.REVOKED
        assert birthkey.fails("revoke", name) == "it is revoked already, and that is for ever"

    def test_id_that_was_not_seen_yet(self, birthkey: Command) -> None:
        birthkey("approve", "ab" * 16)
        sentence = birthkey.fails("revoke", "ab" * 16)
        assert sentence.startswith("it was not seen yet: `birthkey delete ")


class TestDelete:
    def test_messages_go(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        name = enrolled.device_id.hex()
        server(enrolled, data(enrolled))
        said = birthkey("delete", name)
        assert said == f"{grouped(enrolled.device_id)} is deleted, with 2 messages\n"
        assert state(server.registry, enrolled) is State.DELETED
        assert birthkey("messages").count("\n") == 1
        assert birthkey.fails("delete", name) == "it is deleted already"

    def test_interrupted_it_goes_on_when_it_is_asked_again(
        self,
        birthkey: Command,
        server: Server,
        enrolled: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        name = enrolled.device_id.hex()
        for number in range(4):
            server(enrolled, data(enrolled, number))
        monkeypatch.setattr(erasing, "PIECE", 2)

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(work.time, "sleep", interrupt)
            sentence = birthkey.fails("delete", name, code=130)
        assert sentence == "stopped after 2; the same command goes on with the rest"
        assert birthkey("delete", name).endswith("is deleted, with 3 messages\n")

    def test_pauses_leave_the_database_to_servers(
        self,
        birthkey: Command,
        server: Server,
        enrolled: ReferenceDevice,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for number in range(4):
            server(enrolled, data(enrolled, number))
        monkeypatch.setattr(erasing, "PIECE", 2)
        clock = iter(range(0, 1000, 3))
        pauses: list[float] = []
        with monkeypatch.context() as patch:
            patch.setattr(work.time, "monotonic", lambda: next(clock))
            patch.setattr(work.time, "sleep", pauses.append)
            birthkey("delete", enrolled.device_id.hex())
        assert pauses == [6] * 4  # of pieces that took 3 s each

    @pytest.mark.parametrize("command", ["suspend", "revoke", "delete"])
    def test_id_that_nobody_has(self, birthkey: Command, command: str) -> None:
        sentence = birthkey.fails(command, "00" * 16)
        assert sentence == f"there is no device {'00' * 16}; `birthkey devices` lists them"


class TestDeletePending:
    @pytest.fixture
    def waiting(self, server: Server, enrolled: ReferenceDevice) -> list[ReferenceDevice]:
        """At three addresses; one that is active, too."""
        boards = [ReferenceDevice.generate(enrolled.server_public) for _ in range(3)]
        for number, board in enumerate(boards):
            outcome = server.receive(board.frame(board.enrol("pico", "1.0")))
            source = ("192.0.2.1", "192.0.2.2", "2001:db8::1")[number]
            terms = Terms(networks(source))
            at = NOW + number * 86400
            server.registry.record(outcome, policy=server.policy, now=at, terms=terms)
        return boards

    @pytest.mark.parametrize(
        ("options", "said", "left"),
        [
            ((), "3 devices", []),
            (("--before", "2023-11-16"), "2 devices", [2]),
            (("--from", "192.0.2.1"), "1 device", [1, 2]),
            (("--from", "192.0.2.0/24"), "2 devices", [2]),
            (("--from", "2001:db8::/32", "--before", "2023-11-15"), "0 devices", [0, 1, 2]),
        ],
    )
    def test_those_who_wait_are_forgotten(
        self,
        birthkey: Command,
        server: Server,
        waiting: list[ReferenceDevice],
        options: tuple[str, ...],
        said: str,
        left: list[int],
    ) -> None:
        output = birthkey("delete", "--pending", *options, "--why", "spam")
        assert output == f"{said} forgotten that waited for approval\n"
        found = {row.device_id for row in server.registry.devices() if row.state is State.PENDING}
        assert found == {waiting[number].device_id for number in left}
        assert len(server.registry.devices()) == 1 + len(left)
        deleted = [row for row in server.registry.events() if row.action is Action.DELETED]
        assert [(row.who, row.why.endswith("; spam")) for row in deleted] == [(ADA, True)] * (
            len(left) < 3
        )

    def test_where_it_came_from_is_shown(
        self, birthkey: Command, waiting: list[ReferenceDevice]
    ) -> None:
        lines = birthkey("show", waiting[2].device_id.hex()).splitlines()
        assert "came from    2001:0db8:0000:0000::/64" in lines

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ((), "give either the id of a device, or --pending"),
            (("ab" * 16, "--pending"), "give either the id of a device, or --pending"),
            (("ab" * 16, "--before", "2024-01-01"), "--before and --from go with --pending"),
            (("ab" * 16, "--from", "192.0.2.1"), "--before and --from go with --pending"),
            (("--pending", "--before", "soon"), "'soon' is no date like 2026-01-31"),
            (
                ("--pending", "--from", "home"),
                "'home' is no address or network like 192.0.2.0/24 or 2001:db8::/48",
            ),
        ],
    )
    def test_what_makes_no_sense(
        self, birthkey: Command, arguments: tuple[str, ...], sentence: str
    ) -> None:
        assert birthkey.fails("delete", *arguments, code=2) == sentence


class TestPrune:
    def test_all_devices(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        server(enrolled, message, NOW + 86400)
        assert birthkey("prune", "--before", "2023-11-15") == "1 message deleted\n"
        assert birthkey("prune", "--before", "2023-11-16") == "1 message deleted\n"
        assert birthkey("prune", "--before", "2023-11-16") == "0 messages deleted\n"
        assert server(enrolled, message) == refused(Reason.OLD, 1)
        event = server.registry.events()[-2]
        assert (event.action, event.who, event.why) == (
            Action.PRUNED,
            ADA,
            "messages: 1, before 2023-11-15T00:00:00Z",
        )
        events.verify(server.registry.events())

    def test_one_device(self, birthkey: Command, server: Server, enrolled: ReferenceDevice) -> None:
        other = ReferenceDevice.generate(enrolled.server_public)
        server.registry.approve(other.device_id, who="ada", why="", now=NOW)
        server.enrol(other)
        name = grouped(other.device_id)
        said = birthkey("prune", "--before", "2024-01-01", "--device", name)
        assert said == "1 message deleted\n"
        assert [row.device_id for row in server.registry.messages()] == [enrolled.device_id]
        sentence = birthkey.fails("prune", "--before", "2024-01-01", "--device", "00" * 16)
        assert sentence.startswith("there is no device")

    @pytest.mark.parametrize("date", ["", "yesterday", "2024-13-01", "1700000000", "01/02/2024"])
    def test_date_that_is_none(self, birthkey: Command, date: str) -> None:
        sentence = birthkey.fails("prune", "--before", date, code=2)
        assert sentence == f"{date!r} is no date like 2026-01-31"

    def test_date_that_is_yet_to_come(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        assert birthkey.fails("prune", "--before", "9000-01-01", code=2) == (
            "9000-01-01 is yet to come: that would be all messages of all devices. For what was"
            " stored while the clock was ahead, say whose with --device ID"
        )
        assert len(server.registry.messages()) == 1

    def test_what_was_stored_while_the_clock_was_ahead(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        other = ReferenceDevice.generate(enrolled.server_public)
        server.registry.approve(other.device_id, who="ada", why="", now=NOW)
        server.enrol(other)
        server(other, data(other), time.time() + 500 * 86400)
        name = grouped(other.device_id)
        date = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 502 * 86400))
        assert birthkey("prune", "--before", date, "--device", name) == (
            f"2 messages deleted\n{date} is yet to come: all that the device sent until now was"
            " among them\n"
        )
        assert [row.device_id for row in server.registry.messages()] == [enrolled.device_id]
