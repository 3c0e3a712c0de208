"""COSE structures of the protocol: COSE_Sign1 and COSE_Encrypt0 (RFC 9052).

docs/protocol.md is the norm. A frame is its tag, one byte, and an array; the codec
itself refuses tags, so the tag is put on and taken off here.
"""

from hashlib import sha256

from birthkey import cbor
from birthkey._port import const
from birthkey.crypto import chacha20poly1305, p256

MAX_FRAME = const(4096)
MAX_ANSWER = const(1095)  # docs/protocol.md, "Answers", has the sum

_ENCRYPT0 = b"\xd0"
_SIGN1 = b"\xd2"

# Header labels (RFC 9052 section 3.1) and algorithms (RFC 9053).
_ALG = const(1)
_KID = const(4)
_PARTIAL_IV = const(6)
_KID_CONTEXT = const(10)
_ES256 = const(-7)
_CHACHA20_POLY1305 = const(24)

# An answer, from its first byte: what is between these is the Partial IV, 8 bytes, and the IV, 12;
# then comes the ciphertext's head.
_BEFORE_PARTIAL_IV = b"\xd0\x83\x58\x1c\xa3\x01\x18\x18\x04\x48"
_BEFORE_IV = b"\x05\x4c"
_BEFORE_CIPHERTEXT = b"\xa0"
_PROTECTED = const(4)
_PARTIAL_IV_AT = const(10)
_IV_AT = const(20)
_PROTECTED_END = const(32)
_HEAD = const(33)
_LEAST_SEALED = const(17)  # a tag, and something
_LEAST_ANSWER = const(51)


def cose_key(public):
    """COSE_Key of a public key, x || y."""
    return {1: 2, -1: 1, -2: bytes(public[:32]), -3: bytes(public[32:])}


def thumbprint(public):
    """COSE Key Thumbprint (RFC 9679), 32 bytes; ids are its first 16."""
    return sha256(cbor.dumps(cose_key(public))).digest()


def hpke_info(server_id):
    return cbor.dumps(["birthkey/1", server_id])


def uplink_aad(server_id, enc, boot):
    """What a signature binds beside the message: server, seal and boot."""
    return cbor.dumps(["birthkey/1 up", server_id, enc, boot])


def downlink_aad(device_id):
    return cbor.dumps(["birthkey/1 down", device_id])


def partial_iv(boot, number):
    return (boot << 32 | number).to_bytes(8, "big")


def signed_frame(private, device_id, message, external_aad):
    """COSE_Sign1 over an encoded message."""
    protected = cbor.dumps({_ALG: _ES256, _KID: device_id})
    structure = cbor.dumps(["Signature1", protected, external_aad, message])
    signature = p256.sign(private, sha256(structure).digest())
    return _SIGN1 + cbor.dumps([protected, {}, message, signature])


def sealed_frame(context, server_id, enc, boot, number, signed):
    """COSE_Encrypt0 of a signed frame, in the boot's HPKE context."""
    iv = partial_iv(boot, number)
    protected = cbor.dumps(
        {_ALG: _CHACHA20_POLY1305, _KID: server_id, _PARTIAL_IV: iv, _KID_CONTEXT: enc}
    )
    sealed = context.seal(boot << 32 | number, signed, _encrypt0_aad(protected, b""))
    frame = _ENCRYPT0 + cbor.dumps([protected, {}, sealed])
    if len(frame) > MAX_FRAME:
        raise ValueError("a frame has at most %d bytes, not %d" % (MAX_FRAME, len(frame)))
    return frame


class Answer:
    """A COSE_Encrypt0 from the server, taken apart but not yet opened.

    ValueError when it is not one. `partial_iv` names the frame that it answers. Anyone can send
    one, so it has one shape alone, which is compared where it is: that allocates next to nothing.
    """

    def __init__(self, frame):
        size = len(frame)
        if not _LEAST_ANSWER <= size <= MAX_ANSWER:
            raise ValueError("an answer has %d to %d bytes" % (_LEAST_ANSWER, MAX_ANSWER))
        view = memoryview(frame)
        length = frame[_HEAD] - 0x40
        start = _HEAD + 1
        shortest = _LEAST_SEALED <= length < 24
        if length == 24:
            length = frame[start]
            start += 1
            shortest = length >= 24
        elif length == 25:
            length = frame[start] << 8 | frame[start + 1]
            start += 2
            shortest = length >= 256
        if (
            not shortest
            or start + length != size
            or view[:_PARTIAL_IV_AT] != _BEFORE_PARTIAL_IV
            or view[_IV_AT - 2 : _IV_AT] != _BEFORE_IV
            or view[_PROTECTED_END:_HEAD] != _BEFORE_CIPHERTEXT
        ):
            raise ValueError(
                "an answer is COSE_Encrypt0, [{1: 24, 4: ..., 5: ...}, {}, ciphertext]"
            )
        self._protected = view[_PROTECTED:_PROTECTED_END]
        self._nonce = view[_IV_AT:_PROTECTED_END]
        self._sealed = view[start:]
        # Its kid is the partial-iv of the frame that it answers.
        self.partial_iv = bytes(view[_PARTIAL_IV_AT : _IV_AT - 2])

    def open(self, key, device_id):
        """The encoded message; ValueError when it is not authentic."""
        aad = _encrypt0_aad(self._protected, downlink_aad(device_id))
        return chacha20poly1305.open(key, self._nonce, self._sealed, aad)


def _encrypt0_aad(protected, external_aad):
    return cbor.dumps(["Encrypt0", protected, external_aad])
