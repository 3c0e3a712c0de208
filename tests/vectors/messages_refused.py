"""The frames of frames.json whose seal and signature are good and whose message is not."""

from __future__ import annotations

from typing import Any

from primitives import Key, Raw, cose_key, encode, thumbprint
from uplink import BOOT, DEVICE, NEIGHBOUR, NEWCOMER, build, counter, flip, hexed

COUNTER = counter(BOOT, 1)


def _refuse(
    name: str,
    comment: str,
    message: Any,
    *,
    expect: str = "policy",
    reason: str | None = None,
    cddl: bool = False,
    **given: Any,
) -> dict[str, Any]:
    built = build(message, **given)
    return {
        "name": name,
        "comment": comment,
        **hexed({level: built[level] for level in ("message", "signed_frame", "frame")}),
        **({} if cddl else {"cddl": False}),
        "expect": expect,
        **({"reason": reason} if reason else {}),
    }


def _encodings() -> list[dict[str, Any]]:
    """Messages in CBOR that the profile forbids."""
    start = b"\x83\x01" + encode(COUNTER)

    def refuse(name: str, comment: str, encoding: bytes, *, cddl: bool = False) -> dict[str, Any]:
        return _refuse(f"message-{name}", comment, Raw(encoding), expect="cbor", cddl=cddl)

    def body(name: str, comment: str, encoding: str, *, cddl: bool = False) -> dict[str, Any]:
        return refuse(name, comment, start + bytes.fromhex(encoding), cddl=cddl)

    good = encode([1, COUNTER, {}])
    return [
        refuse("empty", "a payload of no bytes", b""),
        refuse("trailing", "a byte after the message", good + b"\0"),
        refuse("truncated", "the body is missing", start),
        refuse("tagged", "a tag on the message", b"\xc1" + good),
        refuse("array-long", "the array's length in two bytes", b"\x98\x03" + good[1:], cddl=True),
        refuse("array-indefinite", "no length", b"\x9f" + good[1:] + b"\xff", cddl=True),
        refuse("type-long", "the type in two bytes", b"\x83\x18\x01" + good[2:], cddl=True),
        refuse("counter-bignum", "2^64 as a bignum",
               encode([1, Raw(bytes.fromhex("c249010000000000000000")), {}])),
        body("unsorted", "2 before 1", "a202000100", cddl=True),
        body("length-first", '"" before 24: the old canonical order', "a26000181800", cddl=True),
        body("duplicate", "1 twice", "a201000101"),
        body("key-bytes", "a key that is a byte string", "a1416100"),
        body("key-true", "a key that is true", "a1f500"),
        body("int-long", "0 in two bytes", "a1011800", cddl=True),
        body("float-long", "1.0 in 32 bits", "a101fa3f800000", cddl=True),
        body("nan", "another NaN", "a101f97e01", cddl=True),
        body("undefined", "undefined", "a101f7"),
        body("simple", "simple value 0", "a101e0"),
        body("tag-inside", "a date", "a101c100"),
        body("utf-8", "an overlong form", "a10162c080"),
        body("indefinite", "a map without a length", "bf0100ff", cddl=True),
        body("depth-9", "nine levels: the message, the map and seven", "a101" + "81" * 7 + "00",
             cddl=True),
        refuse("3801", "one byte too many", encode([1, COUNTER, {"p": bytes(3801 - 17)}]),
               cddl=True),
        body("depth-500", "no stack for this", "81" * 499 + "80"),
    ]  # fmt: skip


def _shapes() -> list[dict[str, Any]]:
    def silence(name: str, comment: str, message: Any) -> dict[str, Any]:
        """Without a counter there is nothing that an answer could be about."""
        return _refuse(name, comment, message)

    def refuse(name: str, comment: str, message: Any, *, cddl: bool = False) -> dict[str, Any]:
        return _refuse(name, comment, message, reason="malformed", cddl=cddl)

    body = {"t": 21.5}
    return [
        silence("message-null", "no array", None),
        silence("message-int", "no array", 1),
        silence("message-map", "a map of the same", {0: 1, 1: COUNTER, 2: body}),
        silence("message-arity-0", "an empty array", []),
        silence("message-arity-2", "no body", [1, COUNTER]),
        silence("message-arity-4", "an array of four", [1, COUNTER, body, None]),
        silence("message-body-first", "the order reversed", [body, COUNTER, 1]),
        silence("type-negative", "type -1", [-1, COUNTER, body]),
        silence("type-text", "a type by name", ["data", COUNTER, body]),
        silence("type-null", "no type", [None, COUNTER, body]),
        silence("type-true", "true is not 1", [True, COUNTER, body]),
        silence("type-float", "1.0 is not 1", [1.0, COUNTER, body]),
        silence("counter-negative", "counter -1", [1, -1, body]),
        silence("counter-text", "a counter in digits", [1, str(COUNTER), body]),
        silence("counter-null", "no counter", [1, None, body]),
        silence("counter-float", "a counter that is a float", [1, float(COUNTER), body]),
        silence("counter-bytes", "a counter in eight bytes", [1, COUNTER.to_bytes(8), body]),
        refuse("counter-0", "boots start at 1", [1, 0, body]),
        refuse("counter-boot-0", "the largest counter of boot 0", [1, 2**32 - 1, body]),
        refuse("counter-next-boot", "a boot above the frame's", [1, counter(BOOT + 1), body],
               cddl=True),
        refuse("counter-last", "the last boot", [1, 2**64 - 1, body], cddl=True),
    ]  # fmt: skip


def _types() -> list[dict[str, Any]]:
    return [
        _refuse(f"type-{number}", comment, [number, COUNTER, body], reason="type")
        for number, comment, body in (
            (2, "no such type", {}),
            (4, "no such type", {}),
            (15, "no such type", {}),
            (16, "acknowledge does not go up", {0: BOOT}),
            (17, "command does not go up", {0: BOOT, 1: {}}),
            (18, "time does not go up", {0: BOOT, 1: 1}),
            (19, "refuse does not go up", {0: BOOT, 1: "old"}),
            (20, "no such type", {}),
            (2**64 - 1, "no such type", {}),
        )
    ]


def _strangers() -> list[dict[str, Any]]:
    """No key is known for these, so nothing about their signature can be said."""

    def refuse(name: str, comment: str, message: Any, **given: Any) -> dict[str, Any]:
        return _refuse(
            f"unknown-{name}",
            comment,
            message,
            reason="unknown-device",
            cddl=True,
            device=NEWCOMER,
            **given,
        )

    data = [1, COUNTER, {}]
    return [
        refuse("data", "a reading from a device that is not known", data),
        refuse("status", "a status from a device that is not known", [3, COUNTER, {3: True}]),
        refuse(
            "bad-signature", "the signature is not looked at", data, signature=lambda s: flip(s, 0)
        ),
    ]


def _enrolments() -> list[dict[str, Any]]:
    def message(device: Key, changes: dict[int, Any]) -> list[Any]:
        body = {1: cose_key(device.public), 2: "pico-w", 3: "1.0.0"} | changes
        return [0, COUNTER, {key: value for key, value in body.items() if value is not ...}]

    def field(name: str, comment: str, label: int, value: Any) -> dict[str, Any]:
        """The key is good, so the signature can be verified, and the sender is told."""
        body = message(NEWCOMER, {label: value})
        return _refuse(f"enrol-{name}", comment, body, reason="malformed", device=NEWCOMER)

    def key(name: str, comment: str, changes: Any) -> dict[str, Any]:
        """Without a key there is no signature to verify: silence."""
        changed = changes
        if isinstance(changes, dict):
            changed = cose_key(NEWCOMER.public) | changes
            changed = {label: value for label, value in changed.items() if value is not ...}
        given = message(NEWCOMER, {1: changed})
        return _refuse(f"enrol-key-{name}", comment, given, expect="signature", device=NEWCOMER)

    def other(name: str, comment: str, subject: Key, **given: Any) -> dict[str, Any]:
        return _refuse(
            f"enrol-{name}", comment, message(subject, {}), expect="signature", cddl=True, **given
        )

    def kid_of(public: bytes) -> Any:
        return lambda header: {**header, 4: thumbprint(public)[:16]}

    x, y = NEWCOMER.public[:32], NEWCOMER.public[32:]
    off_curve = flip(NEWCOMER.public, 63)
    return [
        other("other-key", "the key of another, signed by oneself", NEIGHBOUR, device=NEWCOMER),
        other("other-kid", "one's own key under another's kid", NEWCOMER,
              device=NEWCOMER, signed_header=kid_of(NEIGHBOUR.public)),
        other("unknown-kid", "one's own key under a kid that nobody has", NEWCOMER,
              device=NEWCOMER, signed_header=lambda h: {**h, 4: flip(h[4], 15)}),
        other("kid-second-half", "the other half of one's own thumbprint for a kid", NEWCOMER,
              device=NEWCOMER, signed_header=lambda h: {**h, 4: NEWCOMER.thumbprint[16:]}),
        other("not-signer", "another's key and kid, signed by oneself", NEIGHBOUR,
              device=NEIGHBOUR, signer=lambda _: NEWCOMER),
        other("known-not-signer", "a known device's key and kid, signed by another", DEVICE,
              signer=lambda _: NEWCOMER),
        other("bad-signature", "a bit of the signature flipped", NEWCOMER,
              device=NEWCOMER, signature=lambda s: flip(s, 40)),
        _refuse("enrol-key-off-curve", "y + 1, with the kid to match",
                message(NEWCOMER, {1: cose_key(off_curve)}), expect="signature", cddl=True,
                device=NEWCOMER, signed_header=kid_of(off_curve)),
        _refuse("enrol-key-zero", "x = y = 0, with the kid to match",
                message(NEWCOMER, {1: cose_key(bytes(64))}), expect="signature", cddl=True,
                device=NEWCOMER, signed_header=kid_of(bytes(64))),
        key("missing", "no key", ...),
        key("null", "no key", None),
        key("bytes", "x || y", NEWCOMER.public),
        key("empty", "an empty COSE_Key", dict.fromkeys((1, -1, -2, -3), ...)),
        key("x-31", "x of 31 bytes", {-2: x[1:]}),
        key("x-33", "x of 33 bytes", {-2: b"\0" + x}),
        key("y-31", "y of 31 bytes", {-3: y[1:]}),
        key("y-sign", "the compressed form of COSE", {-3: bool(y[31] & 1)}),
        key("x-missing", "no x", {-2: ...}),
        key("y-missing", "no y", {-3: ...}),
        key("x-text", "x in hex", {-2: x.hex()}),
        key("kty-missing", "no kty", {1: ...}),
        key("kty-okp", "kty OKP", {1: 1}),
        key("kty-float", "2.0 is not 2", {1: 2.0}),
        key("crv-missing", "no crv", {-1: ...}),
        key("crv-p384", "P-384", {-1: 2}),
        key("crv-true", "true is not 1", {-1: True}),
        key("kid", "a label more: kid", {2: NEWCOMER.id}),
        key("private", "a label more: the private key", {-4: bytes(32)}),
        _refuse("enrol-body-array", "the body is an array", [0, COUNTER, []],
                expect="signature", device=NEWCOMER),
        _refuse("enrol-body-empty", "the body is an empty map", [0, COUNTER, {}],
                expect="signature", device=NEWCOMER),
        _refuse("enrol-known-key-missing", "no key, from a device whose key is known",
                message(DEVICE, {1: ...}), expect="signature"),
        _refuse("enrol-known-key-x-31", "x of 31 bytes, from a device whose key is known",
                message(DEVICE, {1: {**cose_key(DEVICE.public), -2: DEVICE.public[1:32]}}),
                expect="signature"),
        field("board-missing", "no board", 2, ...),
        field("board-empty", "a board of no characters", 2, ""),
        field("board-33", "a board of 33 characters", 2, "b" * 33),
        field("board-newline", "a control character", 2, "pico\n"),
        field("board-escape", "a control character", 2, "\x1b[2Jpico"),
        field("board-del", "U+007F", 2, "pico\x7f"),
        field("board-unicode", "not ASCII", 2, "pïco"),
        field("board-bytes", "a board of bytes", 2, b"pico-w"),
        field("board-int", "a board by number", 2, 1),
        field("firmware-missing", "no firmware", 3, ...),
        field("firmware-empty", "a firmware of no characters", 3, ""),
        field("firmware-33", "a firmware of 33 characters", 3, "1" * 33),
        field("firmware-nul", "a control character", 3, "1.0\0"),
        field("firmware-array", "a firmware in numbers", 3, [1, 0, 0]),
        field("claim-15", "a claim code of 15 bytes", 4, bytes(15)),
        field("claim-17", "a claim code of 17 bytes", 4, bytes(17)),
        field("claim-empty", "a claim code of no bytes", 4, b""),
        field("claim-text", "a claim code as text", 4, "a" * 16),
        field("claim-null", "no claim code, but its label", 4, None),
        field("extra", "an unknown label", 5, 0),
        field("newest", "newest does not go up", 0, BOOT),
    ]  # fmt: skip


def _bodies() -> list[dict[str, Any]]:
    def data(name: str, comment: str, body: Any) -> dict[str, Any]:
        return _refuse(f"data-{name}", comment, [1, COUNTER, body], reason="malformed")

    def status(name: str, comment: str, body: Any, *, cddl: bool = False) -> dict[str, Any]:
        message = [3, COUNTER, body]
        return _refuse(f"status-{name}", comment, message, reason="malformed", cddl=cddl)

    return [
        data("null", "neither a map nor a pack", None),
        data("int", "neither a map nor a pack", 21),
        data("float", "neither a map nor a pack", 21.5),
        data("true", "neither a map nor a pack", True),
        data("text", "neither a map nor a pack", "21.5"),
        data("bytes", "neither a map nor a pack", encode({"t": 21.5})),
        data("pack-empty", "a pack of no records", []),
        data("pack-int", "a record that is no map", [1]),
        data("pack-mixed", "the last record is no map", [{}, {}, 1]),
        data("pack-nested", "a pack in a pack", [[{}]]),
        status("null", "the body is no map", None),
        status("array", "the body is no map", []),
        status("extra", "an unknown label", {4: 0}),
        status("newest-down", "label 0 is for what goes down", {0: BOOT}),
        status("text-label", "an unknown label", {"time": True}),
        status("newest-negative", "newest is -1", {1: -1}),
        status("newest-33-bits", "newest is 2^32", {1: 2**32}),
        status("newest-text", "newest in digits", {1: "9"}),
        status("newest-true", "newest is true", {1: True}),
        status("newest-float", "newest is 9.0", {1: 9.0}),
        status("newest-null", "newest is null", {1: None}),
        status("result-id", "an id and no result", {2: [4]}),
        status("result-three", "an array of three", {2: [4, None, None]}),
        status("result-empty", "an empty array", {2: []}),
        status("result-map", "a map for the pair", {2: {0: 4, 1: None}}),
        status("result-null", "null for the pair", {2: None}),
        status("result-id-negative", "the id is -1", {2: [-1, None]}),
        status("result-id-text", "the id is text", {2: ["4", None]}),
        status("result-id-true", "the id is true", {2: [True, None]}),
        status("result-id-float", "the id is 4.0", {2: [4.0, None]}),
        status("result-id-65-bits", "the id is a float of 2^64", {2: [2.0**64, None]}),
        status("result-bytes", "a result that is bytes", {2: [4, b"on"]}),
        status("result-array", "an array is no result", {2: [4, [1, 2]]}),
        status("result-array-empty", "an empty array", {2: [4, []]}),
        status(
            "result-failure-unknown",
            "a failure that is not in the list",
            {2: [4, ["broken", "it is"]]},
        ),
        status("result-failure-alone", "a failure without a sentence", {2: [4, ["failed"]]}),
        status(
            "result-failure-three", "a failure and two sentences", {2: [4, ["failed", "a", "b"]]}
        ),
        status(
            "result-failure-null", "a failure with null for a sentence", {2: [4, ["failed", None]]}
        ),
        status("result-513", "a result of 513 bytes", {2: [4, "x" * 510]}, cddl=True),
        status("time-false", "false for true", {3: False}),
        status("time-1", "1 is not true", {3: 1}),
        status("time-float", "1.0 is not true", {3: 1.0}),
        status("time-null", "null for true", {3: None}),
    ]


def vectors() -> list[dict[str, Any]]:
    return _encodings() + _shapes() + _types() + _strangers() + _enrolments() + _bodies()
