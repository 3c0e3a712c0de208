"""Explains any bytes as the protocol sees them: each field, and the layer that refuses them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from birthkey_host import cbor, cose, hpke
from birthkey_host.errors import FrameError, Layer
from birthkey_host.keys import ServerKey
from birthkey_host.legible import quoted
from birthkey_host.message import Type, check_down, decode_message
from birthkey_host.verifier import Lookup, Verifier, check_message

Kind = Literal["sealed-frame", "signed-frame", "message", "answer", "unknown"]

_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_SIMPLE = {20: "false", 21: "true", 22: "null"}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_DEEP = 16  # deeper than anything allowed, shallow enough to draw

# Meanings that are completed from the value.
_NUMBERS = "boot and frame number"
_BIRTH_KEY = "the birth key of device"

_PARTS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "sealed-frame": (
        ("protected", "header, authenticated by the seal"),
        ("unprotected", "must be empty"),
        ("ciphertext", "the signed-frame and 16 bytes of authentication tag"),
    ),
    "signed-frame": (
        ("protected", "header, covered by the signature"),
        ("unprotected", "must be empty"),
        ("payload", "the message"),
        ("signature", "ECDSA r || s; it covers the server, the seal and the boot too"),
    ),
    "answer": (
        ("protected", "header, authenticated by the seal"),
        ("unprotected", "must be empty"),
        ("ciphertext", "a message for the board, which alone can open it"),
    ),
    "message": (
        ("type", "what the message is"),
        ("counter", "its number for ever"),
        ("body", ""),
    ),
    "unknown": (),
}

_LABELS: dict[Kind, dict[int, tuple[str, str]]] = {
    "sealed-frame": {
        1: ("alg", "24 is ChaCha20/Poly1305"),
        4: ("kid", "server_id: whose key it is sealed to"),
        6: ("partial IV", _NUMBERS),
        10: ("kid context", "enc: the HPKE ephemeral key of this boot"),
    },
    "signed-frame": {
        1: ("alg", "-7 is ES256"),
        4: ("kid", "device_id: who says it"),
    },
    "answer": {
        1: ("alg", "24 is ChaCha20/Poly1305"),
        4: ("kid", f"{_NUMBERS} of the frame that is answered"),
        5: ("IV", "random nonce"),
    },
    "message": {},
    "unknown": {},
}

_BODIES: dict[int, dict[int, tuple[str, str]]] = {
    Type.ENROL: {
        1: ("COSE_Key", _BIRTH_KEY),
        2: ("board", ""),
        3: ("firmware", ""),
        4: ("claim code", "allows one enrolment"),
    },
    Type.STATUS: {
        1: ("newest", "a boot above the board's own, which it was told of: it has a clone"),
        2: ("command result", "[command id, result]"),
        3: ("time", "asks for the time"),
    },
    Type.ACKNOWLEDGE: {
        0: ("newest", "highest boot that the server has seen"),
        1: ("command", "one follows"),
    },
    Type.COMMAND: {
        0: ("newest", "highest boot that the server has seen"),
        1: ("command", ""),
    },
    Type.TIME: {
        0: ("newest", "highest boot that the server has seen"),
        1: ("time", "Unix seconds"),
    },
    Type.REFUSE: {
        0: ("newest", "highest boot that the server has seen"),
        1: ("reason", ""),
    },
}


@dataclass(frozen=True, slots=True)
class Field:
    """Bytes `start` to `end` (excluded) of what is explained, and what they are."""

    start: int
    end: int
    name: str
    value: str
    meaning: str
    children: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Some bytes, what they consist of, and what a server would say to them."""

    kind: Kind
    data: bytes
    fields: tuple[Field, ...]
    layer: Layer | None
    """The layer that refuses them; None when they are fine."""
    reason: str
    """Why, as a sentence; empty when they are fine."""
    opened: Explanation | None = None
    """The plaintext of a sealed-frame that opens."""


def explain(frame: bytes, keys: Sequence[ServerKey], lookup: Lookup | None = None) -> Explanation:
    """Explain any bytes; never raises for any.

    A sealed-frame is judged as a `Verifier` with these keys and this lookup does; without a
    lookup no device is known. A signed-frame by itself is judged but for its signature, which
    covers the seal too, and an answer by its header, since only the board can open it.
    """
    kind = _kind(frame)
    layer, reason = _judge(kind, frame, keys, lookup)
    plaintext = _open(frame, keys) if kind == "sealed-frame" else None
    opened = None
    if plaintext is not None:
        inner = _kind(plaintext)
        opened = Explanation(
            inner, plaintext, _fields(inner, plaintext), *_judge(inner, plaintext, (), None)
        )
    return Explanation(kind, frame, _fields(kind, frame), layer, reason, opened)


def _kind(data: bytes) -> Kind:
    if len(data) > cose.MAX_FRAME:
        return "unknown"
    if data[:1] == b"\xd2":
        return "signed-frame"
    if data[:1] == b"\x83":
        return "message"
    if data[:1] != b"\xd0":
        return "unknown"
    # Both are COSE_Encrypt0; only an answer's header has an IV, label 5.
    parts = _walk(data, 1, len(data), 0).children
    header = _content(data, parts[0]) if parts else None
    labels = [_text(data, key) for key in header.children[::2]] if header else []
    return "answer" if "5" in labels else "sealed-frame"


def _judge(
    kind: Kind, data: bytes, keys: Sequence[ServerKey], lookup: Lookup | None
) -> tuple[Layer | None, str]:
    try:
        if kind == "answer":
            cose.Answer.decode(data)
            return None, ""
        if kind in ("signed-frame", "message"):
            payload = cose.SignedFrame.decode(data).payload if kind == "signed-frame" else data
            message = decode_message(payload)
            if kind == "message" and message.type >= Type.ACKNOWLEDGE:
                check_down(message)
                return None, ""
            checked = check_message(message, 0xFFFFFFFF)
            layer: Layer | None = "policy" if checked.refusal else None
            return layer, f"{checked.refusal}: {checked.detail}" if checked.refusal else ""
        if not keys:
            cose.SealedFrame.decode(data)
            raise FrameError("seal", "no server key was given to open it with")
        verifier = Verifier(keys, lookup or (lambda device_id: None))
        outcome = verifier.receive(data, source="inspect", now=0)
    except FrameError as error:
        return error.layer, error.reason
    except ValueError as error:
        return "policy", str(error)
    return outcome.layer, f"{outcome.refusal}: {outcome.detail}" if outcome.refusal else ""


def _open(frame: bytes, keys: Sequence[ServerKey]) -> bytes | None:
    try:
        sealed = cose.SealedFrame.decode(frame)
        key = next(key for key in keys if key.server_id == sealed.server_id)
        context = hpke.setup_receiver(sealed.enc, key.private, cose.hpke_info(key.server_id))
        return context.open(int.from_bytes(sealed.partial_iv, "big"), sealed.ciphertext, sealed.aad)
    except (ValueError, StopIteration):
        return None


@dataclass(frozen=True, slots=True)
class _Item:
    """One CBOR item, as far as it can be read; `fault` says why no further."""

    start: int
    content: int
    end: int
    major: int = _OTHER
    argument: int = 22
    children: tuple[_Item, ...] = ()
    fault: str = ""


def _walk(data: bytes, at: int, limit: int, depth: int) -> _Item:
    """Read the item at byte `at` of data[:limit], leniently: what has a length is drawn."""
    try:
        major, argument, content = cbor.head(data[:limit], at)
    except cbor.CborError as error:
        return _Item(at, limit, limit, fault=error.reason)
    end = content
    children: list[_Item] = []
    if major in (_BYTES, _TEXT):
        end += argument
    elif major == _OTHER and argument in _FLOATS:
        end += struct.calcsize(_FLOATS[argument])
    elif major in (_ARRAY, _MAP, _TAG):
        if depth == _DEEP:
            return _Item(at, limit, limit, fault="nested too deep to be drawn")
        count = 1 if major == _TAG else argument * (major - 3)
        while len(children) < count and not (children and children[-1].fault):
            children.append(_walk(data, end, limit, depth + 1))
            end = children[-1].end
    if end > limit:
        return _Item(at, limit, limit, fault="the data ends inside this item")
    fault = "incomplete" if children and children[-1].fault else ""
    return _Item(at, content, end, major, argument, tuple(children), fault)


def _content(data: bytes, item: _Item) -> _Item | None:
    """The item inside a byte string, when it is one that holds CBOR."""
    if item.major != _BYTES or item.content == item.end:
        return None
    inner = _walk(data, item.content, item.end, 0)
    return inner if inner.end == item.end and not inner.fault else None


def _fields(kind: Kind, data: bytes) -> tuple[Field, ...]:
    return tuple(_top(kind, data)) if 0 < len(data) <= cose.MAX_FRAME else ()


def _top(kind: Kind, data: bytes) -> Iterator[Field]:
    root = _walk(data, 0, len(data), 0)
    if root.major == _TAG and root.children:
        meaning = {16: "COSE_Encrypt0", 18: "COSE_Sign1"}.get(root.argument, "not used here")
        yield Field(root.start, root.content, "tag", str(root.argument), meaning)
        root = root.children[0]
    if kind == "message":
        yield from _message(data, root)
    elif root.major != _ARRAY or len(root.children) != len(_PARTS[kind]):
        yield _generic(data, root, "item", "")
    else:
        for (name, meaning), part in zip(_PARTS[kind], root.children, strict=True):
            yield _part(kind, data, part, name, meaning)
    if root.end < len(data):
        rest = data[root.end :]
        yield Field(root.end, len(data), "trailing bytes", rest.hex(), "nothing may follow")


def _part(kind: Kind, data: bytes, part: _Item, name: str, meaning: str) -> Field:
    inner = _content(data, part) if name in ("protected", "payload") else None
    if inner is None:
        return _generic(data, part, name, meaning)
    if name == "payload":
        children = tuple(_message(data, inner))
    else:
        children = _entries(data, inner, _LABELS[kind])
    return Field(part.start, part.end, name, _text(data, part), meaning, children)


def _message(data: bytes, root: _Item) -> Iterator[Field]:
    if root.major != _ARRAY or len(root.children) != 3:
        yield _generic(data, root, "item", "a message is an array of three")
        return
    kind, counter, body = root.children
    number = kind.argument if kind.major == _UINT else -1
    names = {int(known): known.name.lower() for known in Type}
    yield _generic(data, kind, "type", names.get(number, "none that is known"))
    if number == Type.COMMAND:
        meaning = "the command's id"
    else:
        meaning = f"boot {counter.argument >> 32}, sequence {counter.argument & 0xFFFFFFFF}"
    yield _generic(data, counter, "counter", meaning if counter.major == _UINT else "")
    labels = _BODIES.get(number)
    if body.major == _MAP and labels:
        children = _entries(data, body, labels)
        yield Field(body.start, body.end, "body", _text(data, body), "", children)
    else:
        yield _generic(data, body, "body", "")


def _entries(data: bytes, item: _Item, labels: dict[int, tuple[str, str]]) -> tuple[Field, ...]:
    """The entries of a map whose integer keys have names; a field is a key with its value."""
    if item.major != _MAP:
        return (_generic(data, item, "item", "should be a map"),)
    fields = []
    for key, value in zip(item.children[::2], item.children[1::2], strict=False):
        name, meaning = _text(data, key), ""
        if key.major == _UINT and key.argument in labels:
            name, meaning = labels[key.argument]
        shown = _generic(data, value, name, _complete(data, value, meaning))
        fields.append(replace(shown, start=key.start))
    return tuple(fields)


def _complete(data: bytes, value: _Item, meaning: str) -> str:
    content = data[value.content : value.end]
    if meaning.startswith(_NUMBERS) and value.major == _BYTES and len(content) == 8:
        return (
            f"{meaning}: {int.from_bytes(content[:4], 'big')}, {int.from_bytes(content[4:], 'big')}"
        )
    if meaning == _BIRTH_KEY and not value.fault:
        try:
            key = cose.from_cose_key(cbor.loads(data[value.start : value.end]))
        except cbor.CborError:
            key = None
        return f"{meaning} {cose.thumbprint(key)[:16].hex()}" if key else "not a P-256 COSE_Key"
    return meaning


def _generic(data: bytes, item: _Item, name: str, meaning: str) -> Field:
    if item.fault and not item.children:
        return Field(item.start, item.end, name, data[item.start :].hex(), item.fault)
    if item.major == _MAP:
        children = _entries(data, item, {})
    else:
        children = tuple(
            _generic(data, child, f"[{index}]", "") for index, child in enumerate(item.children)
        )
    return Field(item.start, item.end, name, _text(data, item), meaning, children)


def _text(data: bytes, item: _Item) -> str:
    """The value in the diagnostic notation of RFC 8949 section 8, containers by their size."""
    content = data[item.content : item.end]
    match item.major:
        case _ if item.fault and not item.children:
            return content.hex()
        case 0:
            return str(item.argument)
        case 1:
            return str(-1 - item.argument)
        case 2:
            return f"h'{content.hex()}'"
        case 3:
            return quoted(content.decode(errors="backslashreplace"), None)
        case 4:
            return f"array of {item.argument}"
        case 5:
            return f"map of {item.argument}"
        case 6:
            return f"tag {item.argument}"
        case _ if item.argument in _FLOATS:
            return repr(struct.unpack(_FLOATS[item.argument], content)[0])
        case _:
            return _SIMPLE[item.argument]
