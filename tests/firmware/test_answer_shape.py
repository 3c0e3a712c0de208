"""The board takes answers apart by hand: exactly those that a strict decoder takes, and cheaply."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from birthkey import cose as board
from birthkey_host import cose
from birthkey_host.errors import FrameError
from device import Interpreter

PARTIAL_IV = bytes([0, 0, 0, 7, 0, 0, 0, 3])
FLOOD = b"\xd0\x99\x0f\xfc" + b"\x80" * 4092


def answer(length: int) -> bytes:
    ciphertext = random.Random(length).randbytes(length)
    return cose.Answer(PARTIAL_IV, b"iiiiiiiiiiii", ciphertext).encode()


def taken_by_the_board(data: bytes) -> bytes | None:
    try:
        return bytes(board.Answer(data).partial_iv)
    except ValueError:
        return None


def taken_by_the_host(data: bytes) -> bytes | None:
    try:
        return cose.Answer.decode(data).partial_iv
    except FrameError:
        return None


def test_bounds_are_the_same_on_both_sides(device: Interpreter) -> None:
    assert device.get("birthkey.cose:MAX_ANSWER") == cose.MAX_ANSWER


@pytest.mark.parametrize("length", [17, 23, 24, 255, 256, 1059])
def test_lengths_at_which_the_head_changes(device: Interpreter, length: int) -> None:
    taken = device.call("birthkey.cose:Answer", answer(length))
    assert device.get(f"#{taken._number}:partial_iv") == PARTIAL_IV


def test_every_length_in_every_form_is_taken_as_by_the_strict_decoder() -> None:
    before = answer(17)[:33]
    for length in (*range(300), *range(1040, 1070)):
        content = bytes(length)
        for head in (
            bytes([0x40 | length & 31]),
            bytes([0x58, length & 0xFF]),
            b"\x59" + length.to_bytes(2),
            b"\x5a" + length.to_bytes(4),
            b"\x5b" + length.to_bytes(8),
            bytes([0x60 | length & 31]),
            b"\x78" + bytes([length & 0xFF]),
            b"\x5f",
        ):
            data = before + head + content
            assert taken_by_the_board(data) == taken_by_the_host(data), data.hex()


@pytest.mark.parametrize("length", [17, 24, 60, 256])
def test_every_changed_byte_is_taken_as_by_the_strict_decoder(length: int) -> None:
    good = answer(length)
    assert taken_by_the_board(good) == PARTIAL_IV
    for position in range(36):
        for byte in range(256):
            data = good[:position] + bytes([byte]) + good[position + 1 :]
            assert taken_by_the_board(data) == taken_by_the_host(data), data.hex()


def test_mutations_are_taken_as_by_the_strict_decoder() -> None:
    chance = random.Random(13)
    changes: list[Callable[[bytearray, int], None]] = [
        lambda data, at: data.insert(at, chance.randrange(256)),
        lambda data, at: data.pop(at) and None,
        lambda data, at: data.__setitem__(at, chance.randrange(256)),
        lambda data, at: data.__delitem__(slice(at, None)),
        lambda data, at: data.extend(data[at:]),
    ]
    taken = 0
    for _ in range(20_000):
        data = bytearray(answer(chance.choice((17, 22, 23, 24, 40, 254, 255, 256, 1058, 1059))))
        for _ in range(chance.randrange(3)):
            chance.choice(changes)(data, chance.randrange(min(len(data), 40)))
            data = data or bytearray(b"\0")
        found = taken_by_the_board(bytes(data))
        assert found == taken_by_the_host(bytes(data)), data.hex()
        taken += found is not None
    assert 5_000 < taken < 19_000


def test_a_flood_of_empty_lists_is_refused_by_its_length(device: Interpreter) -> None:
    with pytest.raises(ValueError, match="an answer has 51 to 1095 bytes"):
        device.call("birthkey.cose:Answer", FLOOD)


@pytest.mark.parametrize(
    ("encoding", "items"),
    [
        (b"\x82\x00\x00", 3),
        (b"\xa1\x00\x00", 3),
        (b"\xa1\x61a\x82\x01\x02", 5),
        (b"\x83\x80\x80\xa0", 4),
        (b"\x81\x44abcd", 2),
        (b"\x83" + b"\x82\x00\x00" * 3, 10),
    ],
)
def test_a_decoder_takes_so_many_items_and_no_more(
    device: Interpreter, encoding: bytes, items: int
) -> None:
    device.call("birthkey.cbor:loads", encoding, items)
    with pytest.raises(ValueError, match=f"CBOR: more than {items - 1} items"):
        device.call("birthkey.cbor:loads", encoding, items - 1)


def test_a_whole_message_of_two_bytes_an_item_is_within_the_default(device: Interpreter) -> None:
    with_keys = b"\xb9\x03\xb6" + b"".join(
        (
            i.to_bytes(1)
            if i < 24
            else b"\x18" + i.to_bytes(1)
            if i < 256
            else b"\x19" + i.to_bytes(2)
        )
        + b"\xf6"
        for i in range(950)
    )
    assert len(device.call("birthkey.cbor:loads", with_keys)) == 950
    with pytest.raises(ValueError, match="CBOR: more than 2048 items"):
        device.call("birthkey.cbor:loads", b"\x99\x08\x00" + b"\x80" * 2048)


def test_a_command_has_256_items_at_the_most(device: Interpreter) -> None:
    def message(items: int) -> bytes:
        listed = items - 3
        return b"\x83\x11\x05\xa2\x00\x01\x01\xa1\x61x\x98" + bytes([listed]) + bytes(listed)

    kind, _, body = device.call("birthkey.message:decode_downlink", message(256))
    assert (kind, len(body[1]["x"])) == (17, 253)
    with pytest.raises(ValueError, match="CBOR: more than 263 items"):
        device.call("birthkey.message:decode_downlink", message(257))


TEXTS = [
    b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\x80", b"\xc2", b"\xe1\x80",
    b"\xf1\x80\x80",
]  # fmt: skip


@pytest.mark.parametrize("around", [b"", b"a", "ü€𐍈".encode()])
@pytest.mark.parametrize("bad", TEXTS)
def test_text_that_is_no_utf8_is_refused(device: Interpreter, bad: bytes, around: bytes) -> None:
    text = around + bad + around
    with pytest.raises(ValueError):
        device.call("birthkey.cbor:loads", bytes([0x60 | len(text)]) + text)


def test_text_at_the_edges_of_utf8_is_taken(device: Interpreter) -> None:
    text = "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
    raw = text.encode()
    encoded = bytes([0x78, len(raw)]) + raw
    assert device.call("birthkey.cbor:loads", encoded) == text
    assert device.call("birthkey.cbor:dumps", text) == encoded
