"""Decides which device a frame comes from, and what it says; keeps no sockets and no clock.

The steps of `Verifier.receive` are the table in docs/protocol.md, cheapest first. What fails
before a signature was verified gets silence (FrameError); what fails after it, and the one
refusal that needs no signature, `unknown-device`, is an Outcome that carries its refusal.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from birthkey_host import cbor, cose, hpke, signatures
from birthkey_host.errors import FrameError, Layer
from birthkey_host.keys import ServerKey
from birthkey_host.legible import excerpt
from birthkey_host.message import (
    Command,
    Enrol,
    Message,
    Reason,
    Status,
    Type,
    check_data,
    decode_message,
    enrol_key,
    parse_enrol,
    parse_status,
)

__all__ = ["FrameError", "KnownDevice", "Lookup", "Outcome", "Verdict", "Verifier"]

_CONTEXTS = 4096
_REPEATS = 256
_REPLAY = (Reason.OLD, Reason.STALE_BOOT, Reason.CLONED)


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device as the registry has bound it."""

    device_id: bytes
    """16 bytes, the beginning of `thumbprint`."""
    thumbprint: bytes
    """32 bytes, RFC 9679."""
    public_key: bytes
    """x || y, 64 bytes."""


Lookup = Callable[[bytes], KnownDevice | None]
"""device_id -> the device, or None: the only question that the verifier asks."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the registry decided about an Outcome."""

    reason: Reason | None
    """Why it is refused; None: it is stored, and acknowledged."""
    newest: int
    """The highest boot number seen for the device, 0 for none."""
    stored: bool
    """False for a refused message, and for one that had been stored before."""
    device_created: bool = False
    command: Command | None = None
    """What goes down behind the acknowledgement; it is on record as sent."""
    stranger: bool = field(default=False, compare=False)
    """Whether that device was let in, or made to wait, without an approval or a claim code."""
    booted: bool = field(default=False, compare=False)
    """Whether this frame began a boot, which is kept with it."""
    detail: str = field(default="", compare=False)
    """Why it is refused, as a sentence for a log, if there is more to say than `reason`."""
    fault: str | None = field(default=None, compare=False)
    """Why the database could not record it, for a log."""

    @property
    def layer(self) -> Layer | None:
        """The layer that refused it, if one did."""
        if self.reason is None:
            return None
        return "replay" if self.reason in _REPLAY else "policy"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A frame that was opened, whose signature was verified (but for `unknown-device`)."""

    device_id: bytes
    public_key: bytes | None
    """The key that verified the signature, x || y; None for `unknown-device`."""
    message: Message
    enrol: Enrol | None
    status: Status | None
    message_bytes: bytes
    signed_frame: bytes
    server_id: bytes
    enc: bytes
    boot: int
    frame_number: int
    source: str
    """Where the frame came from, as its listener names it."""
    now: float
    """When it came, Unix seconds."""
    refusal: Reason | None
    """A refusal that needs no registry: unknown-device, type or malformed."""
    detail: str
    """That refusal as a sentence for a log, legible whatever was in the message."""
    _context: hpke.Context = field(repr=False, compare=False)

    @property
    def layer(self) -> Layer | None:
        """The layer of `refusal`."""
        return None if self.refusal is None else "policy"

    def answer(self, verdict: Verdict) -> bytes:
        """The sealed answer: acknowledge, the time for a status that asks for it, or refuse.

        Only after the commit, since acknowledge means stored. `refusal` wins over the verdict.
        """
        reason = self.refusal or verdict.reason
        body: dict[int | str, cbor.Value] = {0: verdict.newest}
        kind = Type.ACKNOWLEDGE
        if reason is not None:
            kind = Type.REFUSE
            body[1] = reason.value
        elif self.status is not None and self.status.wants_time:
            kind = Type.TIME
            body[1] = int(self.now)
        elif verdict.command is not None:
            body[1] = True  # that a command follows
        return self.seal(Message(kind, self.message.counter, body))

    def command(self, verdict: Verdict) -> bytes | None:
        """The sealed command that the acknowledgement announces, if one does; after the commit."""
        command = verdict.command
        if command is None:
            return None
        return self.seal(Message(Type.COMMAND, command.id, {0: verdict.newest, 1: command.body}))

    def seal(self, message: Message) -> bytes:
        """Seal a message that goes down to the sender of this frame, who alone can open it."""
        partial_iv = (self.boot << 32 | self.frame_number).to_bytes(8, "big")
        answer = cose.Answer(partial_iv, os.urandom(12))
        key = ChaCha20Poly1305(self._context.export(cose.DOWN, 32))
        sealed = key.encrypt(answer.iv, message.encode(), answer.aad(self.device_id))
        return replace(answer, ciphertext=sealed).encode()


class Verifier:
    """Opens frames and verifies who signed them."""

    def __init__(
        self, server_keys: Iterable[ServerKey], lookup: Lookup, *, backend: str = "openssl"
    ) -> None:
        """`backend` is a name in `signatures.BACKENDS`. Raises ValueError without a key."""
        self._keys = {key.server_id: key for key in server_keys}
        if not self._keys:
            raise ValueError("a verifier needs at least one server key")
        self._lookup = lookup
        self._backend = signatures.backend(backend)
        self._contexts = _Contexts(_CONTEXTS)
        self._repeats: OrderedDict[bytes, Outcome] = OrderedDict()

    @property
    def server_ids(self) -> Collection[bytes]:
        """The keys that frames may be sealed to."""
        return self._keys.keys()

    def receive(self, frame: bytes, *, source: str, now: float) -> Outcome:
        """Check one frame that came from `source` at `now` (Unix seconds).

        Raises FrameError for whatever gets silence, and nothing else for any bytes.
        """
        sealed = cose.SealedFrame.decode(frame)
        server = self._server(sealed)
        digest = hashlib.sha256(frame).digest()
        if (repeated := self._repeats.get(digest)) is not None:
            return replace(repeated, source=source, now=now)
        context = self._contexts.get(sealed) or _decapsulate(sealed, server)
        signed_frame = _open(sealed, context)
        signed = cose.SignedFrame.decode(signed_frame)
        message = decode_message(signed.payload)
        known = self._lookup(signed.kid)
        public = _key_to_verify(signed.kid, message, known)
        if public is None:
            detail = f"no device {signed.kid.hex()} is registered; it must enrol first"
            checked = Checked(refusal=Reason.UNKNOWN_DEVICE, detail=detail)
        else:
            self._verify(sealed, signed, public)
            checked = check_message(message, sealed.boot)
        outcome = Outcome(
            device_id=signed.kid,
            public_key=public,
            message=message,
            enrol=checked.enrol,
            status=checked.status,
            message_bytes=signed.payload,
            signed_frame=signed_frame,
            server_id=sealed.server_id,
            enc=sealed.enc,
            boot=sealed.boot,
            frame_number=sealed.frame_number,
            source=source,
            now=now,
            refusal=checked.refusal,
            detail=checked.detail,
            _context=context,
        )
        # Only a registered device's: a stranger could fill these with keys made for the purpose.
        if known is not None:
            self._contexts.put(sealed, signed.kid, context)
            self._repeats[digest] = outcome
            if len(self._repeats) > _REPEATS:
                self._repeats.popitem(last=False)
        return outcome

    def _server(self, sealed: cose.SealedFrame) -> ServerKey:
        key = self._keys.get(sealed.server_id)
        if key is None:
            raise FrameError(
                "seal",
                f"sealed to server {sealed.server_id.hex()}, whose key is not here; give the board"
                " this server's public key, or this server that key",
            )
        if sealed.boot == 0:
            raise FrameError("seal", "boot number 0 in the partial IV; boots start at 1")
        return key

    def _verify(self, sealed: cose.SealedFrame, signed: cose.SignedFrame, public: bytes) -> None:
        aad = cose.uplink_aad(sealed.server_id, sealed.enc, sealed.boot)
        if not self._backend.verify(public, signed.to_be_signed(aad), signed.signature):
            raise FrameError(
                "signature",
                f"not signed by the key of device {signed.kid.hex()} for this server, boot and"
                " seal: another key signed it, or it was taken out of another seal",
            )


@dataclass(frozen=True, slots=True)
class Checked:
    """What a message says, or why it is refused without asking the registry."""

    enrol: Enrol | None = None
    """The body of a well-formed enrol."""
    status: Status | None = None
    """The body of a well-formed status."""
    refusal: Reason | None = None
    detail: str = ""
    """The refusal as a sentence."""


def check_message(message: Message, boot: int) -> Checked:
    """Check a message's type, counter and body against the boot number of its frame."""
    if message.type not in (Type.ENROL, Type.DATA, Type.STATUS):
        return Checked(
            refusal=Reason.TYPE, detail=f"type {message.type} is none that a board sends"
        )
    try:
        if not 0 < message.boot <= boot:
            raise ValueError(f"counter of boot {message.boot} in a frame of boot {boot}")
        if message.type == Type.ENROL:
            return Checked(enrol=parse_enrol(message.body))
        if message.type == Type.STATUS:
            return Checked(status=parse_status(message.body))
        check_data(message.body)
    except ValueError as error:
        return Checked(refusal=Reason.MALFORMED, detail=excerpt(str(error)))
    return Checked()


def _decapsulate(sealed: cose.SealedFrame, server: ServerKey) -> hpke.Context:
    try:
        return hpke.setup_receiver(sealed.enc, server.private, cose.hpke_info(sealed.server_id))
    except ValueError as error:
        raise FrameError("seal", f"enc (label 10) is not a point of P-256: {error}") from None


def _open(sealed: cose.SealedFrame, context: hpke.Context) -> bytes:
    try:
        return context.open(int.from_bytes(sealed.partial_iv, "big"), sealed.ciphertext, sealed.aad)
    except ValueError:
        raise FrameError(
            "seal", "the seal does not open: changed on the way, or not sealed to this server's key"
        ) from None


def _key_to_verify(kid: bytes, message: Message, known: KnownDevice | None) -> bytes | None:
    """The key that must have signed: an enrol's own, else the registered one, else None."""
    if message.type == Type.ENROL:
        public = enrol_key(message.body)
        if public is None:
            raise FrameError("signature", "an enrol without a P-256 COSE_Key in field 1 to verify")
    elif known is None:
        return None
    else:
        public = known.public_key
    thumbprint = cose.thumbprint(public)
    if thumbprint[:16] != kid:
        raise FrameError("signature", f"kid {kid.hex()} is not the thumbprint of the key it names")
    if known is not None and known.thumbprint != thumbprint:
        raise FrameError("signature", f"device {kid.hex()} is registered with another key")
    return public


class _Contexts:
    """Contexts of registered devices by (server_id, enc), one per device, oldest use out first.

    They save the ECDH and say nothing about who sent a frame: that is the signature's business.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[bytes, bytes], tuple[bytes, hpke.Context]] = OrderedDict()
        self._of_device: dict[bytes, tuple[bytes, bytes]] = {}

    def get(self, sealed: cose.SealedFrame) -> hpke.Context | None:
        name = (sealed.server_id, sealed.enc)
        if name not in self._kept:
            return None
        self._kept.move_to_end(name)
        return self._kept[name][1]

    def put(self, sealed: cose.SealedFrame, device_id: bytes, context: hpke.Context) -> None:
        name = (sealed.server_id, sealed.enc)
        if name in self._kept:
            return
        self._kept.pop(self._of_device.get(device_id, name), None)
        self._kept[name] = (device_id, context)
        self._of_device[device_id] = name
        if len(self._kept) > self._limit:
            _, (oldest, _) = self._kept.popitem(last=False)
            del self._of_device[oldest]
