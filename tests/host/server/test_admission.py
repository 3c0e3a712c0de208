from __future__ import annotations

import os
from dataclasses import replace

import pytest

from birthkey_host.cose import SealedFrame
from birthkey_host.errors import FrameError
from birthkey_host.origins import origin
from birthkey_host.server.admission import (
    Admission,
    AdmissionLimits,
    Rank,
    Request,
    look,
)

SERVER = b"S" * 16
DEVICES = [bytes([number]) * 16 for number in range(10)]
LIMITS = AdmissionLimits(credit=1.0, worst=5.0, recovery=0.1, debtors=3, known=4)


def enc(name: int) -> bytes:
    return b"\x04" + bytes([name]) * 64


def frame(name: int = 0, number: int = 0, server_id: bytes = SERVER) -> bytes:
    return SealedFrame(server_id, enc(name), 1, number, b"c" * 100).encode()


class Queue(Admission[str]):
    """An admission at a time that tests set."""

    def __init__(self, limits: AdmissionLimits = LIMITS) -> None:
        super().__init__([SERVER], limits)
        self.now = 1000.0

    def add(
        self,
        owner: str,
        data: bytes | None = None,
        source: str | None = None,
        proven: bytes | None = None,
    ) -> Request[str]:
        data = frame() if data is None else data
        return self.offer(owner, data, origin(source or owner), proven=proven, now=self.now)

    def rank(self, data: bytes, source: str = "here", proven: bytes | None = None) -> Rank:
        request = self.add("someone", data, source, proven)
        self.withdraw(request)
        return request.rank

    def owe(self, source: str, cost: float) -> None:
        self.charge(origin(source), cost, self.now)

    def saw(self, device: int, name: int, number: int) -> bool:
        request = self.add("board", frame(name, number))
        self.withdraw(request)
        return self.news(request, DEVICES[device])

    def order(self) -> list[str]:
        owners = []
        while (request := self.next()) is not None:
            owners.append(request.owner)
        return owners


@pytest.fixture
def queue() -> Queue:
    return Queue()


class TestLook:
    @pytest.mark.parametrize("length", [17, 23, 24, 255, 256, 3900])
    def test_reads_what_the_codec_reads(self, length: int) -> None:
        sealed = SealedFrame(
            os.urandom(16), os.urandom(65), 0xFEDCBA98, 0x76543210, os.urandom(length)
        )
        header = look(sealed.encode())
        assert header is not None
        assert replace(sealed, ciphertext=b"") == SealedFrame(*header_fields(sealed.encode()))

    def test_reads_every_variation_that_the_codec_accepts(self) -> None:
        data = frame(7, 9)
        accepted = 0
        for at in range(110):
            for bit in range(8):
                changed = bytearray(data)
                changed[at] ^= 1 << bit
                try:
                    sealed = SealedFrame.decode(bytes(changed))
                except FrameError:
                    continue
                accepted += 1
                assert replace(sealed, ciphertext=b"") == SealedFrame(
                    *header_fields(bytes(changed))
                )
        assert accepted == 8 * (16 + 8 + 65 + 3)  # with the first bytes of the ciphertext

    @pytest.mark.parametrize("length", [0, 1, 9, 10, 104, 105])
    def test_beginning_of_a_frame_is_none(self, length: int) -> None:
        assert look(frame()[:length]) is None

    @pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 9, 26, 27, 36, 38, 104])
    def test_other_structure_is_none(self, at: int) -> None:
        changed = bytearray(frame())
        changed[at] ^= 1
        assert look(bytes(changed)) is None

    def test_thousands_of_items_in_place_of_the_ciphertext_are_none(self) -> None:
        assert look(frame()[:105] + b"\x99\x0f\x00" + b"\x01" * 0xF00) is None


def header_fields(data: bytes) -> tuple[bytes, bytes, int, int]:
    header = look(data)
    assert header is not None
    return header.server_id, header.enc, *divmod(header.number, 1 << 32)


class TestRanks:
    def test_boot_of_an_active_device_is_known(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        assert queue.rank(frame(1)) is Rank.KNOWN

    def test_boot_that_sent_news_is_known(self, queue: Queue) -> None:
        assert queue.saw(1, 1, 5)
        assert queue.rank(frame(1, 6)) is Rank.KNOWN

    def test_new_boot_is_a_stranger(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        assert queue.rank(frame(2)) is Rank.STRANGER

    def test_repetition_is_last(self, queue: Queue) -> None:
        queue.saw(1, 1, 5)
        assert queue.rank(frame(1, 5)) is Rank.LAST
        assert queue.rank(frame(1, 4), proven=DEVICES[1]) is Rank.LAST

    @pytest.mark.parametrize("data", [b"", b"\x00" * 200, frame(server_id=b"T" * 16)])
    def test_what_cannot_be_a_frame_for_this_server_is_last(
        self, queue: Queue, data: bytes
    ) -> None:
        assert queue.rank(data, proven=DEVICES[1]) is Rank.LAST

    def test_origin_in_debt_is_last(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        queue.owe("bad", 1.1)
        assert queue.rank(frame(1), "bad") is Rank.LAST
        assert queue.rank(frame(2), "bad") is Rank.LAST

    def test_debt_is_not_that_of_the_boot_in_the_frame(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        request = queue.add("bad", frame(1))
        queue.charge(request.origin, 5.0, queue.now)
        assert queue.rank(frame(1), "good") is Rank.KNOWN

    def test_proven_connection_does_not_suffer_for_its_origin(self, queue: Queue) -> None:
        queue.owe("shared", 5.0)
        assert queue.rank(frame(2), "shared", proven=DEVICES[1]) is Rank.KNOWN

    def test_device_in_debt_is_last_wherever_it_speaks(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        queue.charge_device(DEVICES[1], 1.1, queue.now)
        assert queue.rank(frame(1), "one") is Rank.LAST
        assert queue.rank(frame(1), "two", proven=DEVICES[1]) is Rank.LAST
        assert queue.rank(frame(2), "one", proven=DEVICES[2]) is Rank.KNOWN
        queue.now += 2
        assert queue.rank(frame(1), "one") is Rank.KNOWN

    def test_proven_connection_does_not_suffer_for_a_device_that_it_names(
        self, queue: Queue
    ) -> None:
        queue.know(DEVICES[1], enc(1))
        queue.charge_device(DEVICES[1], 5.0, queue.now)
        assert queue.rank(frame(1), proven=DEVICES[2]) is Rank.KNOWN


class TestNews:
    def test_only_rising_numbers_are_news(self, queue: Queue) -> None:
        assert [queue.saw(1, 1, number) for number in (3, 3, 2, 4)] == [True, False, False, True]

    def test_first_frame_after_a_restart_is_news(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        assert queue.saw(1, 1, 0)

    def test_each_device_has_one_boot(self, queue: Queue) -> None:
        queue.saw(1, 1, 5)
        queue.saw(1, 2, 0)
        assert queue.rank(frame(1, 6)) is Rank.STRANGER
        assert queue.rank(frame(2, 1)) is Rank.KNOWN

    def test_what_the_registry_tells_does_not_lower_a_number(self, queue: Queue) -> None:
        queue.saw(1, 1, 5)
        queue.know(DEVICES[1], enc(1))
        assert queue.rank(frame(1, 5)) is Rank.LAST

    def test_enc_that_two_devices_share_is_one_boot(self, queue: Queue) -> None:
        for device in range(10):
            queue.saw(device, 1, device)
        assert len(queue._known) == len(queue._known._encs) == 1
        queue.saw(0, 2, 0)
        queue.saw(9, 3, 0)
        assert queue.rank(frame(1, 99)) is Rank.STRANGER

    def test_oldest_boot_is_forgotten(self, queue: Queue) -> None:
        for device in range(4):
            queue.saw(device, device, 0)
        queue.saw(0, 0, 1)
        queue.saw(4, 4, 0)
        known = [queue.rank(frame(name, 9)) is Rank.KNOWN for name in range(5)]
        assert known == [True, False, True, True, True]
        assert len(queue._known) == len(queue._known._encs) == 4


class TestOrder:
    def test_known_before_strangers_before_the_last(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        queue.add("rubbish", b"\x00")
        queue.add("stranger", frame(2))
        queue.add("board", frame(1))
        assert queue.order() == ["board", "stranger", "rubbish"]

    def test_stranger_has_one_turn_in_four_however_many_are_known(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        for _ in range(7):
            queue.add("board", frame(1))
        for _ in range(3):
            queue.add("stranger", frame(2))
        queue.add("last", b"")
        kinds = [name[0] for name in queue.order()]
        assert "".join(kinds) == "bbbsbbbsbsl"

    @pytest.mark.parametrize("data", [frame(1), frame(2), b"rubbish"], ids=Rank._member_names_)
    def test_origins_take_turns(self, queue: Queue, data: bytes) -> None:
        queue.know(DEVICES[1], enc(1))
        for number in range(4):
            queue.add(f"many {number}", data, "a")
        queue.add("one", data, "b")
        queue.add("two", data, "b")
        assert queue.order() == ["many 0", "one", "many 1", "two", "many 2", "many 3"]

    def test_origin_that_comes_again_waits_for_the_others(self, queue: Queue) -> None:
        for name in ("a", "b", "c"):
            queue.add(name)
        first = queue.next()
        assert first is not None and first.owner == "a"
        queue.add("a")
        assert queue.order() == ["b", "c", "a"]

    def test_what_is_withdrawn_has_no_turn(self, queue: Queue) -> None:
        requests = [queue.add(str(number), source="a") for number in range(3)]
        other = queue.add("b")
        queue.withdraw(requests[1])
        queue.withdraw(other)
        queue.withdraw(other)
        assert queue.order() == ["0", "2"]
        queue.withdraw(requests[0])
        assert len(queue) == 0

    def test_nothing_is_left_of_origins_that_were_served(self, queue: Queue) -> None:
        for number in range(50):
            queue.add(str(number))
        withdrawn = queue.add("gone")
        queue.withdraw(withdrawn)
        assert len(queue) == len(queue.order()) == 50
        for ranked in queue._queues.values():
            assert not (ranked._by_origin._groups or ranked._by_device._groups)

    def test_device_has_one_turn_however_many_addresses_it_has(self, queue: Queue) -> None:
        """A turn of its origin may come first, and one of a device that anyone could name."""
        queue.know(DEVICES[1], enc(1))
        queue.know(DEVICES[2], enc(2))
        for number in range(100):
            queue.add(f"many {number}", frame(1))
        queue.add("board", frame(2))
        assert "board" in queue.order()[:4]

    def test_copied_enc_takes_no_turn_of_the_device_whose_it_is(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        for number in range(100):
            queue.add(f"thief {number}", frame(1))
        queue.add("board", frame(1), proven=DEVICES[1])
        assert "board" in queue.order()[:4]

    def test_copied_enc_takes_no_turn_of_another_address(self, queue: Queue) -> None:
        queue.know(DEVICES[1], enc(1))
        for number in range(100):
            queue.add(f"thief {number}", frame(1), "thief")
        queue.add("board", frame(1))
        assert "board" in queue.order()[:4]

    def test_all_of_a_network_take_one_turn(self, queue: Queue) -> None:
        for number in range(100):
            queue.add(f"many {number}", source=f"2001:db8:0:{number:x}::1")
        queue.add("one", source="192.0.2.1")
        assert queue.order()[:2] == ["many 0", "one"]

    def test_nobody_is_next_when_none_waits(self, queue: Queue) -> None:
        assert queue.next() is None


class TestDebts:
    def test_credit_is_free(self, queue: Queue) -> None:
        queue.owe("a", 0.5)
        queue.owe("a", 0.5)
        assert queue.rank(frame(), "a") is Rank.STRANGER
        queue.owe("a", 0.1)
        assert queue.rank(frame(), "a") is Rank.LAST

    def test_debts_are_forgiven_with_time(self, queue: Queue) -> None:
        queue.owe("a", 2.0)
        queue.now += 9.9
        assert queue.rank(frame(), "a") is Rank.LAST
        queue.now += 0.2
        assert queue.rank(frame(), "a") is Rank.STRANGER

    def test_no_debt_is_for_ever(self, queue: Queue) -> None:
        for _ in range(1000):
            queue.owe("a", 1.0)
        queue.now += 40.1
        assert queue.rank(frame(), "a") is Rank.STRANGER

    def test_nobody_saves_for_a_later_flood(self, queue: Queue) -> None:
        queue.owe("a", 0.1)
        queue.now += 1e6
        queue.owe("a", 1.1)
        assert queue.rank(frame(), "a") is Rank.LAST

    def test_clock_that_stands_forgives_nothing(self, queue: Queue) -> None:
        queue.owe("a", 1.1)
        assert queue.rank(frame(), "a") is Rank.LAST

    def test_network_owes_for_all_that_are_in_it(self, queue: Queue) -> None:
        for number in range(5):
            queue.owe(f"2001:db8:0:{number * 256:x}::1", 0.9)
        assert queue.rank(frame(), "2001:db8:0:ffff::1") is Rank.LAST
        assert queue.rank(frame(), "2001:db8:1::1") is Rank.STRANGER

    def test_network_has_the_credit_of_its_share(self, queue: Queue) -> None:
        for number in range(4):
            queue.owe(f"2001:db8:0:{number * 256:x}::1", 0.9)
        assert queue.rank(frame(), "2001:db8:0:ffff::1") is Rank.STRANGER

    def test_few_debtors_are_remembered_those_of_late(self, queue: Queue) -> None:
        for name in ("a", "b", "c"):
            queue.owe(name, 2.0)
        queue.owe("a", 0.1)
        queue.owe("d", 2.0)
        last = [queue.rank(frame(), name) is Rank.LAST for name in ("a", "b", "c", "d")]
        assert last == [True, False, True, True]
        assert len(queue._debts) == 3

    def test_who_owes_nothing_takes_no_memory(self, queue: Queue) -> None:
        for number in range(100):
            queue.rank(frame(), f"origin {number}")
        assert len(queue._debts) == 0
