"""Builds frames, right or with one stage altered."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from primitives import Key, derive_key_pair, encode, fixed, fixed_key, setup_sender

SERVER = fixed_key("server")
BACKUP = fixed_key("backup server")
STRANGER = fixed_key("another server")
DEVICE = fixed_key("device")
NEWCOMER = fixed_key("newcomer")
NEIGHBOUR = fixed_key("neighbour")
BOOT = 7
FRESH = fixed("fresh bytes")


def counter(boot: int, sequence: int = 0) -> int:
    return boot << 32 | sequence


def ephemeral_ikm(device: Key, boot: int, fresh: bytes) -> bytes:
    return hmac.digest(device.private, b"birthkey/1 eph" + boot.to_bytes(4) + fresh, "sha256")


def build(
    message: Any,
    *,
    device: Key = DEVICE,
    server: Key = SERVER,
    boot: int = BOOT,
    number: int = 0,
    fresh: bytes = FRESH,
    **alter: Callable[[Any], Any],
) -> dict[str, Any]:
    """One frame and everything on the way to it, as bytes and numbers.

    Each keyword in `alter` names a stage and takes what stands there to what shall stand
    there instead; all later stages are made from that, so that the fault stays the only one.
    """

    def stage(name: str, value: Any) -> Any:
        return alter.pop(name)(value) if name in alter else value

    ikm = ephemeral_ikm(device, boot, fresh)
    ephemeral = derive_key_pair(ikm)
    info = encode(stage("info", ["birthkey/1", server.id]))
    context = stage("context", setup_sender(server, info, ephemeral))
    enc = context.enc

    message = encode(message)
    protected = encode(stage("signed_header", {1: -7, 4: device.id}))
    external_aad = encode(stage("external_aad", ["birthkey/1 up", server.id, enc, boot]))
    structure = encode(stage("sig_structure", ["Signature1", protected, external_aad, message]))
    signature = stage("signature", stage("signer", device).sign(structure))
    parts = stage("signed_parts", [protected, {}, message, signature])
    signed = stage("signed_frame", b"\xd2" + encode(parts))

    partial_iv = boot << 32 | number
    header = {1: 24, 4: server.id, 6: partial_iv.to_bytes(8), 10: enc}
    protected = encode(stage("sealed_header", header))
    aad = encode(stage("enc_structure", ["Encrypt0", protected, b""]))
    sequence = stage("sequence", partial_iv)
    ciphertext = stage("ciphertext", context.seal(sequence, signed, aad))
    parts = stage("sealed_parts", [protected, {}, ciphertext])
    frame = stage("frame", b"\xd0" + encode(parts))
    if alter:
        raise ValueError(f"no such stage: {', '.join(alter)}")
    return {
        "private": device.private,
        "server_id": server.id,
        "boot": boot,
        "frame_number": number,
        "fresh": fresh,
        "ikm": ikm,
        "ephemeral": ephemeral.private,
        "enc": enc,
        "info": info,
        "external_aad": external_aad,
        "message": message,
        "sig_structure": structure,
        "signed_frame": signed,
        "aad": aad,
        "nonce": context.nonce(sequence),
        "answer_key": context.export(b"birthkey/1 down", 32),
        "frame": frame,
    }


def hexed(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()
    }


def flip(data: bytes, at: int) -> bytes:
    """The same bytes with one bit changed in the byte at `at`."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)
