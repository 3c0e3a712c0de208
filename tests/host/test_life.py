"""What people do to devices, and what their boards are told from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from birthkey_host import events
from birthkey_host.enrolment import Allowlist, Claim, Open, Policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError, State
from birthkey_host.schema import Action
from recording import (
    NOW,
    Server,
    count,
    data,
    execute,
    kept,
    refused,
    repeated,
    state,
    stored,
)

Boards = Callable[[int], list[ReferenceDevice]]
ASKED = {"who": "ada", "why": "because", "now": NOW + 1}


def last_event(registry: Registry) -> tuple[Action, str, str, float]:
    """Of a chain that is whole."""
    events.verify(registry.events())
    event = registry.events()[-1]
    return event.action, event.who, event.why, event.at


class TestSuspend:
    def test_board_keeps_what_it_has_until_it_is_approved(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        device = server.registry.suspend(enrolled.device_id, **ASKED)
        assert device.state is State.SUSPENDED
        assert last_event(server.registry) == (Action.SUSPENDED, "ada", "because", NOW + 1)
        message = data(enrolled)
        assert server(enrolled, message) == refused(Reason.SUSPENDED, 1)
        server.registry.approve(enrolled.device_id, **ASKED)
        assert last_event(server.registry)[0] is Action.APPROVED
        assert server(enrolled, message) == stored(1)

    @pytest.mark.parametrize("policy", [Open(), Claim(), Allowlist()])
    def test_no_policy_ends_it(
        self, server: Server, server_key: ServerKey, enrolled: ReferenceDevice, policy: Policy
    ) -> None:
        server.registry.suspend(enrolled.device_id, **ASKED)
        [code] = server.registry.issue_claims(1, who="ada", now=NOW)
        again = Server(server_key, server.registry, policy)
        assert again(enrolled, enrolled.enrol("pico", "1.0", code)).reason is Reason.SUSPENDED

    @pytest.mark.parametrize("word", ["pending", "suspended", "revoked", "cloned"])
    def test_only_of_active_devices(
        self, server: Server, enrolled: ReferenceDevice, word: str
    ) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        with pytest.raises(RegistryError, match=f"it is {word}, and only active"):
            server.registry.suspend(enrolled.device_id, **ASKED)
        assert state(server.registry, enrolled).value == word
        assert len(server.registry.events()) == 1


class TestRevoke:
    @pytest.mark.parametrize("word", ["pending", "active", "suspended"])
    def test_is_for_ever(self, server: Server, enrolled: ReferenceDevice, word: str) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        server.registry.revoke(enrolled.device_id, **ASKED)
        assert last_event(server.registry) == (Action.REVOKED, "ada", "because", NOW + 1)
        enrolled.start(2)
        assert server(enrolled, data(enrolled)) == refused(Reason.REVOKED, 1)
        assert server.enrol(enrolled) == refused(Reason.REVOKED, 1)

    @pytest.mark.parametrize("word", ["revoked", "cloned"])
    def test_only_a_new_key_leads_on(
        self, server: Server, enrolled: ReferenceDevice, word: str
    ) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        with pytest.raises(RegistryError, match=f"approve NEW --replaces {enrolled.kid.hex()}"):
            server.registry.approve(enrolled.device_id, **ASKED)
        with pytest.raises(RegistryError, match=f"it is {word}"):
            server.registry.suspend(enrolled.device_id, **ASKED)
        with pytest.raises(RegistryError, match=f"it is {word} already"):
            server.registry.revoke(enrolled.device_id, **ASKED)
        server.registry.delete(enrolled.device_id, **ASKED)
        with pytest.raises(RegistryError, match=f"it is {word}"):
            server.registry.approve(enrolled.device_id, **ASKED)
        assert server.enrol(enrolled).reason == word
        assert server(enrolled, data(enrolled)).reason == word


class TestNobody:
    @pytest.mark.parametrize("verb", ["suspend", "revoke", "delete"])
    def test_unknown_id(self, registry: Registry, verb: str) -> None:
        with pytest.raises(RegistryError, match="there is no device 00000000"):
            getattr(registry, verb)(bytes(16), **ASKED)
        assert registry.events() == []

    @pytest.mark.parametrize("verb", ["suspend", "revoke"])
    def test_id_that_was_not_seen_yet(self, registry: Registry, verb: str) -> None:
        registry.approve(bytes(16), **ASKED)
        with pytest.raises(RegistryError, match=r"`birthkey delete 0{32}` takes its approval"):
            getattr(registry, verb)(bytes(16), **ASKED)

    def test_active_device_is_not_approved_again(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        with pytest.raises(RegistryError, match="it is active already"):
            server.registry.approve(enrolled.device_id, **ASKED)


class TestDelete:
    @pytest.fixture
    def sent(self, server: Server, enrolled: ReferenceDevice) -> ReferenceDevice:
        """Has stored an enrol and two readings in two boots."""
        server(enrolled, data(enrolled, 1))
        enrolled.start(3)
        server(enrolled, data(enrolled, 2))
        return enrolled

    def test_tombstone_is_all_that_stays(self, server: Server, sent: ReferenceDevice) -> None:
        before = server.registry.device(sent.device_id)
        assert before is not None
        assert server.registry.delete(sent.device_id, **ASKED) == 3
        device = server.registry.device(sent.device_id)
        assert device is not None
        assert (device.thumbprint, device.public_key) == (before.thumbprint, before.public_key)
        assert (device.state, device.newest, device.deleted) == (State.DELETED, 3, NOW + 1)
        assert (device.board, device.firmware, device.label) == ("", "", None)
        assert (device.last_seen, device.frames) == (None, 0)
        assert device.size == kept(server.registry, sent) == 2 * 100  # its floors
        for table in ("messages", "boots", "evidence"):
            assert count(server.registry, table) == 0
        assert last_event(server.registry)[:3] == (Action.DELETED, "ada", "messages: 3; because")
        with pytest.raises(RegistryError, match="it is deleted already"):
            server.registry.delete(sent.device_id, **ASKED)

    def test_device_does_not_come_back_by_itself(
        self, server: Server, server_key: ServerKey, sent: ReferenceDevice
    ) -> None:
        server.registry.delete(sent.device_id, **ASKED)
        assert server(sent, data(sent)) == refused(Reason.UNKNOWN_DEVICE)
        [code] = server.registry.issue_claims(1, who="ada", now=NOW)
        for policy in (Open(), Claim(), Allowlist()):
            again = Server(server_key, server.registry, policy)
            for _ in range(2):
                enrol = sent.enrol("pico", "2.0", code)
                assert again(sent, enrol) == refused(Reason.PENDING, 3)
        assert state(server.registry, sent) is State.DELETED
        assert count(server.registry, "messages") == 0
        [claim] = server.registry.claims()
        assert claim.spent is None

    def test_person_lets_it_in_again(self, server: Server, sent: ReferenceDevice) -> None:
        server.registry.delete(sent.device_id, **ASKED)
        message = data(sent)
        server(sent, sent.enrol("pico", "2.0"))
        device = server.registry.approve(sent.device_id, **ASKED)
        assert device is not None
        assert (device.state, device.deleted, device.firmware) == (State.ACTIVE, None, "2.0")
        assert server(sent, message) == stored(3)

    def test_nothing_that_was_erased_can_be_sent_again(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        messages = [data(enrolled, number) for number in range(3)]
        for message in messages:
            server(enrolled, message)
        enrolled.start(3)
        server(enrolled, data(enrolled))
        server.registry.delete(enrolled.device_id, **ASKED)
        server.registry.approve(enrolled.device_id, **ASKED)
        for message in messages:
            assert server(enrolled, message) == refused(Reason.OLD, 3)
        late = replace(messages[-1], counter=messages[-1].counter + 1)
        assert server(enrolled, late) == stored(3)
        enrolled.start(2)
        assert server(enrolled, data(enrolled)) == refused(Reason.STALE_BOOT, 3)

    def test_one_that_only_waited_may_enrol_again(
        self, strict: Server, board: ReferenceDevice
    ) -> None:
        strict.enrol(board)
        assert strict.registry.delete(board.device_id, **ASKED) == 0
        assert strict.registry.devices() == []
        assert last_event(strict.registry)[0] is Action.DELETED
        assert strict.enrol(board).reason is Reason.PENDING
        assert state(strict.registry, board) is State.PENDING

    def test_approval_is_taken_back(self, strict: Server, board: ReferenceDevice) -> None:
        strict.registry.approve(board.device_id, **ASKED)
        strict.registry.delete(board.device_id, **ASKED)
        assert last_event(strict.registry)[:3] == (Action.DELETED, "ada", "not seen yet; because")
        assert strict.enrol(board).reason is Reason.PENDING

    def test_deleted_device_is_revoked_for_good(
        self, server: Server, sent: ReferenceDevice
    ) -> None:
        server.registry.delete(sent.device_id, **ASKED)
        server.registry.revoke(sent.device_id, **ASKED)
        assert server.enrol(sent) == refused(Reason.REVOKED, 3)
        assert server(sent, data(sent)) == refused(Reason.REVOKED, 3)

    def test_neighbours_are_not_touched(
        self, server: Server, sent: ReferenceDevice, boards: Boards
    ) -> None:
        [neighbour] = boards(1)
        message = data(neighbour)
        server.enrol(neighbour)
        server(neighbour, message)
        server.registry.delete(sent.device_id, **ASKED)
        assert server(neighbour, message) == repeated(1)


class TestReplaces:
    @pytest.fixture
    def old(self, server: Server, enrolled: ReferenceDevice) -> ReferenceDevice:
        execute(server.registry, "UPDATE devices SET label = 'pump 7'")
        server.registry.revoke(enrolled.device_id, **ASKED)
        return enrolled

    def link(self, registry: Registry, new: ReferenceDevice, old: ReferenceDevice) -> None:
        registry.approve(new.device_id, replaces=old.device_id, **ASKED)

    def check(self, registry: Registry, new: ReferenceDevice, old: ReferenceDevice) -> None:
        """New is linked to old and took its label, and both their lives tell of it."""
        device = registry.device(new.device_id)
        assert device is not None
        assert (device.state, device.replaces) == (State.ACTIVE, old.device_id)
        assert device.label == "pump 7"
        assert registry.replaced_by(old.device_id) == new.device_id
        [approved] = [e for e in registry.events(new.device_id) if e.action is Action.APPROVED]
        assert approved.why == f"replaces {old.device_id.hex()}; because"
        replaced = registry.events(old.device_id)[-1]
        assert (replaced.action, replaced.who) == (Action.REPLACED, "ada")
        assert replaced.why == f"by {new.device_id.hex()}"
        events.verify(registry.events())

    def test_key_that_was_not_seen_yet(
        self, server: Server, old: ReferenceDevice, boards: Boards
    ) -> None:
        [new] = boards(1)
        self.link(server.registry, new, old)
        assert server.registry.replaced_by(old.device_id) == new.device_id
        assert server.enrol(new).stored
        self.check(server.registry, new, old)
        assert server(old, data(old)).reason is Reason.REVOKED

    def test_key_that_waits(self, strict: Server, old: ReferenceDevice, boards: Boards) -> None:
        [new] = boards(1)
        strict.enrol(new)
        self.link(strict.registry, new, old)
        assert strict.enrol(new).stored
        self.check(strict.registry, new, old)

    def test_key_that_is_active_already(
        self, server: Server, old: ReferenceDevice, boards: Boards
    ) -> None:
        [new] = boards(1)
        server.enrol(new)
        self.link(server.registry, new, old)
        self.check(server.registry, new, old)
        with pytest.raises(RegistryError, match="it replaces"):
            self.link(server.registry, new, old)

    def test_cloned_and_deleted_devices_are_replaced_too(
        self, server: Server, old: ReferenceDevice, boards: Boards
    ) -> None:
        execute(server.registry, "UPDATE devices SET state = 'cloned'")
        server.registry.delete(old.device_id, **ASKED)
        [new] = boards(1)
        self.link(server.registry, new, old)
        server.enrol(new)
        device = server.registry.device(new.device_id)
        assert device is not None
        assert device.replaces == old.device_id

    @pytest.mark.parametrize("word", ["pending", "active", "suspended", "deleted"])
    def test_only_ended_devices_are_replaced(
        self, server: Server, enrolled: ReferenceDevice, boards: Boards, word: str
    ) -> None:
        [new] = boards(1)
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        with pytest.raises(RegistryError, match=f"is {word}, and only a revoked or cloned"):
            self.link(server.registry, new, enrolled)
        assert server.registry.approvals() == []

    def test_unknown_device_is_not_replaced(self, server: Server, boards: Boards) -> None:
        new, old = boards(2)
        with pytest.raises(RegistryError, match=r"there is no device \w+ to replace"):
            self.link(server.registry, new, old)

    def test_device_does_not_replace_itself(self, server: Server, old: ReferenceDevice) -> None:
        with pytest.raises(RegistryError, match="it is revoked"):
            self.link(server.registry, old, old)

    @pytest.mark.parametrize("seen", [True, False])
    def test_device_is_replaced_once(
        self, server: Server, old: ReferenceDevice, boards: Boards, seen: bool
    ) -> None:
        first, second = boards(2)
        self.link(server.registry, first, old)
        if seen:
            server.enrol(first)
        with pytest.raises(RegistryError, match=f"replaced by {first.device_id.hex()} already"):
            self.link(server.registry, second, old)

    def test_successor_is_replaced_in_its_turn(
        self, server: Server, old: ReferenceDevice, boards: Boards
    ) -> None:
        first, second = boards(2)
        self.link(server.registry, first, old)
        server.enrol(first)
        server.registry.revoke(first.device_id, **ASKED)
        self.link(server.registry, second, first)
        server.enrol(second)
        self.check(server.registry, second, first)
