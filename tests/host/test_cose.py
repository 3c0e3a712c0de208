"""COSE structures: what is read is exactly what would be written, and names of keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from birthkey_host import cbor, cose
from birthkey_host.errors import FrameError

# RFC 9679 section 6.
X = bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
Y = bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
THUMBPRINT = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"

ENC = b"\4" + X + Y
SEALED = cose.SealedFrame(b"S" * 16, ENC, 7, 3, b"c" * 17)
SIGNED = cose.SignedFrame(b"D" * 16, b"\x83\x01\x02\xa0", (1).to_bytes(32) * 2)
ANSWER = cose.Answer(bytes([0, 0, 0, 7, 0, 0, 0, 3]), b"i" * 12, b"c" * 17)
HALF = cose.N // 2

SEALED_HEADER = {1: 24, 4: SEALED.server_id, 6: SEALED.partial_iv, 10: ENC}
SIGNED_HEADER = {1: -7, 4: SIGNED.kid}
ANSWER_HEADER = {1: 24, 4: ANSWER.partial_iv, 5: ANSWER.iv}


def without(header: dict[Any, Any], label: int) -> dict[Any, Any]:
    return {key: value for key, value in header.items() if key != label}


def test_thumbprint_is_that_of_rfc_9679() -> None:
    assert cose.thumbprint(X + Y).hex() == THUMBPRINT


def test_cose_key_is_read_in_its_one_form() -> None:
    assert cose.from_cose_key(cose.to_cose_key(X + Y)) == X + Y


@pytest.mark.parametrize(
    "changes",
    [{1: 1}, {1: 2.0}, {-1: True}, {-1: 1.0}, {-1: 2}, {-2: X[1:]}, {-2: X + b"\0"}, {-3: True},
     {-3: Y.hex()}, {2: b"kid"}, {-4: bytes(32)}, {"x": 0}],
    ids=repr,
)  # fmt: skip
def test_any_other_cose_key_is_none(changes: dict[Any, Any]) -> None:
    good = {1: 2, -1: 1, -2: X, -3: Y}
    assert cose.from_cose_key({**good, **changes}) is None
    for label in changes:
        assert cose.from_cose_key(without(good, label)) in (None, X + Y)
    assert cose.from_cose_key([good]) is None


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        (X + Y, True),
        (X + (cose.P - int.from_bytes(Y)).to_bytes(32), True),
        (X + Y[:-1] + b"\0", False),
        (bytes(64), False),
        (cose.P.to_bytes(32) + Y, False),
        (X + Y + b"\0", False),
        (X + Y[:-1], False),
        (ENC, False),
        (b"", False),
    ],
)
def test_a_point_is_told_as_openssl_tells_it(public: bytes, expected: bool) -> None:
    assert cose.is_point(public) is expected
    try:
        loaded = cose.public_bytes(cose.load_public(public))
    except ValueError:
        assert not expected
    else:
        assert loaded == public


def test_a_point_whose_x_is_not_reduced_is_none() -> None:
    # The smallest x on the curve with x + p below 2^256.
    x = next(x for x in range(100) if pow(x**3 - 3 * x + cose._B, (cose.P - 1) // 2, cose.P) == 1)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\2" + x.to_bytes(32))
    y = key.public_numbers().y.to_bytes(32)
    assert cose.is_point(x.to_bytes(32) + y)
    unreduced = (x + cose.P).to_bytes(32) + y
    assert not cose.is_point(unreduced)
    with pytest.raises(ValueError, match="Invalid EC key"):
        cose.load_public(unreduced)


@pytest.mark.parametrize("structure", [SEALED, SIGNED, ANSWER], ids=lambda s: type(s).__name__)
def test_what_is_written_is_read_back(structure: Any) -> None:
    assert type(structure).decode(structure.encode()) == structure


def test_the_bytes_are_those_of_the_norm() -> None:
    enc = b"\x58\x41" + ENC
    header = (
        b"\xa4\x01\x18\x18\x04\x50" + b"S" * 16 + b"\x06\x48" + SEALED.partial_iv + b"\x0a" + enc
    )
    assert SEALED.partial_iv.hex() == "0000000700000003"
    assert SEALED.encode() == b"\xd0\x83\x58\x64" + header + b"\xa0\x51" + b"c" * 17
    assert SEALED.aad == b"\x83\x68Encrypt0\x58\x64" + header + b"\x40"
    header = b"\xa2\x01\x26\x04\x50" + b"D" * 16
    assert SIGNED.encode() == (
        b"\xd2\x84\x55" + header + b"\xa0\x44\x83\x01\x02\xa0\x58\x40" + SIGNED.signature
    )
    aad = cose.uplink_aad(b"S" * 16, ENC, 7)
    assert aad == b"\x84\x6dbirthkey/1 up\x50" + b"S" * 16 + enc + b"\x07"
    assert SIGNED.to_be_signed(aad) == (
        b"\x84\x6aSignature1\x55" + header + b"\x58\x64" + aad + b"\x44\x83\x01\x02\xa0"
    )
    header = b"\xa3\x01\x18\x18\x04\x48" + ANSWER.partial_iv + b"\x05\x4c" + b"i" * 12
    assert ANSWER.encode() == b"\xd0\x83\x58\x1c" + header + b"\xa0\x51" + b"c" * 17
    aad = b"\x82\x6fbirthkey/1 down\x50" + b"D" * 16
    assert ANSWER.aad(b"D" * 16) == (b"\x83\x68Encrypt0\x58\x1c" + header + b"\x58\x22" + aad)
    assert cose.hpke_info(b"S" * 16) == b"\x82\x6abirthkey/1\x50" + b"S" * 16


def sealed_of(header: Any) -> bytes:
    return b"\xd0" + cbor.dumps([cbor.dumps(header), {}, SEALED.ciphertext])


def signed_of(header: Any) -> bytes:
    return b"\xd2" + cbor.dumps([cbor.dumps(header), {}, SIGNED.payload, SIGNED.signature])


def answer_of(header: Any) -> bytes:
    return b"\xd0" + cbor.dumps([cbor.dumps(header), {}, ANSWER.ciphertext])


@pytest.mark.parametrize(
    "header",
    [
        {}, [], None, list(SEALED_HEADER.values()),
        *(without(SEALED_HEADER, label) for label in SEALED_HEADER),
        *({**SEALED_HEADER, **change} for change in (
            {1: 1}, {1: 24.0}, {1: "24"}, {1: -7}, {4: b"S" * 15}, {4: b"S" * 17}, {4: "S" * 16},
            {6: bytes(7)}, {6: bytes(9)}, {6: 7}, {10: ENC[1:]}, {10: ENC[:33]}, {10: ENC + b"\0"},
            {2: [4]}, {5: bytes(12)}, {"x": 0})),
    ],
    ids=repr,
)  # fmt: skip
def test_another_header_of_a_sealed_frame_is_refused(header: Any) -> None:
    with pytest.raises(FrameError) as caught:
        cose.SealedFrame.decode(sealed_of(header))
    assert caught.value.layer == "cose"


@pytest.mark.parametrize(
    "header",
    [
        {}, [], without(SIGNED_HEADER, 1), without(SIGNED_HEADER, 4),
        *({**SIGNED_HEADER, **change} for change in (
            {1: -35}, {1: -7.0}, {1: 24}, {4: b"D" * 15}, {4: b"D" * 17}, {4: "D" * 16}, {2: []})),
    ],
    ids=repr,
)  # fmt: skip
def test_another_header_of_a_signed_frame_is_refused(header: Any) -> None:
    with pytest.raises(FrameError) as caught:
        cose.SignedFrame.decode(signed_of(header))
    assert caught.value.layer == "cose"


@pytest.mark.parametrize(
    "header",
    [
        {}, [], SEALED_HEADER, *(without(ANSWER_HEADER, label) for label in ANSWER_HEADER),
        *({**ANSWER_HEADER, **change} for change in (
            {1: 24.0}, {4: bytes(7)}, {4: 7}, {5: bytes(11)}, {5: bytes(13)}, {6: bytes(8)})),
    ],
    ids=repr,
)  # fmt: skip
def test_another_header_of_an_answer_is_refused(header: Any) -> None:
    with pytest.raises(FrameError) as caught:
        cose.Answer.decode(answer_of(header))
    assert caught.value.layer == "cose"


@pytest.mark.parametrize("structure", [SEALED, SIGNED, ANSWER], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (lambda data: data[1:], "cose"),
        (lambda data: b"\xd1" + data[1:], "cose"),
        (lambda data: b"\xd8\x62" + data[1:], "cose"),
        (lambda data: bytes([0xD0 + (data[0] ^ 0xD2)]) + data[1:], "cose"),
        (lambda data: b"\xd8" + bytes([data[0] & 0x1F]) + data[1:], "cbor"),
        (lambda data: data[:1] + data, "cbor"),
        (lambda data: data + b"\0", "cbor"),
        (lambda data: data[:-1], "cbor"),
        (lambda data: data[:1], "cbor"),
        (lambda data: data[:1] + b"\x9f" + data[2:] + b"\xff", "cbor"),
        (lambda data: data[:1] + b"\x98" + bytes([data[1] & 0x1F]) + data[2:], "cbor"),
    ],
    ids=["untagged", "tag 17", "tag 98", "the other tag", "long tag", "tag twice", "trailing",
         "cut short", "tag only", "indefinite", "long array"],
)  # fmt: skip
def test_another_outside_is_refused(structure: Any, change: Any, layer: str) -> None:
    with pytest.raises(FrameError) as caught:
        type(structure).decode(change(structure.encode()))
    assert caught.value.layer == layer
    assert caught.value.reason in str(caught.value)


@pytest.mark.parametrize("structure", [SEALED, SIGNED, ANSWER], ids=lambda s: type(s).__name__)
def test_other_parts_are_refused(structure: Any) -> None:
    data = structure.encode()
    parts = cbor.loads(data[1:])
    assert isinstance(parts, list)
    wrong: list[Any] = [[], parts[:-1], [*parts, None], dict(enumerate(parts)), 0, "parts"]
    for index in range(len(parts)):
        for part in (None, "text", 0, [], {1: 0}):
            wrong.append([*parts[:index], part, *parts[index + 1 :]])
    wrong.append([parts[0], b"", *parts[2:]])
    for value in wrong:
        with pytest.raises(FrameError) as caught:
            type(structure).decode(data[:1] + cbor.dumps(value))
        assert caught.value.layer == "cose"


@pytest.mark.parametrize("structure", [SEALED, SIGNED, ANSWER], ids=lambda s: type(s).__name__)
def test_a_header_that_is_not_deterministic_is_refused(structure: Any) -> None:
    data = structure.encode()
    parts = cbor.loads(data[1:])
    assert isinstance(parts, list)
    header = structure.protected
    for wrong in (b"", header + b"\0", header[:-1], b"\xbf" + header[1:] + b"\xff",
                  bytes([0xB8, header[0] & 0x1F]) + header[1:]):  # fmt: skip
        with pytest.raises(FrameError, match="protected header") as caught:
            type(structure).decode(data[:1] + cbor.dumps([wrong, *parts[1:]]))
        assert caught.value.layer == "cbor"


@pytest.mark.parametrize("structure", [SEALED, ANSWER], ids=lambda s: type(s).__name__)
def test_a_ciphertext_that_holds_nothing_is_refused(structure: Any) -> None:
    for ciphertext in (b"", bytes(16)):
        with pytest.raises(FrameError, match="holds nothing") as caught:
            type(structure).decode(replace(structure, ciphertext=ciphertext).encode())
        assert caught.value.layer == "cose"


@pytest.mark.parametrize(
    ("structure", "most"), [(SEALED, 4096), (ANSWER, cose.MAX_ANSWER)], ids=["frame", "answer"]
)
def test_a_frame_has_1_to_4096_bytes_and_an_answer_fewer(structure: Any, most: int) -> None:
    overhead = len(replace(structure, ciphertext=bytes(300)).encode()) - 300
    longest = replace(structure, ciphertext=bytes(most - overhead))
    assert type(structure).decode(longest.encode()) == longest
    one_more = longest.encode()[: -3 - most + overhead]
    one_more += b"\x59" + (most + 1 - overhead).to_bytes(2) + bytes(most + 1 - overhead)
    assert len(one_more) == most + 1
    for data in (b"", one_more, bytes(1 << 20)):
        with pytest.raises(FrameError) as caught:
            type(structure).decode(data)
        assert caught.value.layer == "framing"


def test_an_answer_that_no_board_takes_is_not_made() -> None:
    overhead = len(replace(ANSWER, ciphertext=bytes(300)).encode()) - 300
    with pytest.raises(ValueError, match="answer of 1096 bytes; boards take at most 1095"):
        replace(ANSWER, ciphertext=bytes(1096 - overhead)).encode()


@pytest.mark.parametrize(
    ("r", "s", "accepted"),
    [
        (1, 1, True),
        (cose.N - 1, HALF, True),
        (1, HALF + 1, False),
        (1, cose.N - 1, False),
        (0, 1, False),
        (1, 0, False),
        (cose.N, 1, False),
        (1, cose.N, False),
        (2**256 - 1, 2**256 - 1, False),
    ],
)
def test_r_is_in_range_and_s_is_low(r: int, s: int, accepted: bool) -> None:
    data = replace(SIGNED, signature=r.to_bytes(32) + s.to_bytes(32)).encode()
    if accepted:
        assert cose.SignedFrame.decode(data).signature == data[-64:]
        return
    with pytest.raises(FrameError, match="signature") as caught:
        cose.SignedFrame.decode(data)
    assert caught.value.layer == "cose"


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_has_64_bytes(size: int) -> None:
    with pytest.raises(FrameError, match="64 bytes") as caught:
        cose.SignedFrame.decode(replace(SIGNED, signature=b"\1" * size).encode())
    assert caught.value.layer == "cose"
