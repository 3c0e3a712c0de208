"""HPKE against RFC 9180 appendix A.5 and against pyhpke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

from birthkey_host import cose, hpke
from birthkey_host.keys import ServerKey

PUBLISHED = Path(__file__).parents[1] / "vectors" / "published"
VECTOR = json.loads((PUBLISHED / "rfc9180-a5.json").read_text())
INFO, ENC, PUBLIC, IKM_E, IKM_R = (
    bytes.fromhex(VECTOR[name]) for name in ("info", "enc", "pkRm", "ikmE", "ikmR")
)
SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


@pytest.fixture(params=["sender", "receiver"])
def context(request: pytest.FixtureRequest) -> hpke.Context:
    """Each end of the vector's exchange."""
    if request.param == "receiver":
        return hpke.setup_receiver(ENC, hpke.derive_key_pair(IKM_R), INFO)
    enc, context = hpke.setup_sender(PUBLIC[1:], INFO, IKM_E)
    assert enc == ENC
    return context


def test_derives_the_recipients_key_pair_of_rfc_9180() -> None:
    key = hpke.derive_key_pair(IKM_R)
    assert key.private_numbers().private_value == int(VECTOR["skRm"], 16)
    assert cose.public_bytes(key.public_key()) == PUBLIC[1:]


@pytest.mark.parametrize("vector", VECTOR["encryptions"], ids=lambda v: str(v["sequence"]))
def test_seals_and_opens_as_in_rfc_9180(context: hpke.Context, vector: dict[str, str]) -> None:
    plaintext, aad, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("plaintext", "aad", "ciphertext")
    )
    sequence = int(vector["sequence"])
    assert context.seal(sequence, plaintext, aad) == ciphertext
    assert context.open(sequence, ciphertext, aad) == plaintext


@pytest.mark.parametrize("vector", VECTOR["exports"], ids=lambda v: v["context"] or "empty")
def test_exports_as_in_rfc_9180(context: hpke.Context, vector: dict[str, str]) -> None:
    label = bytes.fromhex(vector["context"])
    assert context.export(label, int(vector["length"])).hex() == vector["value"]


def test_exports_any_length_up_to_the_limit(context: hpke.Context) -> None:
    assert [len(context.export(b"label", length)) for length in (1, 31, 33, 8160)] == [
        1, 31, 33, 8160,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="8160"):
        context.export(b"label", 8161)


@pytest.mark.parametrize("sequence", [0, 1, 1 << 32, 0xFFFFFFFF_FFFFFFFF])
def test_pyhpke_opens_what_is_sealed_here(sequence: int) -> None:
    key = ServerKey.generate()
    enc, context = hpke.setup_sender(key.public, INFO)
    recipient = SUITE.create_recipient_context(
        enc, KEMKey.from_pyca_cryptography_key(key.private), info=INFO
    )
    recipient._seq = sequence  # it only counts; a frame names its number
    assert recipient.open(context.seal(sequence, b"reading", b"aad"), b"aad") == b"reading"
    assert recipient.export(b"label", 32) == context.export(b"label", 32)


@pytest.mark.parametrize("sequence", [0, 7 << 32 | 9])
def test_opens_what_pyhpke_seals(sequence: int) -> None:
    key = ServerKey.generate()
    public = KEMKey.from_pyca_cryptography_key(key.private.public_key())
    enc, sender = SUITE.create_sender_context(public, info=INFO)
    sender._seq = sequence
    context = hpke.setup_receiver(enc, key.private, INFO)
    assert context.open(sequence, sender.seal(b"reading", b"aad"), b"aad") == b"reading"
    assert sender.export(b"label", 32) == context.export(b"label", 32)


def test_does_not_open_what_is_changed(context: hpke.Context) -> None:
    sealed = context.seal(3, b"reading", b"aad")
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    for sequence, data, aad in (
        (4, sealed, b"aad"),
        (3, sealed, b"other"),
        (3, changed, b"aad"),
        (3, sealed[:-1], b"aad"),
        (3, b"", b"aad"),
    ):
        with pytest.raises(ValueError, match="not authentic"):
            context.open(sequence, data, aad)


def test_another_info_or_key_gives_another_context(context: hpke.Context) -> None:
    sealed = context.seal(0, b"reading", b"")
    others = (
        hpke.setup_receiver(ENC, hpke.derive_key_pair(IKM_R), INFO + b"\0"),
        hpke.setup_receiver(ENC, ec.generate_private_key(ec.SECP256R1()), INFO),
    )
    for other in others:
        with pytest.raises(ValueError, match="not authentic"):
            other.open(0, sealed, b"")
        assert other.export(b"label", 32) != context.export(b"label", 32)


@pytest.mark.parametrize(
    "enc",
    {
        "off the curve": ENC[:-1] + bytes([ENC[-1] ^ 1]),
        "compressed": bytes([2 + (ENC[64] & 1)]) + ENC[1:33],
        "hybrid": bytes([6 + (ENC[64] & 1)]) + ENC[1:],
        "infinity": b"\0",
        "infinity of 65 bytes": bytes(65),
        "zero": b"\4" + bytes(64),
        "x of p": b"\4" + cose.P.to_bytes(32) + ENC[33:],
        "ones": b"\4" + b"\xff" * 64,
        "short": ENC[:-1],
        "long": ENC + b"\0",
        "nothing": b"",
    }.values(),
    ids=lambda enc: f"{len(enc)}-{enc[:2].hex()}",
)
def test_refuses_an_enc_that_is_no_uncompressed_point(enc: bytes) -> None:
    with pytest.raises(ValueError, match=r"enc|public key|point|Invalid EC key"):
        hpke.setup_receiver(enc, hpke.derive_key_pair(IKM_R), INFO)


def test_refuses_to_seal_to_what_is_no_point() -> None:
    with pytest.raises(ValueError, match=r"Invalid EC key"):
        hpke.setup_sender(bytes(64), INFO)


def test_each_context_without_ikm_has_its_own_ephemeral_key() -> None:
    assert hpke.setup_sender(PUBLIC[1:], INFO)[0] != hpke.setup_sender(PUBLIC[1:], INFO)[0]
