"""Runs on an emulated board, from boot.py on its flash: P-256 in ticks of its clock.

Leaves a file of JSON on the flash.
"""

import gc
import json
import sys
from time import ticks_cpu, ticks_diff

import qemu

sys.path.append("/lib")

from birthkey.crypto import p256

key = bytes(range(1, 33))
digest = bytes(range(32))
ticks = {}


def measure(name, function, *arguments):
    gc.collect()  # or one case would pay for the garbage of another
    began = ticks_cpu()
    result = function(*arguments)
    ticks[name] = ticks_diff(ticks_cpu(), began)
    if not result:
        raise ValueError(name)
    return result


for backend, suffix in ((p256.BACKENDS[0], ""), ("python", ".python")):
    p256.use(backend)
    public = measure("p256.public_key" + suffix, p256.public_key, key)
    signature = measure("p256.sign" + suffix, p256.sign, key, digest)
    measure("p256.ecdh" + suffix, p256.ecdh, key, public)
    measure("p256.verify" + suffix, p256.verify, public, digest, signature)
signature = measure("mbedtls.sign", qemu.ecdsa_sign, key, digest, True)
measure("mbedtls.verify", qemu.ecdsa_verify, public, digest, signature, True)
measure("mbedtls.ecdh", qemu.ecdh, key, public, True)

with open("/ticks.json", "w") as file:
    json.dump(ticks, file)
