"""A board in Python, for tests, for demonstrations of attacks and for load.

Not the firmware, and no model of one: it keeps nothing, and it does what it is told. Whoever
plays a thief or a broken board sets `kid`, `server_id`, `boot` or `frame_number`, overrides
`signature`, or makes frames of parts with `sign` and `seal`.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from birthkey_host import cose, hpke, signatures
from birthkey_host.cbor import Value
from birthkey_host.errors import FrameError
from birthkey_host.message import Enrol, Message, Type, check_down, decode_message


class ReferenceDevice:
    """One board: a birth key, the key of the server it trusts, and a boot."""

    def __init__(
        self,
        private: bytes,
        server_public: bytes,
        *,
        boot: int = 1,
        backend: str = "openssl",
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`private` is 32 bytes, `server_public` x || y. Raises ValueError for what is no key."""
        self.private = private
        key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        self.public = cose.public_bytes(key.public_key())
        self.thumbprint = cose.thumbprint(self.public)
        self.device_id = self.kid = self.thumbprint[:16]
        self.server_public = server_public
        self.server_id = cose.thumbprint(server_public)[:16]
        self._backend = signatures.backend(backend)
        self._random = random
        self.start(boot)

    @classmethod
    def generate(cls, server_public: bytes, *, boot: int = 1) -> ReferenceDevice:
        """A board with a new birth key."""
        return cls(os.urandom(32), server_public, boot=boot)

    def start(self, boot: int) -> None:
        """Begin a boot: a new ephemeral key, and both rows of numbers from 0."""
        self.boot = boot
        self.sequence = 0
        self.frame_number = 0
        self._sent: dict[int, int] = {}
        ikm = hmac.digest(
            self.private,
            b"birthkey/1 eph" + boot.to_bytes(4, "big") + self._random(32),
            "sha256",
        )
        self.enc, self._context = hpke.setup_sender(
            self.server_public, cose.hpke_info(self.server_id), ikm
        )

    def message(self, kind: int, body: Value) -> Message:
        """A message with the next counter of this boot."""
        counter = self.boot << 32 | self.sequence
        self.sequence += 1
        return Message(kind, counter, body)

    def enrol(self, board: str, firmware: str, claim: bytes | None = None) -> Message:
        """An enrol with the board's own key."""
        return self.message(Type.ENROL, Enrol(self.public, board, firmware, claim).body())

    def frame(self, message: Message) -> bytes:
        """Sign and seal a message, under a new frame number each time."""
        self._sent[self.frame_number] = message.counter
        return self.seal(self.sign(message.encode()))

    def sign(self, payload: bytes) -> bytes:
        """The signed-frame of any payload."""
        signed = cose.SignedFrame(self.kid, payload)
        aad = cose.uplink_aad(self.server_id, self.enc, self.boot)
        return replace(signed, signature=self.signature(signed.to_be_signed(aad))).encode()

    def signature(self, data: bytes) -> bytes:
        """The signature of a Sig_structure: r || s, 64 bytes."""
        return self._backend.sign(self.private, data)

    def seal(self, plaintext: bytes) -> bytes:
        """The sealed-frame of any plaintext."""
        sealed = cose.SealedFrame(self.server_id, self.enc, self.boot, self.frame_number)
        self.frame_number += 1
        number = int.from_bytes(sealed.partial_iv, "big")
        return replace(
            sealed, ciphertext=self._context.seal(number, plaintext, sealed.aad)
        ).encode()

    def open(self, data: bytes) -> Message:
        """Open an answer to a frame of this boot.

        Raises FrameError for anything that is not one, and for one to another device.
        """
        answer = cose.Answer.decode(data)
        boot, number = divmod(int.from_bytes(answer.partial_iv, "big"), 1 << 32)
        if boot != self.boot or number >= self.frame_number:
            raise FrameError("seal", f"answers frame {number} of boot {boot}, which was not sent")
        key = ChaCha20Poly1305(self._context.export(cose.DOWN, 32))
        try:
            plaintext = key.decrypt(answer.iv, answer.ciphertext, answer.aad(self.device_id))
        except InvalidTag:
            raise FrameError("seal", "the answer is not authentic") from None
        message = decode_message(plaintext)
        try:
            check_down(message)
        except ValueError as error:
            raise FrameError("policy", str(error)) from None
        counter = self._sent.get(number)
        if message.type != Type.COMMAND and counter not in (None, message.counter):
            raise FrameError("policy", f"is about {message.counter:#x}; frame {number} was not")
        return message
