"""The vectors of tests/vectors, and what the board's code must make of each of them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from birthkey_host import cbor
from device import Handle, Interpreter

FOLDER = Path(__file__).parents[1] / "vectors"
CBOR, FRAMES, ANSWERS, REPLAY = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("cbor", "frames", "answers", "replay")
)
READ = "vectors.board:read"
IDENTITY = "vectors.board:FixedIdentity"

Vector = dict[str, Any]


def accepted(vector: Vector) -> bool:
    return bool(vector["expect"] == "accept")


def refused(vector: Vector) -> bool:
    return not accepted(vector)


def field(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def untagged(notation: Any) -> Any:
    """A value out of its notation; see vectors/README.md."""
    if notation is None or isinstance(notation, bool):
        return notation
    ((kind, content),) = notation.items()
    match kind:
        case "int":
            return int(content)
        case "float":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "bytes":
            return bytes.fromhex(content)
        case "text":
            return content
        case "array":
            return [untagged(item) for item in content]
        case "map":
            return {untagged(key): untagged(item) for key, item in content}
    raise ValueError(f"no such kind: {kind}")


def same(one: Any, other: Any) -> bool:
    """Equal in type and meaning: 1, 1.0 and true differ, -0.0 is not 0.0, NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def too_precise(device: Interpreter, vector: Vector) -> bool:
    """Whether it holds a float that this board cannot hold, and has to refuse."""
    return bool(vector.get("needs_double")) and not device.get("vectors.board:DOUBLES")


def read_and_written(device: Interpreter, vector: Vector) -> None:
    """CBOR that is accepted."""
    encoding = field(vector, "encoding")
    if too_precise(device, vector):
        not_read(device, vector)
        return
    value = untagged(vector["value"])
    (read,) = device.call(READ, encoding)
    assert same(read, value)
    assert device.call("birthkey.cbor:dumps", value) == encoding


def not_read(device: Interpreter, vector: Vector) -> None:
    """CBOR that is refused."""
    assert device.call(READ, field(vector, "encoding")) is None


def frame_made(device: Interpreter, vector: Vector, boots: dict[tuple[Any, ...], Any]) -> None:
    """A frame that is accepted: the board makes it, step by step. `boots` keeps what is costly."""
    key = tuple(vector[name] for name in ("private", "boot", "fresh", "server_id"))
    if key not in boots:
        boots[key] = _boot(device, vector)
    identity, enc, context = boots[key]
    server_id = field(vector, "server_id")
    aad = device.call("birthkey.cose:uplink_aad", server_id, enc, vector["boot"])
    assert aad == field(vector, "external_aad")
    signed = identity.sign(field(vector, "message"), aad)
    assert signed == field(vector, "signed_frame")
    numbers = vector["boot"], vector["frame_number"]
    frame = device.call("birthkey.cose:sealed_frame", context, server_id, enc, *numbers, signed)
    assert frame == field(vector, "frame")


def _boot(device: Interpreter, vector: Vector) -> tuple[Handle, bytes, Handle]:
    """The identity, the enc and the context of HPKE of a boot."""
    server = next(row for row in FRAMES["servers"] if row["id"] == vector["server_id"])
    private, fresh = field(vector, "private"), field(vector, "fresh")
    identity = device.call(IDENTITY, private, vector["boot"], fresh)
    seed = identity.ephemeral_seed()
    assert seed == field(vector, "ikm")
    info = device.call("birthkey.cose:hpke_info", field(vector, "server_id"))
    setup = "birthkey.crypto.hpke:setup_sender"
    enc, context = device.call(setup, field(server, "public"), info, seed)
    assert (info, enc) == (field(vector, "info"), field(vector, "enc"))
    assert context.export(b"birthkey/1 down", 32) == field(vector, "answer_key")
    return identity, enc, context


def message_written(device: Interpreter, vector: Vector) -> None:
    if too_precise(device, vector):
        assert device.call(READ, field(vector, "message")) is None
        return
    message = device.call("birthkey.cbor:loads", field(vector, "message"))
    assert device.call("birthkey.message:encode", *message) == field(vector, "message")


def session(device: Interpreter) -> Handle:
    """A session whose last frame is the one that the answers answer."""
    frame = ANSWERS["frame"]
    identity = device.call(IDENTITY, field(frame, "private"), frame["boot"], field(frame, "fresh"))
    keys = [field(ANSWERS["server"], "public")]
    made: Handle = device.call("birthkey.session:Session", identity, keys)
    for _ in range(frame["frame_number"] + 1):
        sealed = made.seal(ANSWERS["counter"], field(frame, "message"), 0)
    assert sealed == field(frame, "frame")
    return made


def answer_refused(waiting: Handle, vector: Vector) -> None:
    """An answer that the session, which must not change by it, refuses."""
    with pytest.raises(ValueError):
        waiting.open(field(vector, "answer"), 0)


def opened(waiting: Handle, name: str) -> None:
    """The session opens the answer of that name."""
    vector = next(vector for vector in ANSWERS["vectors"] if vector["name"] == name)
    message = waiting.open(field(vector, "answer"), 0)
    assert message == cbor.loads(field(vector, "message"))


def answer_opened(device: Interpreter, vector: Vector) -> None:
    """An answer that is accepted, whatever was answered before."""
    answer = device.call("birthkey.cose:Answer", field(vector, "answer"))
    opened = answer.open(field(ANSWERS["frame"], "answer_key"), field(ANSWERS["device"], "id"))
    assert opened == field(vector, "message")
    message = device.call("birthkey.message:decode_downlink", opened)
    assert message == cbor.loads(field(vector, "message"))
