"""Runs on an emulated board, from boot.py on its flash: what things cost, in ticks of its clock.

Leaves a file of JSON on the flash, because USB is not up yet. Ticks are those of
`time.ticks_cpu`; the host knows what one is.
"""

import gc
import json
import time

began = time.ticks_cpu()  # since power was switched on


import board  # noqa: E402
from birthkey import Device, cbor, cose, message, modem  # noqa: E402, F401
from birthkey.crypto import chacha20poly1305, p256  # noqa: E402
from birthkey.identity import Identity  # noqa: E402
from birthkey.keystore import Keystore  # noqa: E402
from birthkey.session import Session  # noqa: E402

ticks = {"boot": began, "import": time.ticks_cpu() - began}


def measure(name, case, *args):
    gc.collect()  # or one case would pay for the garbage of another
    start = time.ticks_cpu()
    result = case(*args)
    ticks[name] = time.ticks_cpu() - start
    return result


def acknowledge(session, identity, counter, number):
    """The server's answer to a frame of this session, made with the board's own key for it."""
    peer = session._peers[0]
    iv = cose.partial_iv(identity.boot, number)
    protected = cbor.dumps({1: 24, 4: iv, 5: bytes(12)})
    aad = cbor.dumps(["Encrypt0", protected, cose.downlink_aad(identity.device_id)])
    answer = cbor.dumps([message.ACKNOWLEDGE, counter, {0: identity.boot}])
    sealed = chacha20poly1305.seal(peer.down_key, bytes(12), answer, aad)
    return b"\xd0" + cbor.dumps([protected, {}, sealed])


def key_generation():
    return Identity(Keystore("/bench"), board.ENTROPY, board.UNIQUE_ID)


key = bytes(range(1, 33))
digest = bytes(range(32))
reading = [{"n": "temperature", "u": "Cel", "v": 21.5}]

identity = measure("first_boot", key_generation)
measure("later_boot", key_generation)
public = measure("p256.public_key", p256.public_key, key)
signature = measure("p256.sign", p256.sign, key, digest)
if not measure("p256.verify", p256.verify, public, digest, signature):
    raise ValueError("the signature does not verify")
measure("p256.ecdh", p256.ecdh, key, public)
plaintext = bytes(1024)
measure("chacha20poly1305.seal_1k", chacha20poly1305.seal, key, bytes(12), plaintext)

session = Session(identity, [public])
for number, name in ((0, "message.first"), (1, "message")):
    counter = identity.boot << 32 | number + 1
    gc.collect()
    start = time.ticks_cpu()
    session.seal(counter, message.encode(message.DATA, counter, reading), 0)
    spent = time.ticks_cpu() - start
    answer = acknowledge(session, identity, counter, number)
    gc.collect()
    start = time.ticks_cpu()
    session.open(answer, 0)
    ticks[name] = spent + time.ticks_cpu() - start
with open("/ticks.json", "w") as file:
    json.dump(ticks, file)
