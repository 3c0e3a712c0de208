"""Runs on an emulated board, from boot.py on its flash: P-256 for many keys and digests.

cases.bin has a private key, a digest and a public key for each case. Leaves results.bin, for each
a public key, a signature and a shared secret, and ticks.json: {what: [ticks of each case]}.
"""

import gc
import json
import sys
from array import array
from time import ticks_cpu, ticks_diff

sys.path.append("/lib")

from birthkey.crypto import p256

_CASE = 32 + 32 + 64

with open("/case.json") as file:
    chosen = json.load(file)
p256.use(chosen["backend"])
with open("/cases.bin", "rb") as file:
    cases = memoryview(file.read())
count = len(cases) // _CASE
results = bytearray(count * (64 + 64 + 32))
spent = {name: array("I", bytes(4 * count)) for name in ("public_key", "sign", "ecdh", "verify")}
heap = dict.fromkeys(spent, 0)

# Every case finds the heap as the one before did: how long an allocation takes depends on that.
private, digest, other = bytearray(32), bytearray(32), bytearray(64)
public, signature, shared = bytearray(64), bytearray(64), bytearray(32)


def measure(name, number, result, function, *arguments):
    gc.collect()  # or one case would pay for the garbage of another
    free = gc.mem_free()
    began = ticks_cpu()
    value = function(*arguments)
    spent[name][number] = ticks_diff(ticks_cpu(), began)
    used = free - gc.mem_free()
    if used > heap[name]:
        heap[name] = used
    if result is None:
        if not value:
            raise ValueError("a signature does not verify")
    else:
        result[:] = value


def run(number):
    start = number * _CASE
    private[:] = cases[start : start + 32]
    digest[:] = cases[start + 32 : start + 64]
    other[:] = cases[start + 64 : start + 128]
    measure("public_key", number, public, p256.public_key, private)
    measure("sign", number, signature, p256.sign, private, digest)
    if chosen["ecdh"]:
        measure("ecdh", number, shared, p256.ecdh, private, other)
    if chosen["verify"]:
        measure("verify", number, None, p256.verify, public, digest, signature)
    start = number * 160
    results[start : start + 64] = public
    results[start + 64 : start + 128] = signature
    results[start + 128 : start + 160] = shared


# The first some times, until the heap is as it will be; in one loop, which has its place there too.
for number in [0] * 5 + list(range(count)):
    run(number)
with open("/results.bin", "wb") as file:
    file.write(results)
with open("/ticks.json", "w") as file:
    json.dump(
        {
            "ticks": {name: list(ticks) for name, ticks in spent.items()},
            "heap": heap,
            "backends": p256.BACKENDS,
        },
        file,
    )
