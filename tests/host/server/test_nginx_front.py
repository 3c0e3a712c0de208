"""TLS that others end: nginx in front of a server that knows none, and OpenSSL's own server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import nginx
import openssl_server
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from boards.build.cache import BuildError
from certificates import Issued, authority, issue
from command import Command
from processes import running
from recording import data
from sockets import receive

NAME = "iot.example.com"
CIPHERS = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]

Connect = Callable[..., ssl.SSLSocket]


@dataclass(frozen=True, slots=True)
class Files:
    """An authority, the file that clients trust, and the one that the front has."""

    ca: Issued
    trusted: Path
    server: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    ca = authority()
    trusted = ca.save_certificate(tmp_path / "ca.pem")
    return Files(ca, trusted, issue(ca, NAME).save(tmp_path / "tls.pem"))


@pytest.fixture
def connect(files: Files) -> Iterator[Connect]:
    """Opens TLS 1.2 to a port as a board does: one kind of suite, one authority, one name."""
    with ExitStack() as opened:

        def connect(port: int, trusted: Path = files.trusted, name: str = NAME) -> ssl.SSLSocket:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(":".join(CIPHERS))
            context.load_verify_locations(trusted)
            plain = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            secured = opened.enter_context(context.wrap_socket(plain, server_hostname=name))
            cipher = secured.cipher()
            assert (secured.version(), cipher and cipher[0] in CIPHERS) == ("TLSv1.2", True)
            return secured

        yield connect


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(tmp_path_factory.mktemp("server") / "home")
    command("init")
    return command


@pytest.fixture(scope="module")
def address(home: Command) -> Iterator[str]:
    """Where a server that lets everyone in listens, without TLS."""
    serve = ("serve", "--listen", "127.0.0.1:0", "--policy", "open")
    with running("--home", str(home.home), *serve) as server:
        yield server.line().removeprefix("listening on ")


@pytest.fixture
def board(home: Command) -> ReferenceDevice:
    """A new one for each test; all are served by the same server."""
    return ReferenceDevice.generate(bytes.fromhex(home("server-key")))


@pytest.fixture
def front(address: str, files: Files) -> Iterator[nginx.Front]:
    with nginx.front(address, files.server) as front:
        yield front


class TestNginx:
    def test_frames_pass(
        self, home: Command, board: ReferenceDevice, front: nginx.Front, connect: Connect
    ) -> None:
        connection = connect(front.port)
        ask(connection, board, board.enrol("pico", "1.0"))
        ask(connection, board, data(board, 1))
        ask(connect(front.port), board, data(board, 2))
        stored = home("messages", "--device", board.device_id.hex()).splitlines()[1:]
        assert [line.split("\t")[2] for line in stored] == ["1:0", "1:1", "1:2"]

    @pytest.mark.parametrize(
        ("authority_name", "problem"),
        [
            ("another authority", "unable to get local issuer certificate"),
            ("birthkey test authority", "certificate signature failure"),
        ],
    )
    def test_client_refuses_another_authority(
        self,
        front: nginx.Front,
        connect: Connect,
        tmp_path: Path,
        authority_name: str,
        problem: str,
    ) -> None:
        other = authority(authority_name).save_certificate(tmp_path / "other.pem")
        with pytest.raises(ssl.SSLCertVerificationError, match=problem):
            connect(front.port, trusted=other)

    def test_client_refuses_another_name(self, front: nginx.Front, connect: Connect) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            connect(front.port, name="other.example.com")

    def test_a_new_certificate_leaves_connections_alone(
        self, board: ReferenceDevice, front: nginx.Front, connect: Connect, files: Files
    ) -> None:
        before = connect(front.port)
        ask(before, board, board.enrol("pico", "1.0"))
        renewed = issue(files.ca, NAME)
        renewed.save(files.server)
        assert shown(connect(front.port)) == shown(before) != renewed.der
        front.reload()
        after = connect(front.port)
        assert shown(after) == renewed.der
        ask(before, board, data(board, 1))
        ask(after, board, data(board, 2))

    def test_a_certificate_that_is_none_is_said_and_changes_nothing(
        self, board: ReferenceDevice, front: nginx.Front, connect: Connect, files: Files
    ) -> None:
        before = shown(connect(front.port))
        files.server.write_text("-----BEGIN NOTHING-----\n")
        with pytest.raises(AssertionError, match="cannot load certificate"):
            front.reload()
        after = connect(front.port)
        assert shown(after) == before
        ask(after, board, board.enrol("pico", "1.0"))

    def test_nothing_is_left_of_it(self, address: str, files: Files, connect: Connect) -> None:
        with nginx.front(address, files.server) as front:
            left = connect(front.port)
            front.reload()  # so that a former worker has it
        with suppress(ConnectionResetError):
            assert left.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(front.port)

    def test_a_configuration_that_it_refuses_is_said(self, address: str, files: Files) -> None:
        with (
            pytest.raises(AssertionError, match='unknown directive "nonsense"'),
            nginx.front(address, files.server, None, "nonsense on;"),
        ):
            pass

    def test_a_machine_without_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: Files
    ) -> None:
        monkeypatch.setenv("BIRTHKEY_TOOLS", "path")
        (tmp_path / "nginx").write_text(
            "#!/bin/sh\necho 'configure arguments: --with-stream=dynamic' >&2\n"
        )
        (tmp_path / "nginx").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with (
            pytest.raises(BuildError, match="no module `stream` with TLS: install it"),
            nginx.front("127.0.0.1:1", files.server),
        ):
            pass


class TestOpenssl:
    def test_bytes_pass_both_ways(self, connect: Connect, files: Files) -> None:
        every = b"Q" + bytes(range(256)) * 40  # longer than a record of a board
        with openssl_server.serving(files.server, "-tls1_2") as server:
            with connect(server.port) as connection:
                connection.sendall(every)
                assert server.receive(len(every)) == every
                server.send(every)
                assert receive(connection, len(every)) == every
            with connect(server.port) as connection:
                connection.sendall(b"again")
                assert server.receive(5) == b"again"

    def test_no_client_is_left_hanging(self, connect: Connect, files: Files) -> None:
        with openssl_server.serving(files.server) as server:
            connection = connect(server.port)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server.port)

    def test_what_is_wrong_is_said(self, connect: Connect, files: Files) -> None:
        with (
            openssl_server.serving(files.server, "-tls1_3") as server,
            pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
        ):
            connect(server.port)
        with (
            pytest.raises(AssertionError, match="-nonsense"),
            openssl_server.serving(files.server, "-nonsense"),
        ):
            pass

    def test_a_machine_without_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: Files
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with (
            pytest.raises(BuildError, match="openssl is not on PATH: install it"),
            openssl_server.serving(files.server),
        ):
            pass


def ask(connection: ssl.SSLSocket, board: ReferenceDevice, message: Message) -> None:
    """Send a message; the server has it when this returns."""
    frame = board.frame(message)
    connection.sendall(len(frame).to_bytes(2, "big") + frame)
    answer = board.open(receive(connection, int.from_bytes(receive(connection, 2), "big")))
    assert (answer.type, answer.counter) == (Type.ACKNOWLEDGE, message.counter)


def shown(connection: ssl.SSLSocket) -> bytes | None:
    """The certificate that the server has shown."""
    return connection.getpeercert(binary_form=True)
