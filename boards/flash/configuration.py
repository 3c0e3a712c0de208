"""birthkey.json: put together from a file and options, and checked before a board gets it.

The modem's part and the server's address are checked by the firmware's own code.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509 import (
    BasicConstraints,
    ExtensionNotFound,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)

from birthkey_host.keys import parse_public

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"

# What firmware/application.py reads.
NUMBERS = ("interval_s", "spool", "count")
SWITCHES = ("tls", "client_certificate")
NAMES = ("server", "server_key", "backup_key", "claim", "modem", "ca", *SWITCHES, *NUMBERS)

_BOOTS_IN = 1970
_INTERVAL = "interval_s"  # the only one that need not be whole
_NAME = 32  # characters of a name that is worth saying
_PRIVATE = re.compile(r"PRIVATE\s+KEY\s*-----", re.IGNORECASE)


class ConfigurationError(Exception):
    """A configuration that a board could do nothing with; the text says what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line says about the configuration; None leaves a thing as it is."""

    file: Path | None = None
    server: str | None = None
    server_key: str | None = None
    backup_key: str | None = None
    claim: str | None = None
    modem: dict[str, str] = field(default_factory=dict)
    """Of the modem's part: its dialect, ssid and password."""
    ca: Path | None = None
    """A PEM file of one or two CAs: from now on the board speaks TLS."""
    client_certificate: bool = False

    def __bool__(self) -> bool:
        return self != Changes()

    def apply(self, present: bytes | None, dialect: str | None = None) -> bytes:
        """The file for a board that has `present`; ConfigurationError when it would be none.

        A given file replaces all that the board has; single options change what there is. `dialect`
        is the one of the modem that the board is made for.
        """
        if self.file is not None:
            try:
                configuration = _read(self.file.read_bytes(), str(self.file))
            except OSError as error:
                raise ConfigurationError(f"cannot read {self.file}: {error.strerror}") from None
        else:
            configuration = {} if present is None else _read(present, "the board's birthkey.json")
        for name in ("server", "server_key", "backup_key", "claim"):
            if (value := getattr(self, name)) is not None:
                configuration[name] = value
        if self.ca is not None:
            configuration["tls"] = True
            configuration["ca"] = _certificates(self.ca)
        if self.client_certificate:
            configuration["client_certificate"] = True
        if self.modem:
            former = configuration.get("modem")
            configuration["modem"] = {**(former if isinstance(former, dict) else {}), **self.modem}
        if dialect and isinstance(modem := configuration.setdefault("modem", {}), dict):
            modem.setdefault("dialect", dialect)
        check(configuration)
        if configuration.get("ca"):
            configuration["ca"] = _as_pem(configuration["ca"].encode())
        return json.dumps(configuration, indent=1, sort_keys=True).encode() + b"\n"


def dialect_of(board: Path) -> str | None:
    """The modem's dialect that a board.py names, if it does: MODEM."""
    for node in ast.parse(board.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODEM":
            return str(ast.literal_eval(node.value))
    return None


def check(configuration: dict[str, Any]) -> None:
    """Raises ConfigurationError unless firmware/application.py could work with it."""
    _check_no_key(configuration, "birthkey.json")
    for name in configuration:
        if name not in NAMES:
            raise ConfigurationError(f'"{name}" is no name of birthkey.json: {", ".join(NAMES)}')
    for name in ("server", "server_key", "modem"):
        if name not in configuration:
            raise ConfigurationError(f'birthkey.json lacks "{name}": {_HOW[name]}')
    for name in ("server_key", "backup_key"):
        if name in configuration:
            _check_key(name, configuration[name])
    if configuration["server_key"].lower() == str(configuration.get("backup_key")).lower():
        raise ConfigurationError('"backup_key" is "server_key" again: leave it out')
    if "claim" in configuration:
        claim = configuration["claim"]
        if not isinstance(claim, str) or not re.fullmatch("[0-9a-fA-F]{32}", claim):
            raise ConfigurationError(
                '"claim" is 32 hex digits, as `birthkey claim new` prints them'
            )
    for name in NUMBERS:
        if name in configuration:
            _check_number(name, configuration[name])
    _check_way(configuration["server"], configuration["modem"])
    _check_tls(configuration)


_HOW = {
    "server": "--server HOST:PORT",
    "server_key": "--server-key, as `birthkey server-key` prints it",
    "modem": "--modem DIALECT and what that needs, or --config FILE",
}


def _read(data: bytes, where: str) -> dict[str, Any]:
    try:
        configuration = json.loads(data)
    except ValueError as error:
        raise ConfigurationError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(configuration, dict):
        raise ConfigurationError(f"{where} is not a JSON object")
    return configuration


def _certificates(path: Path) -> str:
    """The certificates of a file, in PEM: nothing else that is in it goes onto a board."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if _has_private_key(data.decode("latin-1")) or _is_private_key(data):
        beside = path.absolute().parent.parent / "ca.pem"
        right = beside if beside.is_file() else "the ca.pem of `birthkey ca`"
        raise ConfigurationError(
            f"{path} holds a private key, which must be on no board: give {right}, which has the"
            " certificates alone"
        )
    try:
        return _as_pem(data)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no certificate: {error}") from None


def _as_pem(data: bytes) -> str:
    """Certificates of PEM or DER, parsed, and written again. Raises ValueError."""
    try:
        found = [load_der_x509_certificate(data)]
    except ValueError:
        found = load_pem_x509_certificates(data)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def _check_no_key(value: Any, name: str) -> None:
    """Refuse a private key wherever in the configuration it is. What is said does not show it."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_no_key(key, name)
            _check_no_key(item, key if isinstance(key, str) and len(key) <= _NAME else name)
    elif isinstance(value, list):
        for item in value:
            _check_no_key(item, name)
    elif isinstance(value, str) and _has_private_key(value):
        hint = ": the ca.pem of `birthkey ca` has the certificates alone" if name == "ca" else ""
        raise ConfigurationError(f'"{name}" holds a private key, which must be on no board{hint}')


def _has_private_key(text: str) -> bool:
    """Whether there is one in PEM, or the text is one in DER, in hex digits or base64."""
    if _PRIVATE.search(text):
        return True
    packed = "".join(text.split())
    for decode in (bytes.fromhex, partial(base64.b64decode, validate=True)):
        try:
            data = decode(packed)
        except ValueError:
            continue
        if _is_private_key(data):
            return True
    return False


def _is_private_key(data: bytes) -> bool:
    try:
        load_der_private_key(data, None)
    except TypeError:  # it is encrypted
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _check_key(name: str, key: Any) -> None:
    if not isinstance(key, str):
        raise ConfigurationError(f'"{name}" is not a text of hex digits')
    try:
        parse_public(key)
    except ValueError as error:
        raise ConfigurationError(f'"{name}": {error}') from None


def _check_number(name: str, value: Any) -> None:
    kinds = (int, float) if name == _INTERVAL else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < 1 << 30:
        raise ConfigurationError(f'"{name}" is {value!r}, and not a number from 0 on')


def _check_way(server: Any, modem: Any) -> None:
    """The way to the server: who it is, and the modem that leads there."""
    host, _, port = server.rpartition(":") if isinstance(server, str) else ("", "", "")
    if not host or not port.isdecimal():
        raise ConfigurationError(f'"server" is {server!r}, and not HOST:PORT')
    if not isinstance(modem, dict) or not isinstance(modem.get("dialect"), str):
        raise ConfigurationError(f'"modem" names no "dialect": {_HOW["modem"]}')
    open_modem = _firmware_modem().open
    options = {name: value for name, value in modem.items() if name != "dialect"}
    try:
        device = open_modem(None, modem["dialect"], **options)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f'"modem": {error}') from None
    try:
        device.connect(host, int(port))  # the steps are not taken: this checks the arguments
    except ValueError as error:
        raise ConfigurationError(f'"server": {error}') from None


def _check_tls(configuration: dict[str, Any]) -> None:
    for name in SWITCHES:
        if not isinstance(configuration.get(name, False), bool):
            raise ConfigurationError(f'"{name}" is true or false')
    if not configuration.get("tls", False):
        for name in ("ca", "client_certificate"):
            if configuration.get(name):
                raise ConfigurationError(f'"{name}" is for "tls": true, which is not there')
        return
    ca = configuration.get("ca")
    if not isinstance(ca, str):
        raise ConfigurationError('"tls" lacks "ca": --ca FILE, the ca.pem of `birthkey ca init`')
    try:
        certificates = load_pem_x509_certificates(ca.encode())
    except ValueError as error:
        raise ConfigurationError(f'"ca" is no certificate in PEM: {error}') from None
    for certificate in certificates:
        name = certificate.subject.rfc4514_string()
        try:
            extension = certificate.extensions.get_extension_for_class(BasicConstraints)
        except ExtensionNotFound:
            extension = None
        if extension is None or not extension.value.ca:
            raise ConfigurationError(f'"ca": {name} is no CA, but the certificate of somebody')
        begins = certificate.not_valid_before_utc.year
        if begins > _BOOTS_IN:
            raise ConfigurationError(
                f'"ca": {name} begins in {begins}, and a board has no clock: to it, it is'
                f" {_BOOTS_IN}. `birthkey ca init` makes one that fits"
            )


def _firmware_modem() -> Any:
    if str(FIRMWARE) not in sys.path:
        sys.path.append(str(FIRMWARE))
    from birthkey import modem  # type: ignore[import-not-found]

    return modem
