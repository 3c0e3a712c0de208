"""The published vectors of tests/vectors/published, run on the board's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from device import Handle, Interpreter

FOLDER = Path(__file__).parents[1] / "vectors" / "published"
RFC_5869, RFC_8439, RFC_9180 = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("rfc5869", "rfc8439", "rfc9180-a5")
)

Vector = dict[str, Any]


def data(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def hkdf(device: Interpreter, vector: Vector) -> None:
    ikm, salt, info, prk, okm = data(vector, "ikm", "salt", "info", "prk", "okm")
    assert device.call("birthkey.crypto.hkdf:extract", salt, ikm) == prk
    assert device.call("birthkey.crypto.hkdf:expand", prk, info, vector["length"]) == okm


def aead(device: Interpreter, vector: Vector) -> None:
    key, nonce, aad, plaintext = data(vector, "key", "nonce", "aad", "plaintext")
    sealed = b"".join(data(vector, "ciphertext", "tag"))
    module = "birthkey.crypto.chacha20poly1305"
    assert device.call(f"{module}:seal", key, nonce, plaintext, aad) == sealed
    assert device.call(f"{module}:open", key, nonce, sealed, aad) == plaintext


def chacha20(device: Interpreter, vector: Vector) -> None:
    key, nonce, plaintext, ciphertext = data(vector, "key", "nonce", "plaintext", "ciphertext")
    target = "firmware.crypto.on_device:chacha20"
    assert device.call(target, key, nonce, vector["counter"], plaintext) == ciphertext


def poly1305(device: Interpreter, vector: Vector) -> None:
    key, message, tag = data(vector, "key", "message", "tag")
    assert device.call("birthkey.crypto.chacha20poly1305:poly1305", key, message) == tag


def hpke_ends(device: Interpreter) -> list[Handle]:
    """Both ends of RFC 9180's exchange: the sender's context and the receiver's."""
    recipient, info, ikm, enc, private = data(RFC_9180, "pkRm", "info", "ikmE", "enc", "skRm")
    made, sender = device.call("birthkey.crypto.hpke:setup_sender", recipient[1:], info, ikm)
    assert made == enc
    return [sender, device.call("birthkey.crypto.hpke:setup_receiver", enc, private, info)]


def hpke_encryption(end: Handle, vector: Vector) -> None:
    plaintext, aad, ciphertext = data(vector, "plaintext", "aad", "ciphertext")
    assert end.seal(vector["sequence"], plaintext, aad) == ciphertext
    assert end.open(vector["sequence"], ciphertext, aad) == plaintext


def hpke_export(end: Handle, vector: Vector) -> None:
    context, value = data(vector, "context", "value")
    assert end.export(context, vector["length"]) == value
