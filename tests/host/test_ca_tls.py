"""Who may talk to whom while a fleet goes to another CA: with Python's TLS, and with mbed TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import NAMES, make, no_password
from birthkey_host import certificates
from birthkey_host.ca import Phase
from birthkey_host.certificates import make_authority, make_server, parse_allowed, parse_names
from boards.emulated.unix_port import micropython

BUNDLES = ("old", "both", "new")
TABLE = {
    "before": (True, True, False),
    "begun": (True, True, False),
    "switched": (False, True, True),
    "finished": (False, True, True),
}
"""Whether a board with each of the bundles takes the server's certificate of each phase."""

CASES = [
    pytest.param(phase, bundle, good, id=f"{phase}, board has {bundle}")
    for phase, row in TABLE.items()
    for bundle, good in zip(BUNDLES, row, strict=True)
]

MBED_TLS = """
import socket, sys, tls
host, name, port = sys.argv[1:4]
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
context.verify_mode = tls.CERT_REQUIRED
for path in sys.argv[4:]:
    with open(path, "rb") as file:
        context.load_verify_locations(file.read())
connection = socket.socket()
connection.connect(socket.getaddrinfo(host, int(port))[0][-1])
try:
    wrapped = context.wrap_socket(connection, server_hostname=name)
    wrapped.write(b"hello")
    print(wrapped.read(5).decode())
except (OSError, ValueError) as error:
    print(error)
"""


@pytest.fixture(scope="module")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem as old, both and new; tls.pem as it is in each phase."""
    kept = tmp_path_factory.mktemp("rotation")
    ca = make(kept / "home", Phase.ONE)
    shutil.copy(ca.bundle, kept / "old")
    shutil.copy(ca.server_path, kept / "before")
    with ca:
        ca.begin(no_password)
        shutil.copy(ca.bundle, kept / "both")
        shutil.copy(ca.server_path, kept / "begun")
        ca.switch(no_password)
        shutil.copy(ca.server_path, kept / "switched")
        ca.finish()
        shutil.copy(ca.bundle, kept / "new")
        shutil.copy(ca.server_path, kept / "finished")
    return kept


def test_bundles_differ(rotation: Path) -> None:
    old, both, new = ((rotation / name).read_bytes() for name in BUNDLES)
    assert both == old + new
    assert old != new


class Server:
    """Answers what a client says, over TLS, one client after the other."""

    def __init__(self, tls_pem: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(tls_pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.settimeout(10)
            try:
                with self._context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.sendall(wrapped.recv(5))
            except OSError:  # the client does not like the certificate
                connection.close()
            if self._ends:
                return

    _ends = False

    def stop(self) -> None:
        self._ends = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def server(rotation: Path, phase: str) -> Iterator[Server]:
    server = Server(rotation / phase)
    yield server
    server.stop()


def by_python(port: int, bundle: Path, name: str = "iot.example.com") -> str:
    """What the server echoes, or why Python refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the host's name
    context.load_verify_locations(bundle)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname=name) as wrapped,
        ):
            wrapped.sendall(b"hello")
            return wrapped.recv(5).decode()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def by_mbed_tls(port: int, bundle: Path, name: str = "iot.example.com") -> str:
    """What the server echoes, or why MicroPython refuses it."""
    files = []
    for number, each in enumerate(x509.load_pem_x509_certificates(bundle.read_bytes())):
        files.append(bundle.with_name(f"{bundle.name}.{number}.der"))
        files[-1].write_bytes(each.public_bytes(Encoding.DER))
    script = bundle.with_name("mbed_tls.py")
    script.write_text(MBED_TLS)
    command = [micropython(), script, "127.0.0.1", name, str(port), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("phase", "bundle", "good"), CASES)
def test_python(server: Server, rotation: Path, bundle: str, good: bool) -> None:
    said = by_python(server.port, rotation / bundle)
    assert said == ("hello" if good else "unable to get local issuer certificate")


@pytest.mark.parametrize(("phase", "bundle", "good"), CASES)
def test_mbed_tls(server: Server, rotation: Path, bundle: str, good: bool) -> None:
    said = by_mbed_tls(server.port, rotation / bundle)
    assert said == "hello" if good else "not correctly signed by the trusted CA" in said


@pytest.mark.parametrize("phase", ["before", "switched"])
@pytest.mark.parametrize(
    ("name", "good"),
    [
        *((name.replace("*", "p7"), True) for name in NAMES),
        ("example.com", False),
        ("a.b.pumps.example.com", False),
        ("pumps.example.com", False),
        ("127.0.0.2", False),
    ],
)
def test_names_are_checked(server: Server, rotation: Path, name: str, good: bool) -> None:
    said = by_python(server.port, rotation / "both", name)
    assert said == "hello" if good else f"certificate is not valid for '{name}'" in said
    said = by_mbed_tls(server.port, rotation / "both", name)
    assert said == "hello" if good else "does not match with the expected CN" in said


def test_longest_certificate_reaches_mbed_tls(tmp_path: Path) -> None:
    ca = make_authority()
    names = [f"{'a' * 60}.{number:02}.example" for number in range(21)]
    (tmp_path / "tls.pem").write_bytes(make_server(ca, parse_names(names)).pem())
    (tmp_path / "ca.pem").write_bytes(ca.pem().partition(b"-----BEGIN PRIVATE")[0])
    server = Server(tmp_path / "tls.pem")
    try:
        assert by_mbed_tls(server.port, tmp_path / "ca.pem", names[-1]) == "hello"
    finally:
        server.stop()


LIMITS = ("example.com", "127.0.0.0/8")


@pytest.mark.parametrize(
    ("name", "python"),
    [("iot.example.com", None), ("127.0.0.1", None), ("iot.example.org", "permitted subtree")],
)
def test_names_that_the_ca_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, python: str | None
) -> None:
    """mbed TLS takes a CA that is limited to some names, and does not look at the limits."""
    ca = make_authority(parse_allowed(LIMITS))
    monkeypatch.setattr(certificates, "_is_within", lambda name, limits: True)
    (tmp_path / "tls.pem").write_bytes(make_server(ca, parse_names([name])).pem())
    (tmp_path / "ca.pem").write_bytes(ca.pem().partition(b"-----BEGIN PRIVATE")[0])
    server = Server(tmp_path / "tls.pem")
    try:
        assert by_mbed_tls(server.port, tmp_path / "ca.pem", name) == "hello"
        said = by_python(server.port, tmp_path / "ca.pem", name)
        assert said == "hello" if python is None else python in said
    finally:
        server.stop()


def test_mbed_tls_reads_no_ca_whose_limits_are_critical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is why they are not, although RFC 5280 would have them so."""
    add = x509.CertificateBuilder.add_extension

    def add_critical(
        builder: x509.CertificateBuilder, extension: x509.ExtensionType, critical: bool
    ) -> x509.CertificateBuilder:
        return add(builder, extension, critical or isinstance(extension, x509.NameConstraints))

    monkeypatch.setattr(x509.CertificateBuilder, "add_extension", add_critical)
    ca = make_authority(parse_allowed(LIMITS))
    path = tmp_path / "ca.der"
    path.write_bytes(ca.certificate.public_bytes(Encoding.DER))
    script = tmp_path / "read.py"
    script.write_text(
        "import sys, tls\n"
        "context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n"
        "context.load_verify_locations(open(sys.argv[1], 'rb').read())\n"
    )
    done = subprocess.run([micropython(), script, path], capture_output=True, text=True, timeout=20)
    assert "ValueError: invalid cert" in done.stdout
