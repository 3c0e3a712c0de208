"""answers.json: what comes down to one device, in answer to one of its frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alter import at, drop, put, within
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from primitives import Pairs, Raw, encode, fixed
from uplink import BOOT, DEVICE, NEIGHBOUR, SERVER, build, counter, flip, hexed

NUMBER = 3
COUNTER = counter(BOOT, 1)
FRAME = build([1, COUNTER, {"t": 21.5}], number=NUMBER)
PARTIAL_IV = (BOOT << 32 | NUMBER).to_bytes(8)
IV = fixed("answer iv")[:12]

REASONS = {
    "pending": "transient",
    "busy": "transient",
    "suspended": "transient",
    "unknown-device": "transient",
    "stale-boot": "transient",
    "tls-required": "transient",
    "old": "final",
    "type": "final",
    "malformed": "final",
    "revoked": "final",
    "cloned": "final",
}


def build_answer(message: Any, **alter: Callable[[Any], Any]) -> dict[str, bytes]:
    """One answer; `alter` works as in `uplink.build`."""

    def stage(name: str, value: Any) -> Any:
        return alter.pop(name)(value) if name in alter else value

    message = encode(message)
    header = stage("header", {1: 24, 4: PARTIAL_IV, 5: IV})
    protected = encode(header)
    external_aad = encode(stage("external_aad", ["birthkey/1 down", DEVICE.id]))
    aad = encode(stage("enc_structure", ["Encrypt0", protected, external_aad]))
    key = stage("key", FRAME["answer_key"])
    nonce = stage("nonce", IV)
    ciphertext = stage("ciphertext", ChaCha20Poly1305(key).encrypt(nonce, message, aad))
    parts = stage("parts", [protected, {}, ciphertext])
    answer = stage("answer", b"\xd0" + encode(parts))
    if alter:
        raise ValueError(f"no such stage: {', '.join(alter)}")
    return {"message": message, "external_aad": external_aad, "aad": aad, "answer": answer}


def _accept(name: str, comment: str, message: Any) -> dict[str, Any]:
    fields = hexed(build_answer(message))
    return {"name": name, "comment": comment, **fields, "expect": "accept"}


def _accepted() -> list[dict[str, Any]]:
    refusals = [
        _accept(f"refuse-{reason}", f"a {kind} reason", [19, COUNTER, {0: BOOT, 1: reason}])
        for reason, kind in REASONS.items()
    ]
    return [
        _accept("acknowledge", "the message is stored", [16, COUNTER, {0: BOOT}]),
        _accept("acknowledge-clone", "the server has seen a higher boot number",
                [16, COUNTER, {0: BOOT + 2}]),
        _accept("acknowledge-newest-0", "newest may be 0", [16, COUNTER, {0: 0}]),
        _accept("acknowledge-newest-last", "the largest newest", [16, COUNTER, {0: 2**32 - 1}]),
        _accept("acknowledge-command", "a command follows", [16, COUNTER, {0: BOOT, 1: True}]),
        *refusals,
        _accept("time", "a time of 2026", [18, COUNTER, {0: BOOT, 1: 1790000000}]),
        _accept("time-after-2106", "a time of 33 bits", [18, COUNTER, {0: BOOT, 1: 2**32}]),
        _accept("command", "the counter is the command's id",
                [17, 5, {0: BOOT, 1: {"led": True, "blink": [1, 2, {"ms": 100}]}}]),
        _accept("command-empty", "an empty map is a command", [17, 1, {0: BOOT, 1: {}}]),
        _accept("command-clone", "a command that names a higher boot number",
                [17, 5, {0: BOOT + 2, 1: {}}]),
        _accept("command-deepest", "eight levels: the message, its body, the map and five",
                [17, 5, {0: BOOT, 1: {1: [[[[[0]]]]]}}]),
        _accept("command-largest", "a map of 1024 bytes", [17, 5, {0: BOOT, 1: {"x": "x" * 1018}}]),
        _accept("answer-largest", "1095 bytes: all that a command can have is at its longest",
                [17, 2**64 - 1, {0: 2**32 - 1, 1: {"x": "x" * 1018}}]),
        _accept("command-items-256", "256 items: a map, its key, a list and 253 in it",
                [17, 5, {0: BOOT, 1: {"x": [0] * 253}}]),
        _accept("time-0", "whether that can be is not for the codec to say",
                [18, COUNTER, {0: BOOT, 1: 0}]),
        _accept("command-id-0", "the lowest id", [17, 0, {0: BOOT, 1: {}}]),
        _accept("command-id-last", "the largest id", [17, 2**64 - 1, {0: BOOT, 1: {}}]),
    ]  # fmt: skip


_ACKNOWLEDGE = [16, COUNTER, {0: BOOT}]


def _refuse(
    name: str,
    comment: str,
    expect: str,
    message: Any = _ACKNOWLEDGE,
    *,
    cddl: bool = True,
    **alter: Any,
) -> dict[str, Any]:
    """Shows the message only where the fault is inside."""
    built = build_answer(message, **alter)
    levels = ("answer",) if message is _ACKNOWLEDGE else ("message", "answer")
    return {
        "name": name,
        "comment": comment,
        **hexed({level: built[level] for level in levels}),
        **({} if cddl else {"cddl": False}),
        "expect": expect,
    }


def _encodings() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, *, cddl: bool = True, **alter: Any) -> dict[str, Any]:
        return _refuse(f"answer-{name}", comment, "cbor", cddl=cddl, **alter)

    return [
        _refuse("answer-empty", "no bytes", "framing", cddl=False, answer=lambda _: b""),
        _refuse("answer-4097", "one byte too many", "framing", cddl=False,
                answer=lambda a: a + bytes(4097 - len(a))),
        _refuse("answer-1096", "no server has so much to say", "framing", cddl=False,
                ciphertext=lambda _: bytes(1060)),
        refuse("ciphertext-long-1", "a length below 24 in two bytes",
               parts=lambda p: [*p[:2], Raw(b"\x58\x17" + bytes(23))]),
        refuse("ciphertext-long-2", "a length below 256 in three bytes",
               parts=lambda p: [*p[:2], Raw(b"\x59\x00\xff" + bytes(255))]),
        refuse("ciphertext-indefinite", "a ciphertext in pieces",
               parts=lambda p: [*p[:2], Raw(b"\x5f" + encode(p[2]) + b"\xff")]),
        refuse("trailing", "a byte after the answer", cddl=False, answer=lambda a: a + b"\0"),
        refuse("truncated", "the last byte is missing", cddl=False, answer=lambda a: a[:-1]),
        refuse("tag-only", "nothing after the tag", cddl=False, answer=lambda a: a[:1]),
        refuse("tag-long", "the tag in two bytes", answer=lambda a: b"\xd8\x10" + a[1:]),
        refuse("array-indefinite", "an array without a length",
               answer=lambda a: b"\xd0\x9f" + a[2:] + b"\xff"),
        refuse("header-unsorted", "the IV before kid",
               header=lambda h: Pairs((k, h[k]) for k in (1, 5, 4))),
        refuse("header-duplicate", "kid twice", cddl=False,
               header=lambda h: Pairs((k, h[k]) for k in (1, 4, 4, 5))),
        refuse("header-long", "alg in three bytes", header=put(1, Raw(b"\x19\x00\x18"))),
        refuse("header-trailing", "a byte after the header", cddl=False,
               header=lambda h: Raw(encode(h) + b"\0")),
        refuse("header-empty", "the header is no CBOR at all", cddl=False,
               header=lambda _: Raw(b"")),
    ]  # fmt: skip


def _structures() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, **alter: Any) -> dict[str, Any]:
        return _refuse(f"answer-{name}", comment, "cose", cddl=False, **alter)

    def header(name: str, comment: str, change: Callable[[dict], Any]) -> dict[str, Any]:
        return refuse(f"header-{name}", comment, header=change)

    return [
        refuse("untagged", "no tag", answer=lambda a: a[1:]),
        refuse("tag-sign1", "tag 18, COSE_Sign1", answer=lambda a: b"\xd2" + a[1:]),
        refuse("message-only", "a message without a seal", answer=lambda _: encode(_ACKNOWLEDGE)),
        refuse("uplink", "the board's own frame, sent back", answer=lambda _: FRAME["frame"]),
        refuse("arity-2", "no ciphertext", parts=lambda p: p[:2]),
        refuse("arity-4", "an array of four", parts=lambda p: [*p, []]),
        refuse("not-array", "a map", parts=lambda p: dict(enumerate(p))),
        refuse("protected-map", "the header is not wrapped in bytes",
               parts=lambda p: [Raw(p[0]), *p[1:]]),
        refuse("unprotected-iv", "an unprotected label", parts=at(1, {5: IV})),
        refuse("unprotected-bytes", "an unprotected header of bytes", parts=at(1, b"")),
        refuse("unprotected-array", "an unprotected header of the wrong type", parts=at(1, [])),
        refuse("ciphertext-null", "detached ciphertext", parts=at(2, None)),
        refuse("ciphertext-text", "ciphertext as text", parts=at(2, "a" * 40)),
        refuse("ciphertext-16", "the seal of nothing", message=Raw(b"")),
        header("not-map", "the header is an array", lambda h: list(h.values())),
        header("alg-missing", "no alg", drop(1)),
        header("alg-aes-gcm", "A128GCM", put(1, 1)),
        header("alg-float", "24.0 is not 24", put(1, 24.0)),
        header("kid-missing", "no kid", drop(4)),
        header("kid-7", "a kid of 7 bytes", put(4, PARTIAL_IV[1:])),
        header("kid-9", "a kid of 9 bytes", put(4, b"\0" + PARTIAL_IV)),
        header("kid-int", "a kid as a number", put(4, int.from_bytes(PARTIAL_IV))),
        header("kid-device", "the device's id for a kid", put(4, DEVICE.id)),
        header("iv-missing", "no IV", drop(5)),
        header("iv-11", "an IV of 11 bytes", put(5, IV[1:])),
        header("iv-13", "an IV of 13 bytes", put(5, IV + b"\0")),
        header("iv-text", "an IV as text", put(5, "a" * 12)),
        header("partial-iv", "a label more: partial-iv", put(6, PARTIAL_IV)),
        header("text-label", "an unknown label", put("x", 0)),
    ]  # fmt: skip


def _seals() -> list[dict[str, Any]]:
    def refuse(name: str, comment: str, **alter: Any) -> dict[str, Any]:
        return _refuse(f"answer-{name}", comment, "seal", **alter)

    other_boot = build([1, COUNTER, {}], boot=BOOT + 1, number=NUMBER)
    return [
        refuse("other-frame", "an answer to frame 4, which was not sent",
               header=put(4, (BOOT << 32 | NUMBER + 1).to_bytes(8))),
        refuse("other-boot", "an answer to frame 3 of boot 8",
               header=put(4, (BOOT + 1 << 32 | NUMBER).to_bytes(8))),
        refuse("other-frame-header", "an answer to frame 4, moved to frame 3",
               enc_structure=lambda s: [
                   s[0], encode({1: 24, 4: (BOOT << 32 | NUMBER + 1).to_bytes(8), 5: IV}), s[2]]),
        refuse("iv-flipped", "another IV in the header", header=put(5, flip(IV, 0)),
               nonce=lambda _: IV),
        refuse("ciphertext-first", "the first bit flipped", ciphertext=lambda c: flip(c, 0)),
        refuse("ciphertext-tag", "the last bit flipped", ciphertext=lambda c: flip(c, -1)),
        refuse("ciphertext-short", "the last byte is missing", ciphertext=lambda c: c[:-1]),
        refuse("ciphertext-17", "the seal of nothing and a byte", ciphertext=lambda _: bytes(17)),
        refuse("device", "an answer to another device", external_aad=at(1, NEIGHBOUR.id)),
        refuse("label-up", "the label of frames", external_aad=at(0, "birthkey/1 up")),
        refuse("label-version", "the label of another version",
               external_aad=at(0, "birthkey/2 down")),
        refuse("aad-empty", "no external_aad", external_aad=lambda _: Raw(b"")),
        refuse("aad-wrapped-twice", "the external_aad in a byte string of its own",
               enc_structure=within(2, encode)),
        refuse("aad-context", "the context of COSE_Encrypt", enc_structure=at(0, "Encrypt")),
        refuse("key-other-boot", "the key of another boot's context",
               key=lambda _: other_boot["answer_key"]),
        refuse("key-up", "sealed with the key of frames", key=lambda _: _uplink_key()),
        refuse("key-zero", "sealed with a key of zeros", key=lambda _: bytes(32)),
    ]  # fmt: skip


def _uplink_key() -> bytes:
    keys: list[bytes] = []

    def keep(context: Any) -> Any:
        keys.append(context.key)
        return context

    build([1, COUNTER, {"t": 21.5}], number=NUMBER, context=keep)
    return keys[0]


def _messages() -> list[dict[str, Any]]:
    def encoding(name: str, comment: str, raw: bytes, *, cddl: bool = False) -> dict[str, Any]:
        return _refuse(f"message-{name}", comment, "cbor", Raw(raw), cddl=cddl)

    def refuse(name: str, comment: str, message: Any, *, cddl: bool = False) -> dict[str, Any]:
        return _refuse(name, comment, "policy", message, cddl=cddl)

    good = encode(_ACKNOWLEDGE)
    body = {0: BOOT}
    return [
        encoding("trailing", "a byte after the message", good + b"\0"),
        encoding("truncated", "the last byte is missing", good[:-1]),
        encoding("tagged", "a tag on the message", b"\xd2" + good),
        encoding("type-long", "the type in two bytes", b"\x83\x18\x10" + good[2:], cddl=True),
        encoding("unsorted", "the reason before newest",
                 encode([19, COUNTER, Pairs([(1, "old"), (0, BOOT)])]), cddl=True),
        encoding("duplicate", "newest twice",
                 encode([16, COUNTER, Pairs([(0, BOOT), (0, BOOT)])])),
        encoding("depth-9", "nine levels",
                 encode([17, 5, {0: BOOT, 1: {1: Raw(b"\x81" * 6 + b"\0")}}]),
                 cddl=True),
        refuse("message-int", "no array", 16),
        refuse("message-map", "a map of the same", {0: 16, 1: COUNTER, 2: body}),
        refuse("message-arity-2", "no body", [16, COUNTER]),
        refuse("message-arity-4", "an array of four", [16, COUNTER, body, None]),
        refuse("type-enrol", "an enrol does not come down", [0, COUNTER, body]),
        refuse("type-data", "a reading does not come down", [1, COUNTER, body]),
        refuse("type-status", "a status does not come down", [3, COUNTER, {}]),
        refuse("type-20", "no such type", [20, COUNTER, body]),
        refuse("type-float", "16.0 is not 16", [16.0, COUNTER, body]),
        refuse("type-negative", "type -17", [-17, COUNTER, body]),
        refuse("type-text", "a type by name", ["acknowledge", COUNTER, body]),
        refuse("counter-other", "the counter of the next message", [16, COUNTER + 1, body],
               cddl=True),
        refuse("counter-other-time", "the counter of the next message",
               [18, COUNTER + 1, {0: BOOT, 1: 1790000000}], cddl=True),
        refuse("counter-other-refuse", "the counter of the next message",
               [19, COUNTER + 1, {0: BOOT, 1: "old"}], cddl=True),
        refuse("counter-null", "no counter", [16, None, body]),
        refuse("counter-text", "a counter in digits", [16, str(COUNTER), body]),
        refuse("counter-float", "a counter that is a float", [16, float(COUNTER), body]),
        refuse("counter-negative", "counter -1", [16, -1, body]),
        refuse("body-array", "the body is no map", [16, COUNTER, [BOOT]]),
        refuse("body-null", "no body", [16, COUNTER, None]),
        refuse("newest-missing", "no newest", [16, COUNTER, {}]),
        refuse("newest-negative", "newest is -1", [16, COUNTER, {0: -1}]),
        refuse("newest-33-bits", "newest is 2^32", [16, COUNTER, {0: 2**32}]),
        refuse("newest-text", "newest in digits", [16, COUNTER, {0: "7"}]),
        refuse("newest-true", "newest is true", [16, COUNTER, {0: True}]),
        refuse("newest-float", "newest is 7.0", [16, COUNTER, {0: 7.0}]),
        refuse("acknowledge-extra", "an unknown label", [16, COUNTER, {0: BOOT, 2: True}]),
        refuse("acknowledge-command-false", "a command that does not follow",
               [16, COUNTER, {0: BOOT, 1: False}]),
        refuse("acknowledge-command-1", "a command follows, said by a number",
               [16, COUNTER, {0: BOOT, 1: 1}]),
        refuse("acknowledge-reason", "a reason in an acknowledgement",
               [16, COUNTER, {0: BOOT, 1: "old"}]),
        refuse("acknowledge-text-label", "an unknown label", [16, COUNTER, {0: BOOT, "x": 0}]),
        refuse("refuse-no-reason", "no reason", [19, COUNTER, body]),
        refuse("refuse-no-newest", "no newest", [19, COUNTER, {1: "old"}]),
        refuse("refuse-unknown", "a reason that is not in the list",
               [19, COUNTER, {0: BOOT, 1: "because"}]),
        refuse("refuse-empty", "an empty reason", [19, COUNTER, {0: BOOT, 1: ""}]),
        refuse("refuse-capital", "a reason in capitals", [19, COUNTER, {0: BOOT, 1: "OLD"}]),
        refuse("refuse-bytes", "a reason in bytes", [19, COUNTER, {0: BOOT, 1: b"old"}]),
        refuse("refuse-int", "a reason by number", [19, COUNTER, {0: BOOT, 1: 1}]),
        refuse("refuse-array", "a list of reasons", [19, COUNTER, {0: BOOT, 1: ["old"]}]),
        refuse("refuse-extra", "an unknown label", [19, COUNTER, {0: BOOT, 1: "old", 2: 0}]),
        refuse("time-missing", "no time", [18, COUNTER, body]),
        refuse("time-negative", "a time before 1970", [18, COUNTER, {0: BOOT, 1: -1}]),
        refuse("time-float", "a time that is a float", [18, COUNTER, {0: BOOT, 1: 1.0}]),
        refuse("time-true", "a time that is true", [18, COUNTER, {0: BOOT, 1: True}]),
        refuse("time-text", "a time as text",
               [18, COUNTER, {0: BOOT, 1: "2026-09-21T14:13:20Z"}]),
        refuse("time-extra", "an unknown label", [18, COUNTER, {0: BOOT, 1: 1, 2: 0}]),
        refuse("command-missing", "no command", [17, 5, body]),
        refuse("command-items-257", "an item too many",
               [17, 5, {0: BOOT, 1: {"x": [0] * 254}}], cddl=True),
        refuse("command-array", "a command that is no map", [17, 5, {0: BOOT, 1: [1]}]),
        refuse("command-null", "a command that is null", [17, 5, {0: BOOT, 1: None}]),
        refuse("command-extra", "an unknown label", [17, 5, {0: BOOT, 1: {}, 2: 0}]),
        refuse("command-no-newest", "no newest", [17, 5, {1: {}}]),
        refuse("command-text", "a command that is text", [17, 5, {0: BOOT, 1: "led"}]),
        refuse("command-true", "a command that is true", [17, 5, {0: BOOT, 1: True}]),
        refuse("command-bytes", "a map within bytes", [17, 5, {0: BOOT, 1: encode({})}]),
        refuse("command-id-negative", "id -1", [17, -1, {0: BOOT, 1: {}}]),
        refuse("command-id-float", "an id that is a float", [17, 5.0, {0: BOOT, 1: {}}]),
        refuse("command-id-null", "no id", [17, None, {0: BOOT, 1: {}}]),
        refuse("time-no-newest", "no newest", [18, COUNTER, {1: 1790000000}]),
        refuse("command-id-text", "an id in digits", [17, "5", {0: BOOT, 1: {}}]),
    ]  # fmt: skip


def make() -> dict[str, Any]:
    return {
        "comment": "Answers to the one frame shown here; refusals hold one fault each.",
        "server": SERVER.shown("server"),
        "device": DEVICE.shown("device"),
        "frame": hexed(FRAME),
        "partial_iv": PARTIAL_IV.hex(),
        "counter": COUNTER,
        "iv": IV.hex(),
        "vectors": _accepted() + _encodings() + _structures() + _seals() + _messages(),
    }
