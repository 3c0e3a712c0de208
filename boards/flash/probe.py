"""What is on a serial port: which board, which MicroPython, which birthkey, whose identity."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birthkey_host.cose import thumbprint
from birthkey_host.repl import Repl

# Architectures of native code, by their number in sys.implementation._mpy.
_ARCHES = "- x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc"

# What birthkey takes from the firmware; a board.py takes more.
_NEEDS = (
    ("hashlib", "sha256"),
    ("os", "urandom"),
    ("os", "rename"),
    ("vfs", "VfsLfs2"),
    ("time", "ticks_ms"),
    ("binascii", "unhexlify"),
    ("json", "load"),
    ("struct", "pack"),
    ("array", "array"),
    ("collections", "namedtuple"),
)

# The private key stays on the board: only the public half of its record is read. The formats of
# records are those of birthkey.keystore and birthkey.identity.
_CODE = """\
import sys
def has(module, name):
    try:
        return hasattr(__import__(module), name)
    except ImportError:
        return False
def copies(name):
    import hashlib
    for folder in ("/", "/copy/"):
        try:
            with open(found["state"] + folder + name, "rb") as file:
                raw = file.read(2000)
        except OSError:
            continue
        whole = raw[:4] == b"BKI1" and hashlib.sha256(raw[:-16]).digest()[:16] == raw[-16:]
        yield raw[6:-16] if whole else b""
def below():
    try:
        from birthkey.keystore import Keystore
        for payload in Keystore(found["state"], b"BKI1").raw(36, True):
            if payload[4:20] not in [boot[4:20] for boot in found["boots"]]:
                found["boots"].append(payload)
    except (ImportError, AttributeError):
        pass
def reads():
    import os
    found["root"] = root = os.getcwd()
    if "board" not in found:
        found["state"] = root.rstrip("/") + "/birthkey.id"
    try:
        import vfs
        for system, path in sorted(vfs.mount(), key=lambda item: len(item[1])):
            if found["root"].startswith(path):
                found["system"] = str(system)
    except (ImportError, AttributeError, TypeError):
        pass
    found["keys"] = [key[32:] for key in copies("key")]
    found["boots"] = list(copies("boot"))
    found["erased"] = list(copies("erased"))
    if not any(found["keys"]):
        below()
system = sys.implementation
found = {"family": system[0], "version": tuple(system[1]), "platform": sys.platform,
    "machine": getattr(system, "_machine", ""), "build": getattr(system, "_build", ""),
    "mpy": getattr(system, "_mpy", 0), "path": sys.path, "state": "/birthkey.id"}
found["lacks"] = [".".join(need) for need in NEEDS if not has(*need)]
found["tls"] = has("tls", "SSLContext")
try:
    import birthkey
    found["birthkey"] = birthkey.__version__
    found["home"] = birthkey.__file__
except Exception:
    pass  # not there, or bytecode of another version
if "birthkey" in found:
    try:
        import board
        board.mount()
        found["board"] = board.NAME
        found["config"] = board.CONFIG
        found["state"] = board.STATE
        found["area"] = getattr(board, "FILE_SYSTEM", None)
    except Exception as error:
        if str(error) != "no module named 'board'":
            found["trouble"] = str(error)
try:
    reads()
except Exception as error:
    found.setdefault("trouble", str(error))
print(repr(found))
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a board's flash says about its identity, without the private key."""

    public: bytes
    """x || y; empty when the record is damaged."""
    boot: int | None

    @property
    def damaged(self) -> bool:
        return len(self.public) != 64

    @property
    def device_id(self) -> bytes:
        return thumbprint(self.public)[:16]


@dataclass(frozen=True, slots=True)
class Found:
    """What a board said of itself."""

    port: str
    family: str
    version: str
    machine: str
    build: str
    platform: str
    arch: str
    mpy: int
    """Version of the bytecode that it loads."""
    birthkey: str | None
    """Version of the package, if there is one."""
    frozen: bool
    """Whether the package is part of the firmware."""
    board: str | None
    config: str
    state: str
    """The folder of the identity."""
    root: str
    library: str
    """Where packages are installed."""
    file_system: str
    area: tuple[int, int] | None
    """(address, bytes) of the file system, where the board.py says it."""
    lacks: tuple[str, ...]
    """What birthkey or the board.py needs of this firmware, and it does not have: `module.name`."""
    tls: bool
    trouble: str | None
    """Why its flash cannot be used, in the board's words."""
    identity: Identity | None


def probe(repl: Repl, board: Path | None = None) -> Found:
    """Ask the board; nothing is changed on it, but that a blank flash gets its file system.

    `board` is the board.py that it has or will get.
    """
    needs = _NEEDS + (() if board is None else _imports(board))
    said: dict[str, Any] = repl.ask(f"NEEDS = {needs!r}\n{_CODE}", patience=30)
    root = said.get("root", "/")
    library = [path for path in said["path"] if path.endswith("/lib")]
    return Found(
        port=repl.port,
        family=said["family"],
        version=".".join(str(part) for part in said["version"] if part != ""),
        machine=said["machine"],
        build=said["build"],
        platform=said["platform"],
        arch=_arch(said["mpy"]),
        mpy=said["mpy"] & 0xFF,
        birthkey=said.get("birthkey"),
        frozen="birthkey" in said and not said["home"].startswith("/"),
        board=said.get("board"),
        config=_absolute(root, said.get("config", "birthkey.json")),
        state=said["state"],
        root=root,
        library=library[0] if library else _absolute(root, "lib"),
        file_system=said.get("system", "").strip("<>"),
        area=said.get("area"),
        lacks=tuple(said["lacks"]),
        tls=said["tls"],
        trouble=said.get("trouble"),
        identity=_identity(said.get("keys", []), said.get("boots", []), said.get("erased", [])),
    )


def _identity(keys: list[bytes], boots: list[bytes], notes: list[bytes]) -> Identity | None:
    """Whom the copies of its records show; those of identities that were erased show nobody.

    Damaged ones are empty. Boot records without a key are of an identity that damage has hidden.
    """
    erased = {note[at : at + 16] for note in notes for at in range(1, len(note), 16)}
    left = {key for key in keys if not key or Identity(key, None).device_id not in erased}
    whole = left - {b""}
    booted = [boot for boot in boots if boot[4:20] not in erased]
    if not left and not booted:
        return None
    public = whole.pop() if len(whole) == 1 else b""
    own = [boot for boot in booted if not public or boot[4:20] == Identity(public, None).device_id]
    numbers = [int.from_bytes(boot[:4], "big") for boot in own if boot]
    return Identity(public, max(numbers, default=None))


def _imports(board: Path) -> tuple[tuple[str, str], ...]:
    """(module, name) of what a board.py takes from the firmware, and not from birthkey."""
    return tuple(
        (node.module, alias.name)
        for node in ast.walk(ast.parse(board.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and "birthkey" not in node.module
        for alias in node.names
    )


def _absolute(root: str, path: str) -> str:
    return path if path.startswith("/") else f"{root.rstrip('/')}/{path}"


def _arch(mpy: int) -> str:
    names, number = _ARCHES.split(), mpy >> 10 & 15
    return names[number] if number < len(names) else "-"
