"""Times of the board's cryptography on this machine, beside python-ecdsa under CPython.

Wall-clock times depend on the machine, so the ratios to the baseline, measured in the same
run, are what to look at.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable

import ecdsa
from rich.console import Console
from rich.table import Table

from device import device_environment, micropython

BASELINE = "python-ecdsa, CPython"
KEY = hashlib.sha256(b"key").digest()
DIGEST = hashlib.sha256(b"sample").digest()

# Runs on the board's side: the least of several rounds, in microseconds for one call.
BOARD = """
import time, json
from birthkey.crypto import p256, chacha20poly1305
key, digest = bytes.fromhex("KEY"), bytes.fromhex("DIGEST")
public = p256.public_key(key)
signature = p256.sign(key, digest)
plaintext = bytes(1024)
cases = {
    "sign": lambda: p256.sign(key, digest),
    "verify": lambda: p256.verify(public, digest, signature),
    "public_key": lambda: p256.public_key(key),
    "ecdh": lambda: p256.ecdh(key, public),
    "seal_1k": lambda: chacha20poly1305.seal(bytes(32), bytes(12), plaintext),
}
least = {}
for name, case in cases.items():
    for _ in range(15):
        start = time.ticks_us()
        case()
        taken = time.ticks_diff(time.ticks_us(), start)
        least[name] = min(taken, least.get(name, taken))
print(json.dumps(least))
""".replace("KEY", KEY.hex()).replace("DIGEST", DIGEST.hex())


def least_ms(case: Callable[[], object]) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        case()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def _shared_secret(private: ecdsa.SigningKey, public: ecdsa.VerifyingKey) -> bytes:
    return ecdsa.ECDH(ecdsa.NIST256p, private, public).generate_sharedsecret_bytes()


def baseline() -> dict[str, float]:
    private = ecdsa.SigningKey.from_string(KEY, ecdsa.NIST256p)
    public = private.verifying_key
    signature = private.sign_digest_deterministic(DIGEST, hashlib.sha256)
    return {
        "sign": least_ms(lambda: private.sign_digest_deterministic(DIGEST, hashlib.sha256)),
        "verify": least_ms(lambda: public.verify_digest(signature, DIGEST)),
        "public_key": least_ms(lambda: ecdsa.SigningKey.from_string(KEY, ecdsa.NIST256p)),
        "ecdh": least_ms(lambda: _shared_secret(private, public)),
    }


def board() -> dict[str, float]:
    ran = subprocess.run(
        [micropython(), "-c", BOARD],
        env=device_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return {name: microseconds / 1000 for name, microseconds in json.loads(ran.stdout).items()}


def run(console: Console) -> dict[str, float]:
    """Measure, print a table, give the figures."""
    ours, theirs = board(), baseline()
    table = Table("operation", "MicroPython, Unix port (ms)", BASELINE + " (ms)", "ratio")
    figures = {}
    for name, milliseconds in ours.items():
        family = "chacha20poly1305" if name == "seal_1k" else "p256"
        figures[f"{family}.{name}.unix_ms"] = milliseconds
        other = theirs.get(name)
        if other is None:
            table.add_row(name, f"{milliseconds:.2f}", "-", "-")
            continue
        figures[f"ecdsa.{name}.cpython_ms"] = round(other, 3)
        table.add_row(name, f"{milliseconds:.2f}", f"{other:.2f}", f"{milliseconds / other:.2f}")
    console.print(table)
    return figures
