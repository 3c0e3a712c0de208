"""The records of TLS 1.2 on their way: what is where in them, and hooks that meddle with them.

    modem.on_downlink = Flip("Certificate.signature", bit=7)
    modem.on_uplink = Call("ClientKeyExchange", action=modem.reset)

A place is a record and a field of it. A record is called after the message of the handshake that
it carries, or "ChangeCipherSpec", "Alert", "Application"; as soon as ChangeCipherSpec has been
sent, what carries a handshake is "Finished", and it, alerts and data are encrypted with AES-GCM
(RFC 5246 sections 6.2.1, 7.4, RFC 5288 section 3, RFC 8422 section 5.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEADER = 5
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
_TYPES = {CHANGE_CIPHER_SPEC: "ChangeCipherSpec", ALERT: "Alert", APPLICATION: "Application"}
_MESSAGES = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
}
# The fields of a message: a size, or the bytes of the length that goes before what has the name.
_LAYOUTS: dict[str, tuple[tuple[str, int, bool], ...]] = {
    "ClientHello": (
        ("version", 2, False),
        ("random", 32, False),
        ("session id", 1, True),
        ("cipher suites", 2, True),
        ("compression", 1, True),
        ("extensions", 2, True),
    ),
    "ServerHello": (
        ("version", 2, False),
        ("random", 32, False),
        ("session id", 1, True),
        ("cipher suite", 2, False),
        ("compression", 1, False),
        ("extensions", 2, True),
    ),
    "Certificate": (("list length", 3, False), ("certificate", 3, True)),
    "ServerKeyExchange": (
        ("curve type", 1, False),
        ("curve", 2, False),
        ("point", 1, True),
        ("algorithm", 2, False),
        ("signature", 2, True),
    ),
    "ClientKeyExchange": (("point", 1, True),),
    "CertificateVerify": (("algorithm", 2, False), ("signature", 2, True)),
}
_NONCE = 8  # explicit, of AES-GCM
_TAG = 16


@dataclass(frozen=True)
class Record:
    """One record, whole; `name` as in a place."""

    name: str
    data: bytes

    @property
    def fields(self) -> dict[str, range]:
        """Where its fields are, in bytes from its beginning."""
        end = len(self.data)
        found = {
            "record type": range(1),
            "record version": range(1, 3),
            "record length": range(3, HEADER),
        }
        if self.name in ("Finished", "Application"):
            found["nonce"] = range(HEADER, HEADER + _NONCE)
            found["ciphertext"] = range(HEADER + _NONCE, end - _TAG)
            found["tag"] = range(end - _TAG, end)
        elif self.name in _MESSAGES.values():
            found["message type"] = range(HEADER, HEADER + 1)
            found["message length"] = range(HEADER + 1, HEADER + 4)
            found |= self._message_fields(HEADER + 4)
        else:
            found["body"] = range(HEADER, end)
        return found

    def _message_fields(self, at: int) -> dict[str, range]:
        found = {}
        for name, size, is_length in _LAYOUTS.get(self.name, ()):
            if is_length:
                found[f"{name} length"] = range(at, at + size)
                at += size
                size = int.from_bytes(self.data[at - size : at], "big")
            found[name] = range(at, at + size)
            at += size
        if self.name == "Certificate":
            found |= self._certificate_fields(found["certificate"])
        return found

    def _certificate_fields(self, where: range) -> dict[str, range]:
        der = self.data[where.start : where.stop]
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        parts = {"name": certificate.subject.public_bytes(), "key": key}
        found = {}
        for name, part in parts.items():
            start = where.start + der.rindex(part)
            found[name] = range(start, start + len(part))
        found["signature"] = range(where.stop - len(certificate.signature), where.stop)
        return found


@dataclass
class Records:
    """Takes the stream of one direction apart."""

    _rest: bytes = b""
    _encrypted: bool = False

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are whole now."""
        self._rest += data
        while len(self._rest) >= HEADER:
            end = HEADER + int.from_bytes(self._rest[3:HEADER], "big")
            if len(self._rest) < end:
                return
            record, self._rest = self._rest[:end], self._rest[end:]
            yield Record(self._name(record), record)

    @property
    def rest(self) -> bytes:
        """What has come of a record that is not whole."""
        return self._rest

    def _name(self, record: bytes) -> str:
        if record[0] != HANDSHAKE:
            self._encrypted = self._encrypted or record[0] == CHANGE_CIPHER_SPEC
            return _TYPES[record[0]]
        if self._encrypted:
            return "Finished"
        # One message in each record, as OpenSSL and mbed TLS send them.
        assert int.from_bytes(record[6:9], "big") == len(record) - 9, "two messages in a record"
        return _MESSAGES[record[HEADER]]


@dataclass
class _Hook:
    """What is done when the first record comes that has the place in it."""

    place: str
    action: Callable[[], object] | None = field(default=None, kw_only=True)  # done then, too
    done: bool = field(default=False, init=False)
    _records: Records = field(default_factory=Records, init=False)

    def __call__(self, data: bytes) -> bytes:
        """What goes on of what has come: whole records."""
        return b"".join(self._pass(record) for record in self._records.feed(data))

    def _pass(self, record: Record) -> bytes:
        name, _, field_name = self.place.partition(".")
        if self.done or record.name != name:
            return record.data
        self.done = True
        where = record.fields[field_name] if field_name else range(len(record.data))
        assert len(where), f"{self.place} is empty"
        if self.action:
            self.action()
        return self._do(record.data, where)

    def _do(self, record: bytes, where: range) -> bytes:
        """What goes on in the place of that record."""
        raise NotImplementedError


@dataclass
class Flip(_Hook):
    """Changes one bit of a field."""

    byte: int = 0
    bit: int = 0

    def _do(self, record: bytes, where: range) -> bytes:
        changed = bytearray(record)
        changed[where[self.byte]] ^= 1 << self.bit
        return bytes(changed)


@dataclass
class Cut(_Hook):
    """Lets nothing through from the middle of a field on, or from the beginning of one byte."""

    def _pass(self, record: Record) -> bytes:
        return b"" if self.done else super()._pass(record)

    def _do(self, record: bytes, where: range) -> bytes:
        return record[: where[len(where) // 2]]


@dataclass
class Call(_Hook):
    """Changes nothing."""

    def _do(self, record: bytes, where: range) -> bytes:
        return record
