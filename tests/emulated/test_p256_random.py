"""Random keys and digests: every back end signs as python-ecdsa does, and OpenSSL agrees.

10,000 in plain Python; of each native back end as many as there is time for, and 10,000 with
BIRTHKEY_SOAK.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from device import device_environment, micropython
from emulated.test_p256 import BOARDS, Case, N, b32, on_board
from firmware.crypto.test_p256 import openssl_verifies

ALL = 10_000
PARTS = 5  # of these, for several processors
BATCH = 250  # what fits into a board
NATIVE = ALL if "BIRTHKEY_SOAK" in os.environ else BATCH
SEED = int(os.environ.get("BIRTHKEY_SEED", "0")) or int.from_bytes(os.urandom(4), "big")

# Reads cases.bin, a private key and a digest each; writes public keys and signatures.
ON_UNIX = """
from birthkey.crypto import p256
with open("cases.bin", "rb") as cases, open("results.bin", "wb") as results:
    while True:
        private, digest = cases.read(32), cases.read(32)
        if not digest:
            break
        public, signature = p256.public_key(private), p256.sign(private, digest)
        results.write(public + signature)
"""


def cases(count: int, seed: int) -> list[Case]:
    print(f"BIRTHKEY_SEED={seed}")
    chance = random.Random(seed)
    return [Case(chance.randrange(1, N), chance.randbytes(32), 1) for _ in range(count)]


def check(case: Case, public: bytes, signature: bytes) -> None:
    assert (public, signature) == case.expected[:2]
    assert openssl_verifies(public, case.digest, signature)


@pytest.mark.parametrize("part", range(PARTS))
def test_plain_python(part: int, tmp_path: Path) -> None:
    chosen = cases(ALL // PARTS, SEED + part)
    given = b"".join(b32(case.private) + case.digest for case in chosen)
    (tmp_path / "cases.bin").write_bytes(given)
    subprocess.run(
        [micropython(), "-c", ON_UNIX], cwd=tmp_path, env=device_environment(), check=True
    )
    made = (tmp_path / "results.bin").read_bytes()
    assert len(made) == 128 * len(chosen)
    for at, case in enumerate(chosen):
        row = made[128 * at : 128 * at + 128]
        check(case, row[:64], row[64:])


@pytest.mark.parametrize("batch", range(NATIVE // BATCH))
@pytest.mark.parametrize("backend", BOARDS)
def test_native(backend: str, batch: int, tmp_path: Path) -> None:
    """The board verifies each of its signatures too."""
    chosen = cases(BATCH, SEED + batch)
    results, _ = on_board(backend, tmp_path, chosen, ecdh=False, verify=True)
    assert len(results) == BATCH
    for case, (public, signature, _) in zip(chosen, results, strict=True):
        check(case, public, signature)
