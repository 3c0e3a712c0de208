"""COSE structures of the protocol: COSE_Sign1 and COSE_Encrypt0 (RFC 9052).

docs/protocol.md is the norm. A frame is its tag, one byte, and an array; the codec
itself refuses tags, so the tag is put on and taken off here.
"""

from hashlib import sha256

from birthkey import cbor
from birthkey._port import const
from birthkey.crypto import chacha20poly1305, p256

MAX_FRAME = const(4096)

_ENCRYPT0 = b"\xd0"
_SIGN1 = b"\xd2"

# Header labels (RFC 9052 section 3.1) and algorithms (RFC 9053).
_ALG = const(1)
_KID = const(4)
_IV = const(5)
_PARTIAL_IV = const(6)
_KID_CONTEXT = const(10)
_ES256 = const(-7)
_CHACHA20_POLY1305 = const(24)


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

    ValueError when it is not one. `partial_iv` names the frame that it answers.
    """

    def __init__(self, frame):
        if not 1 < len(frame) <= MAX_FRAME or frame[0] != _ENCRYPT0[0]:
            raise ValueError("an answer is one COSE_Encrypt0 of at most %d bytes" % MAX_FRAME)
        value = cbor.loads(memoryview(frame)[1:])
        if not isinstance(value, list) or len(value) != 3 or value[1] != {}:
            raise ValueError("COSE_Encrypt0 is [protected, {}, ciphertext]")
        self._protected, _, self._sealed = value
        if not isinstance(self._protected, bytes) or not isinstance(self._sealed, bytes):
            raise ValueError("COSE_Encrypt0 is [protected, {}, ciphertext]")
        header = cbor.loads(self._protected)
        if not isinstance(header, dict) or len(header) != 3:
            raise ValueError("an answer's header has three labels")
        # Its kid is the partial-iv of the frame that it answers.
        self.partial_iv = header.get(_KID)
        self._nonce = header.get(_IV)
        if (
            not isinstance(header.get(_ALG), int)  # 24.0 == 24
            or header[_ALG] != _CHACHA20_POLY1305
            or not _is_bytes(self.partial_iv, 8)
            or not _is_bytes(self._nonce, 12)
        ):
            raise ValueError("an answer's header has another algorithm or other sizes")

    def open(self, key, device_id):
        """The encoded message; ValueError when it is not authentic."""
        aad = _encrypt0_aad(self._protected, downlink_aad(device_id))
        return chacha20poly1305.open(key, self._nonce, self._sealed, aad)


def _encrypt0_aad(protected, external_aad):
    return cbor.dumps(["Encrypt0", protected, external_aad])


def _is_bytes(value, size):
    return isinstance(value, bytes) and len(value) == size
