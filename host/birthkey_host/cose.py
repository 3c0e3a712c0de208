"""The three COSE structures of the protocol, and the names of keys.

RFC 9052 (structures), RFC 9053 (algorithms), RFC 9679 (thumbprints). Encoding is
deterministic, so a structure is rebuilt from its fields byte for byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from birthkey_host import cbor
from birthkey_host.cbor import Value
from birthkey_host.errors import FrameError

MAX_FRAME = 4096

MAX_ANSWER = 1095
"""Of what goes down; docs/protocol.md has the sum."""
"""Bytes of a frame."""

# NIST P-256, SP 800-186 section 3.2.1.3.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

_ES256 = -7
_CHACHA20_POLY1305 = 24
_ALG, _KID, _IV, _PARTIAL_IV, _KID_CONTEXT = 1, 4, 5, 6, 10
_ENCRYPT0, _SIGN1 = 16, 18
_TAG_LENGTH = 16  # of ChaCha20/Poly1305

DOWN = b"birthkey/1 down"
"""Label under which the key for answers is exported (RFC 9180 section 5.3)."""


def thumbprint(public: bytes) -> bytes:
    """The COSE Key Thumbprint (RFC 9679 section 3) of x || y: 32 bytes."""
    return hashlib.sha256(cbor.dumps(to_cose_key(public))).digest()


def to_cose_key(public: bytes) -> Value:
    """x || y as a COSE_Key (RFC 9053 section 7.1.1), without optional parameters."""
    return {1: 2, -1: 1, -2: public[:32], -3: public[32:]}


def from_cose_key(value: Value) -> bytes | None:
    """x || y of a COSE_Key that has exactly the shape of `to_cose_key`; else None.

    The shape only: `is_point` tells whether it is a key.
    """
    if not isinstance(value, dict):
        return None
    x, y = value.get(-2), value.get(-3)
    if not (isinstance(x, bytes) and isinstance(y, bytes) and len(x) == len(y) == 32):
        return None
    # By encoding, not by equality, which takes 2.0 for 2 and True for 1.
    return x + y if cbor.dumps(value) == cbor.dumps(to_cose_key(x + y)) else None


def is_point(public: bytes) -> bool:
    """Whether x || y is a point of P-256 in its only form."""
    x, y = int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big")
    return len(public) == 64 and x < P and y < P and (y * y - (x * x - 3) * x - _B) % P == 0


def load_public(public: bytes) -> ec.EllipticCurvePublicKey:
    """The key object of x || y. Raises ValueError when it is no point of P-256."""
    if len(public) != 64:
        raise ValueError(f"a public key is x || y, 64 bytes, not {len(public)}")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """x || y of a key object."""
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )[1:]


def uplink_aad(server_id: bytes, enc: bytes, boot: int) -> bytes:
    """What a signature covers besides the message."""
    return cbor.dumps(["birthkey/1 up", server_id, enc, boot])


def downlink_aad(device_id: bytes) -> bytes:
    """What an answer's seal covers besides its header."""
    return cbor.dumps([DOWN.decode(), device_id])


def hpke_info(server_id: bytes) -> bytes:
    """The `info` of a boot's HPKE context."""
    return cbor.dumps(["birthkey/1", server_id])


@dataclass(frozen=True, slots=True)
class SealedFrame:
    """A COSE_Encrypt0 on its way up."""

    server_id: bytes
    enc: bytes
    boot: int
    frame_number: int
    ciphertext: bytes = b""

    @property
    def partial_iv(self) -> bytes:
        """boot || frame number, 8 bytes."""
        return (self.boot << 32 | self.frame_number).to_bytes(8, "big")

    @property
    def protected(self) -> bytes:
        """The protected header, encoded."""
        return cbor.dumps(
            {
                _ALG: _CHACHA20_POLY1305,
                _KID: self.server_id,
                _PARTIAL_IV: self.partial_iv,
                _KID_CONTEXT: self.enc,
            }
        )

    @property
    def aad(self) -> bytes:
        """The Enc_structure of RFC 9052 section 5.3: the aad of the AEAD."""
        return _enc_structure(self.protected, b"")

    def encode(self) -> bytes:
        """The frame."""
        return _tagged(_ENCRYPT0, [self.protected, {}, self.ciphertext])

    @classmethod
    def decode(cls, frame: bytes) -> SealedFrame:
        """Read a frame. Raises FrameError of layer framing, cbor or cose."""
        if not 0 < len(frame) <= MAX_FRAME:
            raise FrameError("framing", f"{len(frame)} bytes; a frame has 1 to {MAX_FRAME}")
        protected, ciphertext = _untagged(_ENCRYPT0, frame, 3, "frame")
        header = _header(
            protected, _CHACHA20_POLY1305, {_KID: 16, _PARTIAL_IV: 8, _KID_CONTEXT: 65}, "frame"
        )
        _check_ciphertext(ciphertext, "frame")
        number = int.from_bytes(header[_PARTIAL_IV], "big")
        return cls(
            header[_KID], header[_KID_CONTEXT], number >> 32, number & 0xFFFFFFFF, ciphertext
        )


@dataclass(frozen=True, slots=True)
class SignedFrame:
    """A COSE_Sign1: a message and who says it."""

    kid: bytes
    payload: bytes
    signature: bytes = b""

    @property
    def protected(self) -> bytes:
        """The protected header, encoded."""
        return cbor.dumps({_ALG: _ES256, _KID: self.kid})

    def to_be_signed(self, external_aad: bytes) -> bytes:
        """The Sig_structure of RFC 9052 section 4.4, encoded."""
        return cbor.dumps(["Signature1", self.protected, external_aad, self.payload])

    def encode(self) -> bytes:
        """The signed-frame."""
        return _tagged(_SIGN1, [self.protected, {}, self.payload, self.signature])

    @classmethod
    def decode(cls, data: bytes) -> SignedFrame:
        """Read a signed-frame. Raises FrameError of layer cbor or cose.

        r and s are in 1..n-1 and s is at most n/2: without that anyone could make a second
        valid signature out of a first.
        """
        protected, payload, signature = _untagged(_SIGN1, data, 4, "signed-frame")
        header = _header(protected, _ES256, {_KID: 16}, "signed-frame")
        if len(signature) != 64:
            raise FrameError(
                "cose", f"the signature has {len(signature)} bytes; it is r || s, 64 bytes"
            )
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not 0 < r < N:
            raise FrameError("cose", "the signature's r is not in 1..n-1")
        if not 0 < s <= N // 2:
            raise FrameError(
                "cose", "the signature's s is not in 1..n/2; of s and n-s take the lower"
            )
        return cls(header[_KID], payload, signature)


@dataclass(frozen=True, slots=True)
class Answer:
    """A COSE_Encrypt0 on its way down."""

    partial_iv: bytes
    """Of the frame that is answered, 8 bytes."""
    iv: bytes
    """Random, 12 bytes."""
    ciphertext: bytes = b""

    @property
    def protected(self) -> bytes:
        """The protected header, encoded."""
        return cbor.dumps({_ALG: _CHACHA20_POLY1305, _KID: self.partial_iv, _IV: self.iv})

    def aad(self, device_id: bytes) -> bytes:
        """The Enc_structure of RFC 9052 section 5.3, for the device that is answered."""
        return _enc_structure(self.protected, downlink_aad(device_id))

    def encode(self) -> bytes:
        """The answer. Raises ValueError for one that no board takes."""
        data = _tagged(_ENCRYPT0, [self.protected, {}, self.ciphertext])
        if len(data) > MAX_ANSWER:
            raise ValueError(f"answer of {len(data)} bytes; boards take at most {MAX_ANSWER}")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Read an answer. Raises FrameError of layer framing, cbor or cose."""
        if not 0 < len(data) <= MAX_ANSWER:
            raise FrameError("framing", f"{len(data)} bytes; an answer has 1 to {MAX_ANSWER}")
        protected, ciphertext = _untagged(_ENCRYPT0, data, 3, "answer")
        header = _header(protected, _CHACHA20_POLY1305, {_KID: 8, _IV: 12}, "answer")
        _check_ciphertext(ciphertext, "answer")
        return cls(header[_KID], header[_IV], ciphertext)


def loads(data: bytes, what: str) -> Value:
    """Decode CBOR that is part of a frame. Raises FrameError of layer cbor, which names it."""
    try:
        return cbor.loads(data)
    except cbor.CborError as error:
        raise FrameError("cbor", f"{what}, {error}") from None


def _enc_structure(protected: bytes, external_aad: bytes) -> bytes:
    return cbor.dumps(["Encrypt0", protected, external_aad])


def _tagged(tag: int, parts: list[object]) -> bytes:
    return bytes([0xC0 | tag]) + cbor.dumps(parts)


def _untagged(tag: int, data: bytes, length: int, what: str) -> tuple[bytes, ...]:
    """The byte strings of a tagged COSE structure: all its parts but the empty unprotected map."""
    try:
        found, parts = cbor.loads_tagged(data)
    except cbor.CborError as error:
        raise FrameError("cbor", f"{what}, {error}") from None
    if found != tag:
        have = "no tag" if found is None else f"tag {found}"
        raise FrameError("cose", f"{what} has {have}; it begins with tag {tag}, {0xC0 | tag:02x}")
    if not isinstance(parts, list) or len(parts) != length:
        raise FrameError("cose", f"{what} is not an array of {length}")
    protected, unprotected, *rest = parts
    if unprotected != {}:
        raise FrameError("cose", f"{what}'s unprotected header is not the empty map")
    strings = [part for part in (protected, *rest) if isinstance(part, bytes)]
    if len(strings) != length - 1:
        raise FrameError("cose", f"{what}'s parts besides the unprotected header are byte strings")
    return tuple(strings)


def _header(data: bytes, algorithm: int, sizes: dict[int, int], what: str) -> dict[int, bytes]:
    """The byte strings of a protected header that holds `algorithm` and labels of these sizes."""
    header = loads(data, f"{what}'s protected header")
    if not isinstance(header, dict) or header.keys() != {_ALG, *sizes}:
        labels = ", ".join(map(str, sorted({_ALG, *sizes})))
        raise FrameError("cose", f"{what}'s protected header does not hold exactly {labels}")
    if type(header[_ALG]) is not int or header[_ALG] != algorithm:  # 24.0 == 24
        raise FrameError("cose", f"{what}'s algorithm (label 1) is not {algorithm}")
    strings = {}
    for label, size in sizes.items():
        value = header[label]
        if not isinstance(value, bytes) or len(value) != size:
            raise FrameError("cose", f"{what}'s label {label} is not a byte string of {size}")
        strings[label] = value
    return strings


def _check_ciphertext(ciphertext: bytes, what: str) -> None:
    if len(ciphertext) <= _TAG_LENGTH:
        raise FrameError("cose", f"{what}'s ciphertext of {len(ciphertext)} bytes holds nothing")
