"""AEAD_CHACHA20_POLY1305 of RFC 8439: a key of 32 bytes, a nonce of 12, a tag of 16.

Arguments may be bytes, bytearray or memoryview.
"""

import struct

from birthkey._port import const

try:
    from birthkey.crypto.chacha20poly1305_thumb import ChaCha20, poly1305
except (ImportError, SyntaxError, ValueError):
    # A processor of 64 bits, a firmware that does not compile to machine code, or one of
    # another architecture than the module was compiled for.
    from birthkey.crypto.chacha20poly1305_python import ChaCha20, poly1305

_TAG = const(16)


def seal(key, nonce, plaintext, aad=b""):
    """Encrypt: the ciphertext, as long as the plaintext, and the tag."""
    _check_lengths(key, nonce)
    stream = ChaCha20(key, nonce, 0)
    one_time_key = bytearray(stream.next_block()[:32])
    end = len(plaintext)
    sealed = bytearray(end + _TAG)
    ciphertext = memoryview(sealed)[:end]
    stream.xor(plaintext, ciphertext)
    stream.wipe()
    sealed[end:] = _tag(one_time_key, aad, ciphertext)
    return bytes(sealed)


def open(key, nonce, sealed, aad=b""):
    """Check, then decrypt: the plaintext. ValueError for all that `seal` did not make."""
    _check_lengths(key, nonce)
    end = len(sealed) - _TAG
    if end < 0:
        raise ValueError("too short to be sealed")
    ciphertext = memoryview(sealed)[:end]
    stream = ChaCha20(key, nonce, 0)
    tag = _tag(bytearray(stream.next_block()[:32]), aad, ciphertext)
    difference = 0  # gathered over the whole tag: the time says nothing about where it differs
    for ours, theirs in zip(tag, memoryview(sealed)[end:]):
        difference |= ours ^ theirs
    if difference:
        stream.wipe()
        raise ValueError("not authentic")
    plaintext = bytearray(end)
    stream.xor(ciphertext, plaintext)
    stream.wipe()
    return bytes(plaintext)


def _check_lengths(key, nonce):
    if len(key) != 32 or len(nonce) != 12:
        raise ValueError("the key has 32 bytes and the nonce 12")


def _tag(one_time_key, aad, ciphertext):
    """The tag; the key, which serves once, is overwritten."""
    lengths = struct.pack("<QQ", len(aad), len(ciphertext))
    tag = poly1305(one_time_key, aad, ciphertext, lengths)
    one_time_key[:] = bytes(len(one_time_key))
    return tag
