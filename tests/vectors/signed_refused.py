"""The frames of frames.json that get silence for what is wrong with the signed-frame inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alter import MESSAGE, at, drop, put, refused, within
from ecdsa.util import sigdecode_string, sigencode_der
from primitives import N, Pairs, Raw, derive_key_pair, encode, setup_sender
from uplink import (
    BACKUP,
    BOOT,
    DEVICE,
    FRESH,
    NEIGHBOUR,
    SERVER,
    counter,
    ephemeral_ikm,
    flip,
)


def _signed_encoding() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, *, cddl: bool = True, **alter: Any) -> dict[str, Any]:
        return refused(f"signed-{name}", comment, "cbor", cddl=cddl, **alter)

    return [
        refuse("trailing", "a byte after it", cddl=False, signed_frame=lambda s: s + b"\0"),
        refuse("truncated", "the last byte is missing", cddl=False,
               signed_frame=lambda s: s[:-1]),
        refuse("one-byte", "a tag and nothing else", cddl=False, signed_frame=lambda s: s[:1]),
        refuse("tag-long", "the tag in two bytes", signed_frame=lambda s: b"\xd8\x12" + s[1:]),
        refuse("array-long", "the array's length in two bytes",
               signed_frame=lambda s: b"\xd2\x98\x04" + s[2:]),
        refuse("array-indefinite", "an array without a length",
               signed_frame=lambda s: b"\xd2\x9f" + s[2:] + b"\xff"),
        refuse("tag-inside", "a tag on the payload", cddl=False,
               signed_parts=within(2, lambda m: Raw(b"\xd8\x18" + encode(m)))),
        refuse("header-unsorted", "kid before alg",
               signed_header=lambda h: Pairs((k, h[k]) for k in (4, 1))),
        refuse("header-duplicate", "alg twice", cddl=False,
               signed_header=lambda h: Pairs((k, h[k]) for k in (1, 1, 4))),
        refuse("header-long", "alg in two bytes", signed_header=put(1, Raw(b"\x38\x06"))),
        refuse("header-trailing", "a byte after the header", cddl=False,
               signed_header=lambda h: Raw(encode(h) + b"\0")),
        refuse("header-empty", "the header is no CBOR at all", cddl=False,
               signed_header=lambda _: Raw(b"")),
    ]  # fmt: skip


def _signed_structure() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, *, cddl: bool = False, **alter: Any) -> dict[str, Any]:
        return refused(f"signed-{name}", comment, "cose", cddl=cddl, **alter)

    def header(name: str, comment: str, change: Callable[[dict], Any]) -> dict[str, Any]:
        return refuse(f"header-{name}", comment, signed_header=change)

    def numbers(name: str, comment: str, r: int | None, s: int | None) -> dict[str, Any]:
        def change(signature: bytes) -> bytes:
            first = signature[:32] if r is None else r.to_bytes(32)
            return first + (signature[32:] if s is None else s.to_bytes(32))

        return refuse(f"signature-{name}", comment, cddl=True, signature=change)

    def high(signature: bytes) -> bytes:
        return signature[:32] + (N - int.from_bytes(signature[32:])).to_bytes(32)

    return [
        refuse("untagged", "no tag", signed_frame=lambda s: s[1:]),
        refuse("tag-encrypt0", "tag 16, COSE_Encrypt0", signed_frame=lambda s: b"\xd0" + s[1:]),
        refuse("tag-mac0", "tag 17, COSE_Mac0", signed_frame=lambda s: b"\xd1" + s[1:]),
        refuse("tag-sign", "tag 98, COSE_Sign", signed_frame=lambda s: b"\xd8\x62" + s[1:]),
        refuse("message-only", "a message without a signature",
               signed_frame=lambda _: encode(MESSAGE)),
        refuse("arity-3", "no signature", signed_parts=lambda p: p[:3]),
        refuse("arity-5", "an array of five", signed_parts=lambda p: [*p, None]),
        refuse("not-array", "a map", signed_parts=lambda p: dict(enumerate(p))),
        refuse("protected-map", "the header is not wrapped in bytes",
               signed_parts=lambda p: [Raw(p[0]), *p[1:]]),
        refuse("unprotected-kid", "an unprotected label", signed_parts=at(1, {4: DEVICE.id})),
        refuse("unprotected-bytes", "an unprotected header of bytes", signed_parts=at(1, b"")),
        refuse("payload-null", "a detached payload", signed_parts=at(2, None)),
        refuse("payload-array", "a payload that is not wrapped in bytes",
               signed_parts=lambda p: [*p[:2], Raw(p[2]), p[3]]),
        refuse("payload-text", "a payload of text", signed_parts=at(2, "data")),
        refuse("signature-null", "no signature", signed_parts=at(3, None)),
        refuse("signature-text", "the signature in hex",
               signed_parts=within(3, lambda s: s.hex())),
        refuse("signature-empty", "a signature of no bytes", signature=lambda _: b""),
        refuse("signature-63", "the last byte is missing", signature=lambda s: s[:-1]),
        refuse("signature-65", "a byte more", signature=lambda s: s + b"\0"),
        refuse("signature-der", "the DER form",
               signature=lambda s: sigencode_der(*sigdecode_string(s, N), N)),
        numbers("r-0", "r = 0", 0, None),
        numbers("r-n", "r = n", N, None),
        numbers("r-ones", "r = 2^256 - 1", 2**256 - 1, None),
        numbers("s-0", "s = 0", None, 0),
        numbers("s-n", "s = n", None, N),
        numbers("s-half", "s = n/2 + 1, rounded down: the lowest that is high", None, N // 2 + 1),
        numbers("zero", "r = s = 0", 0, 0),
        refuse("signature-high", "n - s, which plain ECDSA accepts", cddl=True, signature=high),
        header("not-map", "the header is an array", lambda h: list(h.values())),
        header("map-empty", "no labels", lambda _: {}),
        header("alg-missing", "no alg", drop(1)),
        header("alg-es384", "ES384", put(1, -35)),
        header("alg-esp256", "ESP256 of RFC 9864", put(1, -9)),
        header("alg-text", "alg by name", put(1, "ES256")),
        header("alg-float", "-7.0 is not -7", put(1, -7.0)),
        header("kid-missing", "no kid", drop(4)),
        header("kid-15", "a kid of 15 bytes", put(4, DEVICE.id[:15])),
        header("kid-17", "a kid of 17 bytes", put(4, DEVICE.id + b"\0")),
        header("kid-thumbprint", "the whole thumbprint", put(4, DEVICE.thumbprint)),
        header("kid-text", "a kid of 32 hex digits", put(4, DEVICE.id.hex())),
        header("crit", "a crit label", put(2, [4])),
        header("text-label", "an unknown label", put("x", 0)),
    ]  # fmt: skip


def _signature() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, **alter: Any) -> dict[str, Any]:
        return refused(f"signature-{name}", comment, "signature", **alter)

    other_boot = derive_key_pair(ephemeral_ikm(DEVICE, BOOT + 1, FRESH))
    other_enc = setup_sender(SERVER, encode(["birthkey/1", SERVER.id]), other_boot).enc
    return [
        refuse("flip-r", "the last bit of r flipped", signature=lambda s: flip(s, 31)),
        refuse("flip-s", "the last bit of s flipped", signature=lambda s: flip(s, 63)),
        refuse("ones", "r = s = 1", signature=lambda _: (b"\0" * 31 + b"\1") * 2),
        refuse("by-neighbour", "signed by another known device", signer=lambda _: NEIGHBOUR),
        refuse("kid-of-neighbour", "says it is another known device",
               signed_header=put(4, NEIGHBOUR.id)),
        refuse("by-server", "signed by the server's key", signer=lambda _: SERVER),
        refuse("message-changed", "another message under the signature",
               signed_parts=at(2, encode([1, counter(BOOT, 1), {"t": 22.5}]))),
        refuse("counter-changed", "the same body under another counter",
               signed_parts=at(2, encode([1, counter(BOOT, 2), {"t": 21.5}]))),
        refuse("aad-server", "signed for the other key of the server",
               external_aad=at(1, BACKUP.id)),
        refuse("aad-enc", "signed under another boot's enc", external_aad=at(2, other_enc)),
        refuse("aad-boot", "signed in another boot", external_aad=at(3, BOOT + 1)),
        refuse("aad-boot-bytes", "the boot as four bytes",
               external_aad=at(3, BOOT.to_bytes(4))),
        refuse("aad-label", "another version's label", external_aad=at(0, "birthkey/2 up")),
        refuse("aad-label-down", "the label of answers", external_aad=at(0, "birthkey/1 down")),
        refuse("aad-empty", "no external_aad", external_aad=lambda _: Raw(b"")),
        refuse("aad-wrapped-twice", "the external_aad in a byte string of its own",
               sig_structure=within(2, encode)),
        refuse("aad-array", "the external_aad as an array, not as bytes",
               sig_structure=within(2, Raw)),
        refuse("context", "the context of COSE_Sign", sig_structure=at(0, "Signature")),
        refuse("header-empty", "signed under an empty header", sig_structure=at(1, b"")),
        refuse("message-alone", "a signature over the message alone",
               sig_structure=lambda s: Raw(s[3])),
    ]  # fmt: skip


def vectors() -> list[dict[str, Any]]:
    return _signed_encoding() + _signed_structure() + _signature()
