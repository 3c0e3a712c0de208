from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from birthkey_host import cose, events, signatures
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.schema import Action, Proof
from recording import (
    NOW,
    Server,
    count,
    counted,
    data,
    execute,
    kept,
    refused,
    repeated,
    state,
    stored,
)

Boards = Callable[[int], list[ReferenceDevice]]


class TestStates:
    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("pending", Reason.PENDING),
            ("suspended", Reason.SUSPENDED),
            ("revoked", Reason.REVOKED),
            ("cloned", Reason.CLONED),
        ],
    )
    @pytest.mark.parametrize("kind", [Type.ENROL, Type.DATA])
    def test_only_active_devices_are_stored(
        self,
        server: Server,
        strict: Server,
        enrolled: ReferenceDevice,
        word: str,
        reason: Reason,
        kind: Type,
    ) -> None:
        execute(server.registry, f"UPDATE devices SET state = '{word}'")
        enrolled.start(7)
        is_enrol = kind is Type.ENROL
        message = enrolled.enrol("pico", "1.0") if is_enrol else data(enrolled)
        assert strict(enrolled, message) == refused(reason, 1)
        assert count(server.registry, "messages") == 1
        assert count(server.registry, "boots") == 1
        assert state(server.registry, enrolled).value == word

    @pytest.mark.parametrize(
        ("kind", "body", "reason"),
        [(2, {}, Reason.TYPE), (Type.DATA, 5, Reason.MALFORMED)],
    )
    def test_refusal_of_the_verifier_stays_and_names_newest(
        self, server: Server, enrolled: ReferenceDevice, kind: int, body: object, reason: Reason
    ) -> None:
        verdict = server(enrolled, enrolled.message(kind, body))
        assert verdict == refused(reason, 1)
        assert count(server.registry, "messages") == 1

    def test_nothing_is_told_to_one_who_was_not_verified(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        execute(server.registry, "UPDATE devices SET state = 'deleted'")
        assert server(enrolled, data(enrolled)) == refused(Reason.UNKNOWN_DEVICE)


class TestReplay:
    def test_message_is_stored_with_all_that_proves_it(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled, 5)
        outcome = server.receive(enrolled.frame(message))
        assert server.record(outcome, NOW + 1) == stored(1)
        row = server.registry.messages()[-1]
        assert (row.device_id, row.counter, row.type) == (
            enrolled.device_id,
            message.counter,
            Type.DATA,
        )
        assert (row.message, row.received) == (message.encode(), NOW + 1)
        assert (row.signed_frame, row.server_id) == (outcome.signed_frame, enrolled.server_id)
        assert (row.enc, row.boot) == (enrolled.enc, 1)

    def test_same_frame_is_stored_once(self, server: Server, enrolled: ReferenceDevice) -> None:
        frame = enrolled.frame(data(enrolled))
        assert server.record(server.receive(frame)) == stored(1)
        assert server.record(server.receive(frame)) == repeated(1)
        assert count(server.registry, "messages") == 2

    def test_same_message_sealed_anew_is_stored_once(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        assert server(enrolled, message) == stored(1)
        assert server(enrolled, message) == repeated(1)

    def test_same_message_after_a_reboot_is_stored_once_and_its_boot_kept(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        server(enrolled, message)
        enrolled.start(2)
        assert server(enrolled, message) == repeated(2)
        assert count(server.registry, "boots") == 2
        enrolled.start(2)  # so another enc of boot 2 is noticed
        assert server(enrolled, data(enrolled)).reason is Reason.CLONED

    def test_counters_come_in_any_order(self, server: Server, enrolled: ReferenceDevice) -> None:
        enrolled.start(0xFFFFFFFF)
        for counter in (2**64 - 1, 2**63, 2**63 - 1, 2**32 + 9, 2**32 + 8):
            message = Message(Type.DATA, counter, {"n": 1})
            assert server(enrolled, message) == stored(0xFFFFFFFF)
            assert server(enrolled, message) == repeated(0xFFFFFFFF)

    def test_database_orders_counters_as_numbers(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        enrolled.start(0xFFFFFFFF)
        counters = [2**64 - 1, 2**63, 2**63 - 1, 2**40, 2**32 + 8]
        for counter in counters:
            server(enrolled, Message(Type.DATA, counter, {"n": 1}))
        execute(server.registry, "DELETE FROM messages WHERE type = 0")
        with server.registry._engine.connect() as connection:
            rows = connection.execute(text("SELECT counter FROM messages ORDER BY counter"))
            assert [int.from_bytes(row.counter, "big") for row in rows] == sorted(counters)

    def test_devices_do_not_share_counters(self, server: Server, boards: Boards) -> None:
        for board in boards(2):
            server.enrol(board)
            assert server(board, data(board)) == stored(1)

    def test_old_boot_is_stale_and_leaves_no_trace(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        late = data(enrolled)
        frame = enrolled.frame(late)
        enrolled.start(3)
        server(enrolled, data(enrolled))
        assert server.record(server.receive(frame)) == refused(Reason.STALE_BOOT, 3)
        assert count(server.registry, "messages") == 2
        assert server(enrolled, late) == stored(3)

    def test_unseen_boot_below_newest_is_stale(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        enrolled.start(3)
        server(enrolled, data(enrolled))
        enrolled.start(2)
        assert server(enrolled, data(enrolled)) == refused(Reason.STALE_BOOT, 3)
        assert count(server.registry, "boots") == 2

    def test_newest_is_that_after_recording(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        enrolled.start(5)
        assert server(enrolled, data(enrolled)).newest == 5

    def test_log_survives_a_restart(
        self, server: Server, server_key: ServerKey, url: str, enrolled: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        server(enrolled, message)
        server.registry.close()
        with Registry(url) as registry:
            registry.check()
            again = Server(server_key, registry, Open())
            assert again(enrolled, message) == repeated(1)
            assert again(enrolled, data(enrolled)) == stored(1)


class TestQuota:
    @pytest.fixture
    def small(self, server_key: ServerKey, url: str, registry: Registry) -> Iterator[Server]:
        """Keeps an enrol and two short readings of a device, or an enrol in three boots."""
        with Registry(url, quota=2000) as registry:
            yield Server(server_key, registry, Open())

    def test_full_device_is_busy_and_nobody_else(self, small: Server, boards: Boards) -> None:
        full, other = boards(2)
        small.enrol(full)
        messages = [data(full) for _ in range(3)]
        verdicts = [small(full, message) for message in messages]
        assert verdicts == [stored(1), stored(1), refused(Reason.BUSY, 1)]
        assert small.enrol(other).stored

    def test_what_is_stored_is_acknowledged_again(
        self, small: Server, board: ReferenceDevice
    ) -> None:
        small.enrol(board)
        first, second = data(board), data(board)
        for message in (first, second, data(board)):
            small(board, message)
        assert small(board, first) == repeated(1)

    def test_boots_count_too(self, small: Server, board: ReferenceDevice) -> None:
        message = board.enrol("pico", "1.0")
        for boot, verdict in (
            (1, None),
            (2, repeated(2)),
            (3, repeated(3)),
            (4, refused(Reason.BUSY, 3)),
        ):
            board.start(boot)
            assert verdict in (small(board, message), None)
        assert count(small.registry, "boots") == 3

    def test_bytes_count_and_not_frames(self, small: Server, boards: Boards) -> None:
        long, short = boards(2)
        for board in (long, short):
            small.enrol(board)
        assert small(long, long.message(Type.DATA, {"n": bytes(600)})) == refused(Reason.BUSY, 1)
        assert small(short, data(short)) == small(long, data(long)) == stored(1)

    def test_what_is_kept_is_counted(self, server: Server, enrolled: ReferenceDevice) -> None:
        for boot in (1, 1, 2, 5):
            if boot != enrolled.boot:
                enrolled.start(boot)
            server(enrolled, enrolled.message(Type.DATA, {"n": bytes(boot * 100)}))
            server(enrolled, enrolled.enrol("pico", "1.0"))
        assert kept(server.registry, enrolled) == counted(server.registry, enrolled)

    def test_full_device_is_caught_all_the_same(
        self, small: Server, board: ReferenceDevice
    ) -> None:
        small.enrol(board)
        for _ in range(2):
            small(board, data(board))
        board.start(1)
        assert small(board, data(board)) == refused(Reason.CLONED, 1)


class TestClones:
    @pytest.fixture
    def twin(self, enrolled: ReferenceDevice) -> ReferenceDevice:
        """Another holder of the key, in the same boot."""
        twin = ReferenceDevice(enrolled.private, enrolled.server_public, boot=1)
        twin.sequence = 10
        return twin

    def check(self, server: Server, board: ReferenceDevice, proof: Proof) -> None:
        """The device is quarantined, and anyone can verify the two frames that are kept."""
        assert state(server.registry, board) is State.CLONED
        pair = server.registry.evidence(board.device_id)
        assert [(row.place, row.proof, row.received) for row in pair] == [
            (0, proof, NOW),
            (1, proof, NOW),
        ]
        assert pair[0].signed_frame != pair[1].signed_frame
        for row in pair:
            signed = cose.SignedFrame.decode(row.signed_frame)
            to_be_signed = signed.to_be_signed(cose.uplink_aad(row.server_id, row.enc, row.boot))
            backend = signatures.backend("ecdsa")
            assert backend.verify(board.public, to_be_signed, signed.signature)
        assert server.registry.events(board.device_id)[-1].action is Action.CLONED
        events.verify(server.registry.events())

    def test_one_counter_two_messages(self, server: Server, enrolled: ReferenceDevice) -> None:
        first = data(enrolled, 1)
        server(enrolled, first)
        before = count(server.registry, "messages")
        assert server(enrolled, replace(first, body={"n": 2})) == refused(Reason.CLONED, 1)
        self.check(server, enrolled, Proof.COUNTER)
        assert count(server.registry, "messages") == before

    def test_one_counter_two_types(self, server: Server, enrolled: ReferenceDevice) -> None:
        first = data(enrolled)
        server(enrolled, first)
        status = replace(first, type=Type.STATUS, body={3: True})
        assert server(enrolled, status).reason is Reason.CLONED

    def test_one_counter_two_messages_from_an_old_boot(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        first = data(enrolled, 1)
        server(enrolled, first)
        frame = enrolled.frame(replace(first, body={"n": 2}))
        enrolled.start(2)
        server(enrolled, data(enrolled))
        assert server.record(server.receive(frame)) == refused(Reason.CLONED, 2)
        self.check(server, enrolled, Proof.COUNTER)

    def test_one_boot_two_encs(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        assert server(twin, data(twin)) == refused(Reason.CLONED, 1)
        self.check(server, enrolled, Proof.BOOT)

    def test_one_old_boot_two_encs(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        enrolled.start(2)
        server(enrolled, data(enrolled))
        assert server(twin, data(twin)) == refused(Reason.CLONED, 2)
        self.check(server, enrolled, Proof.BOOT)

    def test_twin_that_only_repeats_is_noticed(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        message = data(enrolled)
        server(enrolled, message)
        assert server(twin, message).reason is Reason.CLONED

    def test_board_that_was_told_of_a_higher_boot(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        twin.start(4)
        server(twin, data(twin))
        assert server(enrolled, data(enrolled)) == refused(Reason.STALE_BOOT, 4)
        status = enrolled.message(Type.STATUS, Status(newest=4).body())
        assert server(enrolled, status) == refused(Reason.CLONED, 4)
        self.check(server, enrolled, Proof.STATUS)

    def test_board_that_was_told_of_an_earlier_newest(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        for boot in (4, 6):
            twin.start(boot)
            server(twin, data(twin))
        status = enrolled.message(Type.STATUS, Status(newest=4).body())
        assert server(enrolled, status).reason is Reason.CLONED
        self.check(server, enrolled, Proof.STATUS)

    @pytest.mark.parametrize("told", [None, 0, 1, 3, 5])  # 3 was never seen, and so never told
    def test_status_of_an_old_boot_that_proves_nothing_is_stale(
        self,
        server: Server,
        enrolled: ReferenceDevice,
        twin: ReferenceDevice,
        told: int | None,
    ) -> None:
        twin.start(4)
        server(twin, data(twin))
        status = enrolled.message(Type.STATUS, Status(newest=told).body())
        assert server(enrolled, status) == refused(Reason.STALE_BOOT, 4)
        assert state(server.registry, enrolled) is State.ACTIVE

    @pytest.mark.parametrize("told", [1, 2, 3])
    def test_status_of_the_newest_boot_is_stored(
        self, server: Server, enrolled: ReferenceDevice, told: int
    ) -> None:
        enrolled.start(2)
        status = enrolled.message(Type.STATUS, Status(newest=told).body())
        assert server(enrolled, status) == stored(2)

    def test_quarantine_keeps_the_first_evidence(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice
    ) -> None:
        server(twin, data(twin))
        pair = [row.signed_frame for row in server.registry.evidence(enrolled.device_id)]
        for board in (enrolled, twin):
            assert server(board, data(board)) == refused(Reason.CLONED, 1)
        again = [row.signed_frame for row in server.registry.evidence(enrolled.device_id)]
        assert again == pair
        assert len(server.registry.events(enrolled.device_id)) == 2

    def test_neighbour_is_not_touched(
        self, server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice, boards: Boards
    ) -> None:
        [neighbour] = boards(1)
        server.enrol(neighbour)
        server(twin, data(twin))
        assert server(neighbour, data(neighbour)) == stored(1)
