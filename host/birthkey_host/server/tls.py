"""TLS on a connection that was accepted: OpenSSL between asyncio's streams and the frames.

Not asyncio's own, for the reasons in docs/adr/0009-tls-by-pyopenssl.md. OpenSSL reads and writes
nothing itself: it is handed what came, and asked for what goes. It gets more only when it has used
up the last: so a connection holds a chunk, a record, and what the listener asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from birthkey_host import cose
from birthkey_host.legible import excerpt
from birthkey_host.server.certificate import Certificate

_HEADER = 5
_CHUNK = 4096  # bytes that OpenSSL is handed at once
_RECORD = 4096  # bytes in a record; there are boards that take no more
_HANDSHAKE = 32 * 1024  # bytes that a peer may send before it has proven anything

_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
)


class TlsError(Exception):
    """TLS has ended otherwise than by its own end; the text says how, for a log."""


class ClientCertificates(StrEnum):
    """Whether boards show a certificate of their own, made from their birth key."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(slots=True)
class _Client:
    """What a peer's certificate said, if it showed one."""

    device_id: bytes | None = None
    fault: str | None = None


def make_context(certificate: Certificate, clients: ClientCertificates) -> SSL.Context:
    """The settings of every connection: TLS 1.2 as boards speak it, and 1.3."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_tmp_ecdh(ec.SECP256R1())  # which makes it the only group, of TLS 1.3 too
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection needs none
    context.use_certificate(certificate.chain[0])
    for issuer in certificate.chain[1:]:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(certificate.key)
    context.check_privatekey()
    if clients is not ClientCertificates.NONE:
        need = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if clients is ClientCertificates.REQUIRED else 0
        context.set_verify(SSL.VERIFY_PEER | need, _verify)
    return context


def _verify(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """Take any certificate that a board can have made; OpenSSL asks once for each complaint.

    Nobody vouches for the key, and the dates are those of a board without a clock: what counts
    is the key itself, whose possession TLS goes on to prove.
    """
    client = connection.get_app_data()
    assert isinstance(client, _Client)
    if client.device_id is None and client.fault is None:
        try:
            if depth:
                raise ValueError("somebody else has issued it")
            client.device_id = device_of(certificate.to_cryptography())
        except ValueError as fault:
            client.fault = (
                f"its certificate is not one that a board makes: {excerpt(str(fault), 200)}"
            )
        except Exception as fault:  # whatever the library makes of what a stranger has made up
            client.fault = f"its certificate cannot be read: {excerpt(str(fault), 200)}"
    return client.fault is None


def device_of(certificate: x509.Certificate) -> bytes:
    """The device id whose birth key is in a self-signed certificate; ValueError for any other."""
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("its key is not on P-256")
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
        raise ValueError("it is not signed with its own key") from None
    return cose.thumbprint(cose.public_bytes(key))[:16]


class TlsStream:
    """What `PlainStream` is, over TLS. `context`: see `make_context`."""

    def __init__(
        self, context: SSL.Context, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._client = _Client()
        self._tls = SSL.Connection(context, None)
        self._tls.set_app_data(self._client)
        self._tls.set_accept_state()
        self._record = bytearray()  # what has come of one that is not whole
        self.cost = 0.0
        """Seconds of the processor that the handshake has taken."""

    async def handshake(
        self, turn: asyncio.Lock, moved: Callable[[], None] = lambda: None
    ) -> bytes | None:
        """Shake hands; the device whose birth key the peer has proven, None if it showed no key.

        Calls `moved` after each step that the peer has made, of which there are only a few.
        Each costly step is made holding `turn`, and then everything else gets its chance: so
        many handshakes at once delay each other, and the frames of others by one step.
        Raises `TlsError`, `OSError`, and `IncompleteReadError` for a peer that said nothing.
        """
        came, state = 0, self._tls.get_state_string()
        while True:
            async with turn:
                done = self._step()
                await asyncio.sleep(0)
            if state != (state := self._tls.get_state_string()):
                moved()
            if done:
                break
            data = await self._receive()
            if not data:
                if not came or self._writer.is_closing():
                    raise asyncio.IncompleteReadError(b"", None)
                raise TlsError("it went away in the middle of the TLS handshake")
            came += len(data)
            if came > _HANDSHAKE:
                raise TlsError("its TLS handshake is longer than any that a board makes")
        await self.drain()
        return self._client.device_id

    async def readexactly(self, count: int) -> bytes:
        """That many bytes.

        Raises `IncompleteReadError` when TLS has come to its end before, `TlsError` when the
        connection was cut in the middle of them or what came was changed on its way, or `OSError`.
        """
        data = bytearray()
        while len(data) < count:
            try:
                data += self._tls.recv(count - len(data))
            except SSL.WantReadError:
                if not await self._receive():
                    # We have ended it ourselves, or a board has, between two records: no
                    # close_notify comes from MicroPython's TLS, and a frame that is whole says so.
                    if self._writer.is_closing() or not (data or self._record):
                        raise asyncio.IncompleteReadError(bytes(data), count) from None
                    raise TlsError(
                        "it was cut: the connection has ended, and TLS has not (no close_notify)"
                    ) from None
            except SSL.ZeroReturnError:
                raise asyncio.IncompleteReadError(bytes(data), count) from None
            except SSL.Error as error:
                self._flush()
                raise TlsError(_why_broken(error)) from None
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Send `data`, in records that a board has room for."""
        try:
            for at in range(0, len(data), _RECORD):
                self._tls.sendall(data[at : at + _RECORD])
        except SSL.Error as error:
            raise TlsError(_why_broken(error)) from None
        self._flush()

    async def drain(self) -> None:
        """Wait until most of what was written has gone. Raises `OSError`."""
        await self._writer.drain()

    def close(self) -> None:
        """End TLS, and close the connection when all that was written has gone."""
        if not self._writer.is_closing():
            with contextlib.suppress(SSL.Error):  # TLS has not begun, or has broken
                self._tls.shutdown()
            self._flush()
            self._writer.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed. Raises `OSError`."""
        await self._writer.wait_closed()

    def abort(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    def _step(self) -> bool:
        """Go on with the handshake as far as it goes; whether it is over."""
        began = time.thread_time()
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise TlsError(self._client.fault or _why_not_begun(error)) from None
        finally:
            self._flush()  # an alert, too
            self.cost += time.thread_time() - began
        return True

    async def _receive(self) -> bytes:
        """Hand OpenSSL what comes next; nothing at the end.

        What it has to say to what came before, which may be much if the peer asks for it, has
        gone by then.
        """
        self._flush()
        await self.drain()
        if data := await self._reader.read(_CHUNK):
            self._tls.bio_write(data)
            self._record += data
            while len(self._record) >= _HEADER:  # RFC 8446 section 5.1: type, version, length
                size = _HEADER + int.from_bytes(self._record[3:_HEADER], "big")
                if len(self._record) < size:
                    break
                del self._record[:size]
        return data

    def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):  # there is no more
            while True:
                self._writer.write(self._tls.bio_read(_CHUNK))


# OpenSSL's reasons, in what they mean to whoever runs the server.
_NOT_BEGUN = {
    "http request": "it speaks HTTP and not TLS",
    "https proxy request": "it speaks HTTP and not TLS",
    "wrong version number": "it does not speak TLS",
    "unsupported protocol": "it speaks no TLS of version 1.2 or later",
    "version too low": "it speaks no TLS of version 1.2 or later",
    "no shared cipher": "it offers neither TLS 1.3 nor ECDHE-ECDSA with AES-GCM or"
    " ChaCha20-Poly1305 on P-256",
    "no suitable key share": "it does not offer P-256",
    "peer did not return a certificate": "it shows no certificate, and here each board must",
    "bad signature": "it has not proven that the key in its certificate is its own",
}
_DISTRUST = {
    "unknown ca": "another authority than the board's has issued it",
    "decrypt error": "another authority of the same name has issued it, or it was changed on the"
    " way",
    "bad certificate": "perhaps it is for another name than the board connects to",
    "certificate expired": "it has expired",
    "certificate revoked": "it was revoked",
    "certificate unknown": "it does not say why",
    "unsupported certificate": "it is of a kind that the board does not know",
    "access denied": "it does not say why",
}
_ALERT = re.compile(".* alert (.*)")
_CHANGED = ("bad record mac", "decryption failed or bad record mac")
_IN_A_RECORD = "record layer failure"


def _why_not_begun(error: SSL.Error) -> str:
    """Why a handshake failed."""
    reasons = _reasons(error)
    if alert := _ALERT.fullmatch(reasons[0]):
        if hint := _DISTRUST.get(alert[1]):
            return f"the board does not trust the certificate: {alert[1]}, {hint}"
        if alert[1] not in _CHANGED:
            return f"it refuses the TLS handshake: {alert[1]}"
    elif _IN_A_RECORD not in reasons and (sentence := _NOT_BEGUN.get(reasons[0])):
        return sentence
    return _why_broken(error)


def _why_broken(error: SSL.Error) -> str:
    """Why TLS ended."""
    reasons = _reasons(error)
    if alert := _ALERT.fullmatch(reasons[0]):
        if alert[1] in _CHANGED:
            return f"what it was sent was changed on its way: {alert[1]}"
        return f"it ends TLS: {alert[1]}"
    if _IN_A_RECORD in reasons:
        changed = next((reason for reason in reasons if reason in _CHANGED), reasons[0])
        return f"what it sent was changed on its way: {changed}"
    return f"what it sent breaks the rules of TLS, or was changed on its way: {reasons[0]}"


def _reasons(error: SSL.Error) -> list[str]:
    """OpenSSL's own words, those of its TLS first, and then the first cause first."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        queue = sorted(queue, key=lambda entry: "SSL" not in entry[0])
        return [reason for _, _, reason in queue]
    return [str(error) or type(error).__name__]
