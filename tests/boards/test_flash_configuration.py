"""birthkey.json is checked before a board gets it: what, where, and what to do."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from birthkey_host.ca import Authority
from birthkey_host.keys import ServerKey
from boards.build.dist import FIRMWARE
from boards.flash.__main__ import PASSWORD
from boards.flash.configuration import NAMES, Changes, ConfigurationError, check, dialect_of
from certificates import authority, issue
from flashing import Flash
from stock_board import StockBoard

KEY = ServerKey.generate().public.hex()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CA = authority(begins=EPOCH)
PEM = CA.certificate_pem.decode()
GOOD: dict[str, Any] = {
    "server": "iot.example.com:7155",
    "server_key": KEY,
    "modem": {"dialect": "esp_at", "ssid": "home", "password": "secret"},
}


def with_(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    "configuration",
    [
        GOOD,
        with_(server="[2001:db8::1]:7155"),
        with_(server="192.0.2.1:1"),
        with_(backup_key=ServerKey.generate().public.hex().upper()),
        with_(claim="00112233445566778899aAbBcCdDeEfF"),
        with_(interval_s=0.5, spool=100_000, count=3),
        with_(modem={"dialect": "esp_at", "buffer_size": 4096}),
        with_(tls=False),
        with_(tls=True, ca=PEM, client_certificate=True),
        with_(tls=True, ca=PEM + authority(begins=EPOCH).certificate_pem.decode()),
    ],
)
def test_good(configuration: dict[str, Any]) -> None:
    check(configuration)


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        (without("server"), 'lacks "server": --server HOST:PORT'),
        (without("server_key"), 'lacks "server_key": --server-key, as `birthkey server-key`'),
        (without("modem"), 'lacks "modem": --modem DIALECT'),
        (with_(sever="x"), '"sever" is no name of birthkey.json: server, server_key'),
        (with_(server="iot.example.com"), "\"server\" is 'iot.example.com', and not HOST:PORT"),
        (with_(server=":7155"), "and not HOST:PORT"),
        (with_(server=7155), "and not HOST:PORT"),
        (with_(server="iot.example.com:0"), '"server": port must be 1 to 65535'),
        (with_(server="iot.example.com:65536"), '"server": port must be 1 to 65535'),
        (with_(server='a",b:7155'), '"server": host must be 1 to 253 printable ASCII'),
        (with_(server_key=KEY[:-1]), '"server_key": a public key is 128 hex digits'),
        (with_(server_key="00" * 64), '"server_key": these 128 hex digits are not a point'),
        (with_(server_key=1), '"server_key" is not a text of hex digits'),
        (with_(backup_key="11" * 64), '"backup_key": these 128 hex digits are not a point'),
        (with_(backup_key=KEY.upper()), '"backup_key" is "server_key" again: leave it out'),
        (with_(claim="0" * 31), '"claim" is 32 hex digits, as `birthkey claim new`'),
        (with_(claim=5), '"claim" is 32 hex digits'),
        (with_(interval_s="60"), "\"interval_s\" is '60', and not a number"),
        (with_(interval_s=-1), '"interval_s" is -1, and not a number'),
        (with_(spool=1.5), '"spool" is 1.5, and not a number'),
        (with_(count=True), '"count" is True, and not a number'),
        (with_(modem="esp_at"), '"modem" names no "dialect": --modem DIALECT and what that needs'),
        (
            with_(modem={"ssid": "home"}),
            '"modem" names no "dialect": --modem DIALECT and what that needs',
        ),
        (with_(modem={"dialect": "hayes"}), "\"modem\": unknown modem dialect 'hayes'"),
        (with_(modem={"dialect": "esp_at", "pin": 1}), "\"modem\": unknown option 'pin'"),
        (with_(tls=1, ca=PEM), '"tls" is true or false'),
        (with_(tls=True), '"tls" lacks "ca": --ca FILE'),
        (with_(ca=PEM), '"ca" is for "tls": true, which is not there'),
        (with_(client_certificate=True), '"client_certificate" is for "tls": true'),
        (with_(tls=True, ca=PEM[:-50]), '"ca" is no certificate in PEM'),
        (
            with_(tls=True, ca=issue(CA, "a", begins=EPOCH).certificate_pem.decode()),
            '"ca": CN=a is no CA, but the certificate of somebody',
        ),
        (
            with_(tls=True, ca=authority().certificate_pem.decode()),
            "begins in 2024, and a board has no clock: to it, it is 1970",
        ),
    ],
)
def test_bad(configuration: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        check(configuration)


def private_pem(key: Any, form: PrivateFormat) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())
    return encoded


SECRETS = {
    "PEM": CA.key_pem.decode(),
    "SEC 1": private_pem(CA.key, PrivateFormat.TraditionalOpenSSL).decode(),
    "in one line": CA.key_pem.decode().replace("\n", " "),
    "DER in base64": base64.b64encode(CA.key_der).decode(),
    "DER in hex": CA.key_der.hex(),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("ca", lambda secret: with_(tls=True, ca=secret)),
        ("server_key", lambda secret: with_(server_key=secret)),
        ("claim", lambda secret: with_(claim=secret)),
        ("server", lambda secret: with_(server=secret)),
        ("password", lambda secret: with_(modem={"dialect": "esp_at", "password": secret})),
        ("notes", lambda secret: with_(notes=["", {"x": secret}])),
        ("birthkey.json", lambda secret: with_(**{secret: 1})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_private_keys_are_refused_wherever_they_are(kind: str, name: str, place: Any) -> None:
    name = "x" if name == "notes" else name
    with pytest.raises(ConfigurationError, match=f'^"{name}" holds a private key') as caught:
        check(place(SECRETS[kind]))
    assert SECRETS[kind][40:60] not in str(caught.value)


def test_a_ca_of_a_file_with_its_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "birthkey.json"
    file.write_text(json.dumps(with_(tls=True, ca=PEM + CA.key_pem.decode())))
    with pytest.raises(ConfigurationError, match=r'"ca" holds a private key.*: the ca\.pem of'):
        Changes(file=file).apply(None)


@pytest.mark.parametrize("password", ["secret12", "0123456789abcdef" * 4, "MIGHAgEAMBMGByqGSM49"])
def test_a_password_is_no_private_key(password: str) -> None:
    check(with_(modem={"dialect": "esp_at", "ssid": "home", "password": password}))


def test_names_are_those_that_the_application_reads() -> None:
    source = (FIRMWARE / "application.py").read_text()
    read = set(re.findall(r'configuration(?:\.get\(|\[)"(\w+)"', source))
    assert read == set(NAMES)


class TestChanges:
    def test_options_alone(self) -> None:
        changes = Changes(server="a:1", server_key=KEY, modem={"dialect": "esp_at"})
        assert json.loads(changes.apply(None)) == {
            "server": "a:1",
            "server_key": KEY,
            "modem": {"dialect": "esp_at"},
        }

    def test_options_change_what_the_board_has(self) -> None:
        present = json.dumps(with_(claim="0" * 32)).encode()
        changed = Changes(server="b:2", modem={"password": "new"}).apply(present)
        assert json.loads(changed) == {
            **GOOD,
            "server": "b:2",
            "claim": "0" * 32,
            "modem": {"dialect": "esp_at", "ssid": "home", "password": "new"},
        }

    def test_file_replaces_what_the_board_has(self, tmp_path: Path) -> None:
        file = tmp_path / "birthkey.json"
        file.write_text(json.dumps(GOOD))
        present = json.dumps(with_(claim="0" * 32)).encode()
        assert json.loads(Changes(file=file).apply(present)) == GOOD
        assert json.loads(Changes(file=file, server="c:3").apply(present))["server"] == "c:3"

    def test_same_content_is_the_same_bytes(self) -> None:
        first = Changes(server="a:1", server_key=KEY, modem={"dialect": "esp_at"}).apply(None)
        assert Changes(server="a:1").apply(first) == first

    def test_ca_makes_it_tls(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        file.write_text(PEM)
        changed = json.loads(Changes(ca=file).apply(json.dumps(GOOD).encode()))
        assert changed == {**GOOD, "tls": True, "ca": PEM}
        with pytest.raises(ConfigurationError, match="cannot read "):
            Changes(ca=tmp_path / "nowhere").apply(None)

    def test_only_certificates_of_a_file_go_onto_a_board(self, tmp_path: Path) -> None:
        other = authority(begins=EPOCH).certificate_pem.decode()
        file = tmp_path / "ca.pem"
        for content in (
            f"subject=CN = one\n{PEM}\n# ours, since May: ask Ada\n{other}".encode(),
            (PEM + other).replace("\n", "\r\n").encode(),
            PEM.encode() + b"\xff\x00" + other.encode(),
        ):
            file.write_bytes(content)
            changed = json.loads(Changes(ca=file).apply(json.dumps(GOOD).encode()))
            assert changed["ca"] == PEM + other
        file.write_bytes(CA.der)
        assert json.loads(Changes(ca=file).apply(json.dumps(GOOD).encode()))["ca"] == PEM
        file.write_text(json.dumps(with_(tls=True, ca=f"ask Ada\n{PEM}")))
        assert json.loads(Changes(file=file).apply(None))["ca"] == PEM

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_the_ca_s_own_file_is_refused(self, tmp_path: Path, encrypted: bool) -> None:
        """It holds the key that signs for every server that boards will trust."""
        ca = Authority(tmp_path)
        ca.create(lambda _: b"a long password" if encrypted else None)
        assert "PRIVATE KEY" in (tmp_path / "ca" / "current.pem").read_text()
        present = json.dumps(GOOD).encode()
        with pytest.raises(ConfigurationError) as caught:
            Changes(ca=tmp_path / "ca" / "current.pem").apply(present)
        assert str(caught.value) == (
            f"{tmp_path}/ca/current.pem holds a private key, which must be on no board: give"
            f" {tmp_path}/ca.pem, which has the certificates alone"
        )
        assert json.loads(Changes(ca=tmp_path / "ca.pem").apply(present))["tls"] is True

    @pytest.mark.parametrize("kind", ["key", "key first", "SEC 1", "DER", "base64", "RSA"])
    def test_any_file_with_a_private_key_is_refused(self, tmp_path: Path, kind: str) -> None:
        rsa_key = rsa.generate_private_key(65537, 2048)
        content = {
            "key": CA.key_pem,
            "key first": CA.key_pem + CA.certificate_pem,
            "SEC 1": CA.certificate_pem + private_pem(CA.key, PrivateFormat.TraditionalOpenSSL),
            "DER": CA.key_der,
            "base64": base64.encodebytes(CA.key_der),
            "RSA": CA.certificate_pem + private_pem(rsa_key, PrivateFormat.TraditionalOpenSSL),
        }[kind]
        file = tmp_path / "ca.pem"
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"holds a private key, .*`birthkey ca`"):
            Changes(ca=file).apply(json.dumps(GOOD).encode())

    def test_file_without_a_certificate_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        for content in (b"", b"\xff\xfe", b"birthkey"):
            file.write_bytes(content)
            with pytest.raises(ConfigurationError, match=r"ca\.pem holds no certificate"):
                Changes(ca=file).apply(json.dumps(GOOD).encode())

    def test_dialect_of_the_board(self) -> None:
        changed = Changes(server="a:1", server_key=KEY).apply(None, "esp_at")
        assert json.loads(changed)["modem"] == {"dialect": "esp_at"}
        kept = Changes(server="a:1").apply(json.dumps(GOOD).encode(), "other")
        assert json.loads(kept)["modem"]["dialect"] == "esp_at"

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [("{", "is not valid JSON"), ("[1]", "is not a JSON object"), (None, "cannot read")],
    )
    def test_file_that_is_none(self, tmp_path: Path, content: str | None, sentence: str) -> None:
        file = tmp_path / "birthkey.json"
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigurationError, match=sentence):
            Changes(file=file).apply(None)


def test_dialect_is_what_the_board_file_says(tmp_path: Path) -> None:
    board = tmp_path / "board.py"
    board.write_text('import machine\nMODEM = "esp_at"  # wired\n')
    assert dialect_of(board) == "esp_at"
    board.write_text("NAME = 1\n")
    assert dialect_of(board) is None


class TestPassword:
    """It is never an option: every user of the machine could read it."""

    @pytest.fixture
    def options(self, board: StockBoard, key: str) -> list[str]:
        way = ["--server", "a:1", "--server-key", key, "--modem", "esp_at", "--ssid", "home"]
        return ["--port", board.port, "--app", *way]

    def written(self, board: StockBoard) -> object:
        return json.loads(board.files()["/birthkey.json"])["modem"].get("password")

    def test_from_the_environment(
        self,
        flash: Flash,
        board: StockBoard,
        options: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(PASSWORD, 'se"cret')
        assert 'se"cret' not in flash(*options)
        assert self.written(board) == 'se"cret'

    def test_from_a_file(
        self, flash: Flash, board: StockBoard, options: list[str], tmp_path: Path
    ) -> None:
        file = tmp_path / "password"
        file.write_text(" with spaces \n")
        flash(*options, "--password-file", str(file))
        assert self.written(board) == " with spaces "

    def test_typed(
        self,
        flash: Flash,
        board: StockBoard,
        options: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("boards.flash.__main__.is_terminal", lambda: True)
        said = flash(*options, answer="typed\n")
        assert "Password of home" in said
        assert "typed" not in said
        assert self.written(board) == "typed"

    def test_from_nowhere(self, flash: Flash, options: list[str]) -> None:
        assert flash.fails(*options) == (
            f"the password of home is missing: {PASSWORD} (empty for an open network) or"
            " --password-file"
        )

    def test_file_that_is_not_there(self, flash: Flash, options: list[str]) -> None:
        assert "cannot read /nowhere" in flash.fails(*options, "--password-file", "/nowhere")


def test_board_without_configuration_is_told_of(flash: Flash, board: StockBoard) -> None:
    said = flash("--port", board.port, "--app")
    assert "there is no /birthkey.json yet: repeat with SERVER=, SERVER_KEY= and CONFIG=" in said


def test_bad_configuration_that_is_there_is_told_of(flash: Flash, board: StockBoard) -> None:
    flash("--port", board.port, "--app")
    from birthkey_host.repl import Repl

    with Repl(board.port) as repl:
        repl.run("with open('birthkey.json', 'w') as file:\n file.write('{}')")
    said = flash("--port", board.port, "--app")
    assert '/birthkey.json is as it was, but: birthkey.json lacks "server"' in said
