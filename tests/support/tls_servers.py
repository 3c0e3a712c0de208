"""Servers at the other end of a board's TLS: good ones, and those that do as they like.

    with Peer() as peer:
        peer.serve = echo(context(certificate))
        ...  # a board connects to 127.0.0.1, peer.port
        assert peer.ended() == "closed by the board"
        peer.serve = talk(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")

Each connection is served in a thread of its own, by what is in `serve` when it comes.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from OpenSSL import SSL

from certificates import Issued
from sockets import port_of
from tls_wire import Cut

Serve = Callable[[socket.socket, "Peer"], None]
Result = TypeVar("Result")

PATIENCE = 30.0  # seconds; no board takes that long
_PIECE = 65536


class Closed(Exception):
    """The board has closed the connection."""


class Peer:
    """Listens on 127.0.0.1, `port`.

    `received` is what boards have sent, out of TLS where there is any; `clients` are the
    certificates that they have shown, in DER, None for none.
    """

    def __init__(self) -> None:
        self.serve: Serve = silent
        self.received = b""
        self.clients: list[bytes | None] = []
        self._ended: queue.Queue[str] = queue.Queue()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Peer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = port_of(self._listener)
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def forget(self) -> None:
        """Begin anew with what is kept of connections."""
        self.received = b""
        self.clients.clear()
        self._ended = queue.Queue()  # a connection of before may be about to end

    def ended(self) -> str:
        """How the next connection has ended, in order: OpenSSL's reason where it was TLS."""
        return self._ended.get(timeout=PATIENCE)

    def cut(self) -> None:
        """Break every connection off."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def take(self, data: bytes) -> bytes:
        """Note what a board has sent."""
        self.received += data
        return data

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(self._serve, connection, self._ended)

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, connection: socket.socket, ended: queue.Queue[str]) -> None:
        connection.settimeout(PATIENCE)
        how = "closed by the server"
        try:
            with connection:
                self.serve(connection, self)
        except Closed:
            how = "closed by the board"
        except ssl.SSLError as error:
            how = error.reason or str(error)
        except SSL.Error as error:
            how = error.args[0][0][2] if error.args and error.args[0] else repr(error)
        except OSError as error:
            how = type(error).__name__
        ended.put(how)


# Without TLS.


def plain_echo(connection: socket.socket, peer: Peer) -> None:
    """Gives back what comes."""
    while data := connection.recv(_PIECE):
        connection.sendall(peer.take(data))
    raise Closed


def silent(connection: socket.socket, peer: Peer) -> None:
    """Takes everything, and never says a word."""
    while data := connection.recv(_PIECE):
        peer.take(data)
    raise Closed


def talk(words: bytes) -> Serve:
    """Speaks first, and then listens."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        connection.sendall(words)
        silent(connection, peer)

    return serve


def answer_then_close(words: bytes) -> Serve:
    """Answers the first thing that comes, and closes."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        peer.take(connection.recv(_PIECE))
        connection.sendall(words)

    return serve


def repeat(record: bytes) -> Serve:
    """Answers the first thing that comes with a record, again and again."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        peer.take(connection.recv(_PIECE))
        while True:
            connection.sendall(record * 100)

    return serve


# With TLS.


def context(
    certificate: Issued,
    folder: Path,
    *,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ciphers: str = "ECDHE-ECDSA-AES128-GCM-SHA256",
    clients: bytes | None = None,
) -> ssl.SSLContext:
    """Settings of a server for one version. `clients`: a certificate that boards must show."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of versions that boards do not take
        made.minimum_version = made.maximum_version = version
    made.set_ciphers(ciphers)
    made.load_cert_chain(certificate.save(folder / "server.pem"))
    if clients is not None:
        made.load_verify_locations(cadata=clients)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


class CutOff(Exception):
    """What was to be sent has been cut; nothing goes out any more."""


class TlsEnd:
    """The server's end of TLS on a socket.

    `cut` takes what it sends, until it is done; `delay` is the time in seconds that the network
    takes in each direction.
    """

    def __init__(
        self,
        connection: socket.socket,
        settings: ssl.SSLContext,
        cut: Cut | None = None,
        delay: float = 0.0,
    ) -> None:
        self._connection, self._cut, self._delay = connection, cut, delay
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = settings.wrap_bio(self._came, self._goes, server_side=True)

    def handshake(self) -> None:
        self._do(self.tls.do_handshake)

    def receive(self) -> bytes:
        """All that has come, once it is something; raises Closed at the connection's end."""
        data = self._do(lambda: self.tls.read(_PIECE))
        if not data:
            raise Closed
        with contextlib.suppress(ssl.SSLWantReadError):
            while more := self.tls.read(_PIECE):
                data += more
        return data

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self._flush()

    def end(self) -> None:
        """Send close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def _do(self, step: Callable[[], Result]) -> Result:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._flush()
            data = self._connection.recv(_PIECE)
            if not data:
                raise Closed
            time.sleep(self._delay)
            self._came.write(data)

    def _flush(self) -> None:
        data = self._goes.read()
        if not data:
            return
        time.sleep(self._delay)
        if self._cut:
            data = self._cut(data)
        self._connection.sendall(data)
        if self._cut and self._cut.done:
            raise CutOff


def tls(settings: ssl.SSLContext, then: Callable[[TlsEnd, Peer], None]) -> Serve:
    """Shakes hands, and does something then."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        end = TlsEnd(connection, settings)
        end.handshake()
        peer.clients.append(end.tls.getpeercert(binary_form=True))
        then(end, peer)

    return serve


def echo(settings: ssl.SSLContext) -> Serve:
    """Gives back what comes."""

    def then(end: TlsEnd, peer: Peer) -> None:
        while True:
            end.send(peer.take(end.receive()))

    return tls(settings, then)


def front(
    settings: ssl.SSLContext,
    port: int,
    delay: float = 0.0,
    answers: threading.Event | None = None,
) -> Serve:
    """Ends TLS in front of a server on a port of 127.0.0.1, and passes the bytes on.

    Answers are held back until `answers` is set.
    """

    def serve(connection: socket.socket, peer: Peer) -> None:
        end = TlsEnd(connection, settings, delay=delay)
        end.handshake()
        peer.clients.append(end.tls.getpeercert(binary_form=True))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as server:
            while True:
                readable, _, _ = select.select([connection, server], [], [], PATIENCE)
                if not readable:
                    raise TimeoutError
                if server in readable:
                    answer = server.recv(_PIECE)
                    if not answer:
                        return
                    if answers:
                        answers.wait(PATIENCE)
                    end.send(answer)
                if connection in readable:
                    server.sendall(peer.take(end.receive()))

    return serve


def say(settings: ssl.SSLContext, *pieces: bytes, notify: bool = False) -> Serve:
    """Sends these, each in records of its own, and closes the connection; TLS before, perhaps."""

    def then(end: TlsEnd, peer: Peer) -> None:
        for piece in pieces:
            end.send(piece)
        if notify:
            end.end()

    return tls(settings, then)


def cut_off(
    settings: ssl.SSLContext, place: str, *, close: bool = True, data: bytes = b""
) -> Serve:
    """Shakes hands and sends data, until that place; then it closes, or is silent."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        end = TlsEnd(connection, settings, Cut(place))
        with contextlib.suppress(CutOff):
            end.handshake()
            end.send(data)
            raise AssertionError(f"{place} was not among what the server sent")
        if not close:
            silent(connection, peer)

    return serve


def renegotiate(certificate: Issued) -> Serve:
    """Asks for another handshake as soon as the first one is over, and says what comes of that."""

    def serve(connection: socket.socket, peer: Peer) -> None:
        settings = SSL.Context(SSL.TLSv1_2_METHOD)
        settings.use_certificate(certificate.certificate)
        settings.use_privatekey(certificate.key)
        connection.settimeout(None)  # pyOpenSSL takes a timeout for a socket that never waits
        end = SSL.Connection(settings, connection)
        end.set_accept_state()
        end.do_handshake()
        end.renegotiate()
        end.do_handshake()
        while True:
            peer.take(end.recv(_PIECE))

    return serve
