"""P-256 in native code, on the emulated processors that it is for: right, and constant in time."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecdsa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from boards.build import native
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import EXACT_SHIFT, Mps2, Mps2CortexM4, Qemu, exact_instructions
from boards.emulated.rp2040 import Rp2040

HERE = Path(__file__).parent
CURVE = ecdsa.NIST256p
N = int(CURVE.order)

# The processor that each back end runs on here. The image has armv7m; others are on its flash.
BOARDS: dict[str, type[Qemu]] = {"armv7em": Mps2CortexM4, "armv7m": Mps2, "armv6m": Mps2}

EDGES = [1, 2, 3, 15, 16, 17, 30, N // 2, N // 2 + 1, N - 17, N - 16, N - 3, N - 2, N - 1]
NUMBERS = [0, 1, N - 1, N, N + 1, 2**256 - 1]


def b32(number: int) -> bytes:
    return number.to_bytes(32, "big")


def public_bytes(private: int) -> bytes:
    numbers = ec.derive_private_key(private, ec.SECP256R1()).public_key().public_numbers()
    return b32(numbers.x) + b32(numbers.y)


@dataclass(frozen=True)
class Case:
    private: int
    digest: bytes
    peer: int

    @property
    def given(self) -> bytes:
        return b32(self.private) + self.digest + public_bytes(self.peer)

    @property
    def expected(self) -> tuple[bytes, bytes, bytes]:
        """The public key, the signature and the shared secret, of OpenSSL and python-ecdsa."""
        theirs = ecdsa.SigningKey.from_secret_exponent(self.private, CURVE)
        signature = theirs.sign_digest_deterministic(self.digest, hashlib.sha256)
        s = int.from_bytes(signature[32:], "big")
        peer = ec.derive_private_key(self.peer, ec.SECP256R1()).public_key()
        own = ec.derive_private_key(self.private, ec.SECP256R1())
        shared = own.exchange(ec.ECDH(), peer)
        return public_bytes(self.private), signature[:32] + b32(min(s, N - s)), shared


def cases(count: int, seed: int) -> list[Case]:
    """That many, the edges of all ranges among them."""
    chance = random.Random(seed)
    digest = hashlib.sha256(b"sample").digest()
    made = [Case(private, digest, peer) for private in EDGES for peer in (1, N - 1)]
    made += [Case(chance.randrange(1, N), b32(number), 2) for number in NUMBERS]
    while len(made) < count:
        made.append(Case(chance.randrange(1, N), chance.randbytes(32), chance.randrange(1, N)))
    return made


Results = list[tuple[bytes, bytes, bytes]]


def on_board(
    backend: str, folder: Path, chosen: list[Case], ecdh: bool = True, verify: bool = False
) -> tuple[Results, dict[str, Any]]:
    """The results for the cases, and what was counted: instructions, bytes of heap."""
    board = BOARDS[backend](folder, shift=EXACT_SHIFT)
    with board.filesystem() as flash:
        flash.makedirs("lib", exist_ok=True)
        for name in native.BACKENDS:
            with flash.open(f"lib/{native.name(name)}", "wb") as file:
                file.write(native.module(name))
    results, counted = run(board, backend, chosen, ecdh, verify)
    counted["instructions"] = {
        name: [exact_instructions(ticks) for ticks in row] for name, row in counted["ticks"].items()
    }
    return results, counted


def run(
    board: Emulator, backend: str, chosen: list[Case], ecdh: bool = True, verify: bool = False
) -> tuple[Results, dict[str, Any]]:
    """The results for the cases, and what was counted: ticks, bytes of heap."""
    with board.filesystem() as flash:
        with flash.open("boot.py", "wb") as file:
            file.write((HERE / "p256_on_board.py").read_bytes())
        with flash.open("cases.bin", "wb") as file:
            file.write(b"".join(case.given for case in chosen))
        with flash.open("case.json", "w") as file:
            json.dump({"backend": backend, "ecdh": ecdh, "verify": verify}, file)
    with board:
        board.switch_on()
        board.says("there is no /birthkey.json", 100)
        assert "Traceback" not in board.said, board.said
    with board.filesystem() as flash:
        with flash.open("results.bin", "rb") as file:
            results = file.read()
        with flash.open("ticks.json") as file:
            counted: dict[str, Any] = json.load(file)
    rows = [results[i : i + 160] for i in range(0, len(results), 160)]
    return [(row[:64], row[64:128], row[128:]) for row in rows], counted


@pytest.mark.parametrize("backend", BOARDS)
def test_results_are_right_and_every_secret_takes_as_many_instructions(
    backend: str, tmp_path: Path
) -> None:
    chosen = cases(200, 1)
    results, counted = on_board(backend, tmp_path, chosen)
    assert results == [case.expected for case in chosen]
    for name in ("public_key", "sign", "ecdh"):
        counts = counted["instructions"][name]
        assert len(counts) == 200
        assert len(set(counts)) == 1, f"{name}: {sorted(set(counts))}"
        print(json.dumps({"backend": backend, "what": name, "instructions": counts[0]}))
    assert counted["heap"]["sign"] < 6 * 1024


def test_rp2040_takes_as_long_for_every_secret(tmp_path: Path) -> None:
    """To its clock's microsecond, of which one begins somewhere; the image is that of a Pico."""
    board = Rp2040(tmp_path, seed=b"p256", unique_id=b"birthkey")
    chosen = cases(40, 2)
    results, counted = run(board, "armv6m", chosen)
    assert results == [case.expected for case in chosen]
    assert counted["backends"] == ["armv6m", "python"]
    for name in ("public_key", "sign", "ecdh"):
        ticks = counted["ticks"][name]
        assert max(ticks) - min(ticks) <= 1, f"{name}: {sorted(set(ticks))}"


def test_processor_gets_the_back_ends_that_it_can_run(tmp_path: Path) -> None:
    """UMAAL would stop a Cortex-M3, whose firmware looks like that of a Cortex-M4."""
    for backend, expected in (
        ("armv7m", ["armv7m", "armv6m", "python"]),
        ("armv7em", ["armv7em", "armv7m", "armv6m", "python"]),
    ):
        _, counted = on_board(backend, tmp_path / backend, cases(1, 1)[:1])
        assert counted["backends"] == expected
