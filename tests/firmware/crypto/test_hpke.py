"""HPKE in Base mode against RFC 9180 and pyhpke."""

from __future__ import annotations

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

import published_vectors
from birthkey.crypto import hpke
from birthkey.crypto.p256_table import N
from device import Handle, Interpreter
from published_vectors import RFC_9180

INFO, IKM_E, IKM_R, ENC, PUBLIC, PRIVATE, KEY, BASE_NONCE = published_vectors.data(
    RFC_9180, "info", "ikmE", "ikmR", "enc", "pkRm", "skRm", "key", "base_nonce"
)
RECIPIENT = PUBLIC[1:]  # x || y

SENDER = "birthkey.crypto.hpke:setup_sender"
RECEIVER = "birthkey.crypto.hpke:setup_receiver"
SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


def nonce(sequence: int) -> bytes:
    return (int.from_bytes(BASE_NONCE) ^ sequence).to_bytes(12)


def new_key() -> tuple[ec.EllipticCurvePrivateKey, bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.private_numbers()
    x, y = numbers.public_numbers.x, numbers.public_numbers.y
    return key, numbers.private_value.to_bytes(32), x.to_bytes(32) + y.to_bytes(32)


@pytest.fixture
def contexts(device: Interpreter) -> list[Handle]:
    """Both ends of the vector: the sender's context and the receiver's."""
    return published_vectors.hpke_ends(device)


def test_both_ends_encrypt_as_in_rfc_9180(contexts: list[Handle]) -> None:
    for vector in RFC_9180["encryptions"]:
        for context in contexts:
            published_vectors.hpke_encryption(context, vector)


def test_both_ends_export_as_in_rfc_9180(contexts: list[Handle]) -> None:
    for vector in RFC_9180["exports"]:
        for context in contexts:
            published_vectors.hpke_export(context, vector)


def test_derives_the_key_pair_of_the_recipient_in_rfc_9180(device: Interpreter) -> None:
    enc, _ = device.call(SENDER, RECIPIENT, INFO, IKM_R)
    assert enc == PUBLIC


def test_nonce_is_the_sequence_number_over_64_bits(contexts: list[Handle]) -> None:
    for sequence in (0, 0xFF, 1 << 30, 1 << 31, 0x0102030405060708, 1 << 63, (1 << 64) - 1):
        sealed = ChaCha20Poly1305(KEY).encrypt(nonce(sequence), b"message", b"aad")
        for context in contexts:
            assert context.seal(sequence, b"message", b"aad") == sealed
            assert context.open(sequence, sealed, b"aad") == b"message"


@pytest.mark.parametrize("sequence", [-1, 1 << 64, (1 << 64) + 1, 1 << 96])
def test_refuses_sequence_numbers_beyond_64_bits(contexts: list[Handle], sequence: int) -> None:
    for context in contexts:
        with pytest.raises(ValueError, match="sequence number"):
            context.seal(sequence, b"", b"")
        with pytest.raises(ValueError, match="sequence number"):
            context.open(sequence, bytes(16), b"")


def test_opens_only_the_same_message(contexts: list[Handle]) -> None:
    sender, receiver = contexts
    sealed = sender.seal(7, b"message", b"aad")
    assert receiver.open(7, sealed, b"aad") == b"message"
    for sequence, content, aad in (
        (8, sealed, b"aad"),
        (7, sealed, b"AAD"),
        (7, sealed[:-1], b"aad"),
        (7, sealed[:-1] + bytes((sealed[-1] ^ 1,)), b"aad"),
        (7, b"", b"aad"),
    ):
        with pytest.raises(ValueError, match=r"authentic|too short"):
            receiver.open(sequence, content, aad)


def test_another_info_or_key_opens_nothing(device: Interpreter, contexts: list[Handle]) -> None:
    sealed = contexts[0].seal(0, b"message", b"")
    _, other, _ = new_key()
    for private, info in ((PRIVATE, INFO + b"\x00"), (PRIVATE, b""), (other, INFO)):
        context = device.call(RECEIVER, ENC, private, info)
        with pytest.raises(ValueError, match="not authentic"):
            context.open(0, sealed, b"")
        assert context.export(b"", 32) != contexts[0].export(b"", 32)


def test_one_ikm_gives_one_enc_and_a_context_for_each_recipient(device: Interpreter) -> None:
    _, private, public = new_key()
    first_enc, first = device.call(SENDER, RECIPIENT, INFO, IKM_E)
    second_enc, second = device.call(SENDER, public, INFO, IKM_E)
    assert first_enc == second_enc == ENC
    assert first.export(b"", 32) != second.export(b"", 32)
    receiver = device.call(RECEIVER, second_enc, private, INFO)
    assert receiver.open(3, second.seal(3, b"message", b"aad"), b"aad") == b"message"


@settings(deadline=None, max_examples=5)
@given(info=st.binary(max_size=64), plaintext=st.binary(max_size=200), aad=st.binary(max_size=80))
def test_pyhpke_opens_what_the_board_seals(
    device: Interpreter, info: bytes, plaintext: bytes, aad: bytes
) -> None:
    key, _, public = new_key()
    enc, sender = device.call(SENDER, public, info, secrets.token_bytes(32))
    receiver = SUITE.create_recipient_context(
        enc, KEMKey.from_pyca_cryptography_key(key), info=info
    )
    for sequence in range(3):
        assert receiver.open(sender.seal(sequence, plaintext, aad), aad) == plaintext
    assert receiver.export(aad, 345) == sender.export(aad, 345)


@settings(deadline=None, max_examples=5)
@given(info=st.binary(max_size=64), plaintext=st.binary(max_size=200), aad=st.binary(max_size=80))
def test_the_board_opens_what_pyhpke_seals(
    device: Interpreter, info: bytes, plaintext: bytes, aad: bytes
) -> None:
    key, private, _ = new_key()
    enc, sender = SUITE.create_sender_context(
        KEMKey.from_pyca_cryptography_key(key.public_key()), info=info
    )
    receiver = device.call(RECEIVER, enc, private, info)
    for sequence in range(3):
        assert receiver.open(sequence, sender.seal(plaintext, aad), aad) == plaintext
    assert receiver.export(aad, 345) == sender.export(aad, 345)


@pytest.mark.parametrize(
    "enc",
    [
        b"",
        ENC[1:],
        ENC[:-1],
        ENC + b"\x00",
        b"\x02" + ENC[1:33],
        b"\x00" + ENC[1:],
        b"\x02" + ENC[1:],
        b"\x06" + ENC[1:],
        b"\x04" + bytes(64),
        ENC[:-1] + bytes((ENC[-1] ^ 1,)),
        b"\x04" + b"\xff" * 64,
    ],
    ids=lambda enc: f"{enc[:1].hex()}-{len(enc)}",
)
def test_refuses_an_enc_that_is_no_uncompressed_point(device: Interpreter, enc: bytes) -> None:
    with pytest.raises(ValueError, match=r"uncompressed point|not on the curve"):
        device.call(RECEIVER, enc, PRIVATE, INFO)


@pytest.mark.parametrize(
    "public",
    [b"", PUBLIC, RECIPIENT[:-1], bytes(64), RECIPIENT[:-1] + bytes((RECIPIENT[-1] ^ 1,))],
    ids=len,
)
def test_refuses_a_recipient_that_is_no_public_key(device: Interpreter, public: bytes) -> None:
    with pytest.raises(ValueError, match="not on the curve"):
        device.call(SENDER, public, INFO, IKM_E)


@pytest.mark.parametrize("private", [bytes(32), N.to_bytes(32), b"\xff" * 32, b"\x01", b""])
def test_refuses_a_private_key_out_of_range(device: Interpreter, private: bytes) -> None:
    with pytest.raises(ValueError, match=r"out of range|not 32 bytes"):
        device.call(RECEIVER, ENC, private, INFO)


def test_refuses_an_ikm_shorter_than_a_key(device: Interpreter) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        device.call(SENDER, RECIPIENT, INFO, IKM_E[:31])


def test_exports_up_to_255_blocks(contexts: list[Handle]) -> None:
    sender, receiver = contexts
    assert sender.export(b"label", 0) == b""
    assert len(sender.export(b"label", 255 * 32)) == 255 * 32
    assert sender.export(b"label", 33) == receiver.export(b"label", 33)
    for length in (255 * 32 + 1, (1 << 16) + 32, -1):
        with pytest.raises(ValueError, match="at most 8160 bytes"):
            sender.export(b"label", length)


def test_passes_over_candidates_that_are_no_private_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    good = (N - 1).to_bytes(32)
    candidates = iter([bytes(32), N.to_bytes(32), b"\xff" * 32, good])
    counters = []

    def expand(prk: bytes, info: bytes, length: int) -> bytes:
        counters.append(info[-1])
        return next(candidates)

    monkeypatch.setattr(hpke.hkdf, "expand", expand)
    assert hpke._derive_private_key(IKM_E) == good
    assert counters == [0, 1, 2, 3]


def test_gives_up_after_256_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = []

    def expand(prk: bytes, info: bytes, length: int) -> bytes:
        counters.append(info[-1])
        return bytes(length)

    monkeypatch.setattr(hpke.hkdf, "expand", expand)
    with pytest.raises(ValueError, match="no private key"):
        hpke._derive_private_key(IKM_E)
    assert counters == list(range(256))
