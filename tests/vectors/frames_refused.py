"""The frames of frames.json that get silence for what is wrong with the seal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alter import MESSAGE, at, drop, put, refused, within
from primitives import (
    Context,
    P,
    Pairs,
    Raw,
    derive_key_pair,
    encode,
    hpke_context,
    key_agreement,
    point_with_small_x,
)
from uplink import (
    BACKUP,
    BOOT,
    DEVICE,
    FRESH,
    SERVER,
    STRANGER,
    build,
    counter,
    ephemeral_ikm,
    flip,
)


def _framing() -> list[dict[str, Any]]:
    # A message of 3800 bytes leaves room in a frame; this one fills the frame and one byte.
    overhead = len(build([1, counter(BOOT, 1), bytes(3000)])["frame"]) - 3000
    over = [1, counter(BOOT, 1), bytes(4097 - overhead)]
    return [
        refused("frame-empty", "no bytes", "framing", cddl=False, frame=lambda _: b""),
        refused("frame-4097", "one byte too many", "framing", message=over),
    ]


def _frame_encoding() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, *, cddl: bool = True, **alter: Any) -> dict[str, Any]:
        return refused(f"frame-{name}", comment, "cbor", cddl=cddl, **alter)

    header = "sealed_header"
    return [
        refuse("trailing", "a byte after the frame", cddl=False, frame=lambda f: f + b"\0"),
        refuse("truncated", "the last byte is missing", cddl=False, frame=lambda f: f[:-1]),
        refuse("tag-only", "nothing after the tag", cddl=False, frame=lambda f: f[:1]),
        refuse("tag-long", "the tag in two bytes", frame=lambda f: b"\xd8\x10" + f[1:]),
        refuse("array-long", "the array's length in two bytes",
               frame=lambda f: b"\xd0\x98\x03" + f[2:]),
        refuse("array-indefinite", "an array without a length",
               frame=lambda f: b"\xd0\x9f" + f[2:] + b"\xff"),
        refuse("tag-inside", "a tag on the ciphertext", cddl=False,
               sealed_parts=within(2, lambda c: Raw(b"\xd8\x18" + encode(c)))),
        refuse("header-unsorted", "kid before alg",
               sealed_header=lambda h: Pairs((k, h[k]) for k in (4, 1, 6, 10))),
        refuse("header-duplicate", "kid twice", cddl=False,
               sealed_header=lambda h: Pairs((k, h[k]) for k in (1, 4, 4, 6, 10))),
        refuse("header-long", "alg in three bytes", **{header: put(1, Raw(b"\x19\x00\x18"))}),
        refuse("header-trailing", "a byte after the header", cddl=False,
               sealed_header=lambda h: Raw(encode(h) + b"\0")),
        refuse("header-truncated", "the header's last byte is missing", cddl=False,
               sealed_header=lambda h: Raw(encode(h)[:-1])),
        refuse("header-empty", "the header is no CBOR at all", cddl=False,
               sealed_header=lambda _: Raw(b"")),
        refuse("header-tagged", "a tag on the header", cddl=False,
               sealed_header=lambda h: Raw(b"\xc1" + encode(h))),
        refuse("header-key-bytes", "a label that is a byte string", cddl=False,
               sealed_header=put(b"", 0)),
    ]  # fmt: skip


def _frame_structure() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, **alter: Any) -> dict[str, Any]:
        return refused(f"frame-{name}", comment, "cose", cddl=False, **alter)

    def header(name: str, comment: str, change: Callable[[dict], Any]) -> dict[str, Any]:
        return refuse(f"header-{name}", comment, sealed_header=change)

    def tag(byte: str) -> Callable[[bytes], bytes]:
        return lambda frame: bytes.fromhex(byte) + frame[1:]

    return [
        refuse("untagged", "no tag", frame=lambda f: f[1:]),
        refuse("tag-sign1", "tag 18, COSE_Sign1", frame=tag("d2")),
        refuse("tag-mac0", "tag 17, COSE_Mac0", frame=tag("d1")),
        refuse("tag-encrypt", "tag 96, COSE_Encrypt", frame=tag("d860")),
        refuse("signed-only", "a signed-frame without a seal",
               frame=lambda _: build(MESSAGE)["signed_frame"]),
        refuse("arity-2", "no ciphertext", sealed_parts=lambda p: p[:2]),
        refuse("arity-4", "an array of four", sealed_parts=lambda p: [*p, []]),
        refuse("not-array", "a map", sealed_parts=lambda p: dict(enumerate(p))),
        refuse("protected-map", "the header is not wrapped in bytes",
               sealed_parts=lambda p: [Raw(p[0]), *p[1:]]),
        refuse("protected-text", "the header is wrapped in text", sealed_parts=at(0, "")),
        refuse("unprotected-label", "an unprotected label", sealed_parts=at(1, {5: bytes(12)})),
        refuse("unprotected-bytes", "an unprotected header of bytes", sealed_parts=at(1, b"")),
        refuse("unprotected-array", "an unprotected header of the wrong type",
               sealed_parts=at(1, [])),
        refuse("unprotected-null", "no unprotected header", sealed_parts=at(1, None)),
        refuse("ciphertext-null", "detached ciphertext", sealed_parts=at(2, None)),
        refuse("ciphertext-text", "ciphertext as text", sealed_parts=at(2, "a" * 40)),
        refuse("ciphertext-16", "the seal of nothing", signed_frame=lambda _: b""),
        header("not-map", "the header is an array", lambda h: list(h.values())),
        header("map-empty", "no labels", lambda _: {}),
        header("alg-missing", "no alg", drop(1)),
        header("alg-aes-gcm", "A128GCM", put(1, 1)),
        header("alg-text", "alg by name", put(1, "ChaCha20/Poly1305")),
        header("alg-float", "24.0 is not 24", put(1, 24.0)),
        header("kid-missing", "no kid", drop(4)),
        header("kid-15", "a kid of 15 bytes", put(4, SERVER.id[:15])),
        header("kid-17", "a kid of 17 bytes", put(4, SERVER.id + b"\0")),
        header("kid-thumbprint", "the whole thumbprint", put(4, SERVER.thumbprint)),
        header("kid-text", "a kid of 32 hex digits", put(4, SERVER.id.hex())),
        header("partial-iv-missing", "no partial-iv", drop(6)),
        header("partial-iv-7", "a partial-iv of 7 bytes", put(6, bytes([0, 0, BOOT, 0, 0, 0, 0]))),
        header("partial-iv-9", "a partial-iv of 9 bytes",
               put(6, bytes([0, 0, 0, 0, BOOT, 0, 0, 0, 0]))),
        header("partial-iv-int", "a partial-iv as a number", put(6, BOOT << 32)),
        header("enc-missing", "no enc", drop(10)),
        header("enc-64", "no 04 before x and y", lambda h: {**h, 10: h[10][1:]}),
        header("enc-66", "a byte after the point", lambda h: {**h, 10: h[10] + b"\0"}),
        header("enc-compressed", "33 bytes", lambda h: {**h, 10: _compressed(h[10])}),
        header("enc-infinity", "the point at infinity", put(10, b"\0")),
        header("enc-text", "enc as text", put(10, "a" * 65)),
        header("iv", "an IV beside the partial-iv", put(5, bytes(12))),
        header("crit", "a crit label", put(2, [4])),
        header("content-type", "another known label", put(3, 0)),
        header("text-label", "an unknown label", put("x", 0)),
    ]  # fmt: skip


def _compressed(enc: bytes) -> bytes:
    return bytes([2 + (enc[64] & 1)]) + enc[1:33]


def _seal() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, **alter: Any) -> dict[str, Any]:
        return refused(f"seal-{name}", comment, "seal", **alter)

    def wrong_point(name: str, comment: str, enc: bytes) -> dict[str, Any]:
        """Sealed as if the encoding were good: by the shared point when there is one."""
        return refuse(name, comment, context=lambda c: _with_enc(c, enc))

    good = build(MESSAGE)["enc"]
    x, y = good[1:33], good[33:]
    negated = b"\4" + x + (P - int.from_bytes(y)).to_bytes(32)
    other_boot = derive_key_pair(ephemeral_ikm(DEVICE, BOOT + 1, FRESH))
    info = encode(["birthkey/1", SERVER.id])
    partial_iv = (BOOT << 32).to_bytes(8)
    return [
        refuse("unknown-server", "a server_id that is not ours", server=STRANGER),
        refuse("other-server", "our server_id, sealed to our other key",
               sealed_header=put(4, BACKUP.id)),
        refuse("boot-0", "boots start at 1", boot=0, message=[1, counter(1), {}]),
        refuse("boot-header", "another boot in the header than was sealed",
               sealed_parts=within(0, lambda p: p.replace(partial_iv, flip(partial_iv, 3)))),
        refuse("sequence", "the nonce of the next frame", sequence=lambda n: n + 1),
        refuse("sequence-number-only", "the nonce of the frame number without the boot",
               sequence=lambda n: n & 0xFFFFFFFF),
        wrong_point("enc-off-curve", "y + 1", flip(good, 64)),
        wrong_point("enc-zero", "x = y = 0", b"\4" + bytes(64)),
        wrong_point("enc-all-zero", "65 bytes of 0", bytes(65)),
        wrong_point("enc-prefix-02", "a compressed prefix on an uncompressed point",
                    b"\2" + good[1:]),
        wrong_point("enc-hybrid", "the hybrid form of X9.62", bytes([6 + (y[31] & 1)]) + good[1:]),
        wrong_point("enc-x-is-p", "x = p", b"\4" + P.to_bytes(32) + y),
        wrong_point("enc-ones", "all ones", b"\4" + b"\xff" * 64),
        refuse("enc-x-plus-p", "a point whose x is not reduced",
               context=lambda _: _unreduced(info)),
        refuse("enc-negated", "-enc: the same shared x under another name",
               sealed_header=put(10, negated)),
        refuse("enc-other-boot", "the enc of another boot",
               sealed_header=put(10, b"\4" + other_boot.public)),
        refuse("ciphertext-first", "the first bit flipped", ciphertext=lambda c: flip(c, 0)),
        refuse("ciphertext-tag", "the last bit flipped", ciphertext=lambda c: flip(c, -1)),
        refuse("ciphertext-short", "the last byte is missing", ciphertext=lambda c: c[:-1]),
        refuse("ciphertext-long", "a byte more", ciphertext=lambda c: c + b"\0"),
        refuse("ciphertext-random", "17 bytes of nothing", ciphertext=lambda _: bytes(17)),
        refuse("aad-empty", "sealed without aad", enc_structure=lambda _: Raw(b"")),
        refuse("aad-header-only", "the header for the Enc_structure",
               enc_structure=lambda s: Raw(s[1])),
        refuse("aad-context", "the context of COSE_Encrypt", enc_structure=at(0, "Encrypt")),
        refuse("aad-external", "an external_aad that is not empty",
               enc_structure=at(2, encode(["birthkey/1 up", SERVER.id]))),
        refuse("info-empty", "no info", info=lambda _: Raw(b"")),
        refuse("info-version", "the info of another version", info=at(0, "birthkey/2")),
        refuse("info-server", "the info of another server", info=at(1, BACKUP.id)),
    ]  # fmt: skip


def _with_enc(context: Context, enc: bytes) -> Context:
    """The context of a receiver that takes `enc` as it comes and agrees on the same secret."""
    ephemeral = derive_key_pair(ephemeral_ikm(DEVICE, BOOT, FRESH))
    info = encode(["birthkey/1", SERVER.id])
    return hpke_context(enc, key_agreement(ephemeral, SERVER.public), SERVER.public, info)


def _unreduced(info: bytes) -> Context:
    x, y = point_with_small_x()
    shared = key_agreement(SERVER, x.to_bytes(32) + y.to_bytes(32))
    enc = b"\4" + (x + P).to_bytes(32) + y.to_bytes(32)
    return hpke_context(enc, shared, SERVER.public, info)


def vectors() -> list[dict[str, Any]]:
    return _framing() + _frame_encoding() + _frame_structure() + _seal()
