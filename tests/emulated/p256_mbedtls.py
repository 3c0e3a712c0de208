"""P-256 as TLS has it in birthkey's firmware, under the names of birthkey.crypto.p256."""

from time import ticks_cpu, ticks_diff

import qemu


def verify(public, digest, signature):
    try:
        return qemu.ecdsa_verify(public, digest, signature, False)
    except (TypeError, ValueError):  # no bytes, or not as many
        return False


def ecdh(private, public, own=False):
    """With `own`, by mbed TLS's own arithmetic."""
    try:
        return qemu.ecdh(private, public, own)
    except (TypeError, ValueError):
        raise ValueError("a key is out of range, or not on the curve")


def ticks(private, public, own):
    """How long `ecdh` takes."""
    began = ticks_cpu()
    ecdh(private, public, own)
    return ticks_diff(ticks_cpu(), began)


def sign(private, digest):
    return qemu.ecdsa_sign(private, digest, False)
