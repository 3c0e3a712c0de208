"""The vectors of tests/vectors, run against the host's code and against the board's."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from birthkey_host import cbor, enrolment, signatures
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.verifier import FrameError, KnownDevice, Lookup, Verifier
from device import Handle, Interpreter

FOLDER = Path(__file__).parent / "vectors"
CBOR, FRAMES, ANSWERS, REPLAY = (
    json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("cbor", "frames", "answers", "replay")
)
BOARD = "vectors.board:FixedIdentity"

Vector = dict[str, Any]


def cases(content: Vector, chosen: Callable[[Vector], bool] = lambda _: True) -> list[Any]:
    vectors = [vector for vector in content["vectors"] if chosen(vector)]
    assert vectors
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def accepted(vector: Vector) -> bool:
    return vector["expect"] == "accept"


def refused(vector: Vector) -> bool:
    return vector["expect"] != "accept"


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


# CBOR, both implementations.


@pytest.mark.parametrize("vector", cases(CBOR, accepted))
def test_host_reads_and_writes_cbor(vector: Vector) -> None:
    value = untagged(vector["value"])
    assert same(cbor.loads(field(vector, "encoding")), value)
    assert cbor.dumps(value) == field(vector, "encoding")


@pytest.mark.parametrize("vector", cases(CBOR, refused))
def test_host_refuses_cbor(vector: Vector) -> None:
    with pytest.raises(ValueError):
        cbor.loads(field(vector, "encoding"))


@pytest.mark.parametrize("vector", cases(CBOR, accepted))
def test_board_reads_and_writes_cbor(device: Interpreter, vector: Vector) -> None:
    value = untagged(vector["value"])
    (read,) = device.call("vectors.board:read", field(vector, "encoding"))
    assert same(read, value)
    assert device.call("birthkey.cbor:dumps", value) == field(vector, "encoding")


@pytest.mark.parametrize("vector", cases(CBOR, refused))
def test_board_refuses_cbor(device: Interpreter, vector: Vector) -> None:
    assert device.call("vectors.board:read", field(vector, "encoding")) is None


# Frames, at the server.


def server_keys() -> list[ServerKey]:
    return [
        ServerKey(ec.derive_private_key(int(server["private"], 16), ec.SECP256R1()))
        for server in FRAMES["servers"]
    ]


def known_devices() -> Lookup:
    known = [
        KnownDevice(field(row, "id"), field(row, "thumbprint"), field(row, "public"))
        for row in FRAMES["known_devices"]
    ]
    return {device.device_id: device for device in known}.get


def judge(verifier: Verifier, vector: Vector) -> dict[str, str]:
    """What the verifier says, in the words of a vector."""
    try:
        outcome = verifier.receive(field(vector, "frame"), source="vectors", now=0.0)
    except FrameError as error:
        return {"expect": error.layer}
    if outcome.refusal is not None:
        return {"expect": outcome.layer or "", "reason": outcome.refusal}
    for name in ("message", "signed_frame", "server_id", "enc"):
        got = outcome.message_bytes if name == "message" else getattr(outcome, name)
        assert got == field(vector, name), name
    assert (outcome.boot, outcome.frame_number) == (vector["boot"], vector["frame_number"])
    return {"expect": "accept"}


def expectation(vector: Vector) -> dict[str, str]:
    return {name: vector[name] for name in ("expect", "reason") if name in vector}


@pytest.mark.parametrize("backend", signatures.BACKENDS)
@pytest.mark.parametrize("vector", cases(FRAMES))
def test_verifier_judges_a_frame(vector: Vector, backend: str) -> None:
    verifier = Verifier(server_keys(), known_devices(), backend=backend)
    assert judge(verifier, vector) == expectation(vector)


@pytest.mark.parametrize("turn", [1, -1], ids=["forwards", "backwards"])
def test_earlier_frames_change_no_judgement(turn: int) -> None:
    # Almost all vectors share one (enc, partial-iv), so what the verifier remembers of one
    # is put to the test by all the others.
    verifier = Verifier(server_keys(), known_devices())
    for vector in 2 * FRAMES["vectors"][::turn]:
        assert judge(verifier, vector) == expectation(vector), vector["name"]


@pytest.mark.parametrize("vector", cases(FRAMES, accepted))
def test_reference_device_makes_the_same_frame(vector: Vector) -> None:
    server = next(row for row in FRAMES["servers"] if row["id"] == vector["server_id"])
    board = ReferenceDevice(
        field(vector, "private"),
        field(server, "public"),
        boot=vector["boot"],
        random=lambda _: field(vector, "fresh"),
    )
    board.frame_number = vector["frame_number"]
    signed = board.sign(field(vector, "message"))
    assert signed == field(vector, "signed_frame")
    assert board.seal(signed) == field(vector, "frame")


@pytest.mark.parametrize("vector", cases(REPLAY))
def test_registry_judges_a_row_of_frames(tmp_path: Path, vector: Vector) -> None:
    with Registry(f"sqlite:///{tmp_path / 'registry.sqlite3'}") as registry:
        registry.create()
        verifier = Verifier(server_keys(), registry.lookup)
        for number, step in enumerate(vector["steps"]):
            outcome = verifier.receive(field(step, "frame"), source="vectors", now=float(number))
            verdict = registry.record(outcome, policy=enrolment.Open(), now=float(number))
            got: dict[str, Any] = {"expect": "accept", "stored": verdict.stored}
            if verdict.reason is not None:
                got = {"expect": verdict.layer, "reason": verdict.reason}
            expected = {name: step[name] for name in step if name != "frame"}
            assert got == expected, f"step {number}"


# Frames, at the board.


@pytest.mark.parametrize("vector", cases(FRAMES, accepted))
def test_board_makes_the_same_frame(device: Interpreter, vector: Vector) -> None:
    server = next(row for row in FRAMES["servers"] if row["id"] == vector["server_id"])
    identity = device.call(BOARD, field(vector, "private"), vector["boot"], field(vector, "fresh"))
    seed = identity.ephemeral_seed()
    assert seed == field(vector, "ikm")

    info = device.call("birthkey.cose:hpke_info", field(vector, "server_id"))
    enc, context = device.call(
        "birthkey.crypto.hpke:setup_sender", field(server, "public"), info, seed
    )
    assert (info, enc) == (field(vector, "info"), field(vector, "enc"))
    assert context.export(b"birthkey/1 down", 32) == field(vector, "answer_key")

    aad = device.call("birthkey.cose:uplink_aad", field(vector, "server_id"), enc, vector["boot"])
    assert aad == field(vector, "external_aad")
    signed = identity.sign(field(vector, "message"), aad)
    assert signed == field(vector, "signed_frame")
    frame = device.call(
        "birthkey.cose:sealed_frame",
        context,
        field(vector, "server_id"),
        enc,
        vector["boot"],
        vector["frame_number"],
        signed,
    )
    assert frame == field(vector, "frame")


@pytest.mark.parametrize("vector", cases(FRAMES, accepted))
def test_board_writes_the_same_message(device: Interpreter, vector: Vector) -> None:
    message = device.call("birthkey.cbor:loads", field(vector, "message"))
    assert device.call("birthkey.message:encode", *message) == field(vector, "message")


# Answers.


def session(device: Interpreter) -> Handle:
    """A session whose last frame is the one that the answers answer."""
    frame = ANSWERS["frame"]
    identity = device.call(BOARD, field(frame, "private"), frame["boot"], field(frame, "fresh"))
    keys = [field(ANSWERS["server"], "public")]
    made: Handle = device.call("birthkey.session:Session", identity, keys)
    for _ in range(frame["frame_number"] + 1):
        sealed = made.seal(ANSWERS["counter"], field(frame, "message"), 0)
    assert sealed == field(frame, "frame")
    return made


@pytest.fixture(scope="module")
def waiting(device: Interpreter) -> Iterator[Handle]:
    """One session for all refusals: each must leave it as it was."""
    shared = session(device)
    yield shared
    good = ANSWERS["vectors"][0]
    opened = shared.open(field(good, "answer"), 0)
    assert opened == device.call("birthkey.cbor:loads", field(good, "message"))


@pytest.mark.parametrize("vector", cases(ANSWERS, refused))
def test_board_refuses_an_answer(waiting: Handle, vector: Vector) -> None:
    with pytest.raises(ValueError):
        waiting.open(field(vector, "answer"), 0)


@pytest.mark.parametrize("vector", cases(ANSWERS, accepted))
def test_board_opens_an_answer(device: Interpreter, vector: Vector) -> None:
    answer = device.call("birthkey.cose:Answer", field(vector, "answer"))
    opened = answer.open(field(ANSWERS["frame"], "answer_key"), field(ANSWERS["device"], "id"))
    assert opened == field(vector, "message")
    message = device.call("birthkey.message:decode_downlink", opened)
    assert message == cbor.loads(field(vector, "message"))


def test_session_opens_an_acknowledgement_and_then_a_command(device: Interpreter) -> None:
    board = session(device)
    vectors = {vector["name"]: vector for vector in ANSWERS["vectors"]}
    for name in ("acknowledge", "command"):
        message = board.open(field(vectors[name], "answer"), 0)
        assert message == cbor.loads(field(vectors[name], "message"))


def reference_device() -> ReferenceDevice:
    frame = ANSWERS["frame"]
    board = ReferenceDevice(
        field(frame, "private"),
        field(ANSWERS["server"], "public"),
        boot=frame["boot"],
        random=lambda _: field(frame, "fresh"),
    )
    board.frame_number = frame["frame_number"] + 1
    return board


@pytest.mark.parametrize("vector", cases(ANSWERS, accepted))
def test_reference_device_opens_an_answer(vector: Vector) -> None:
    message = reference_device().open(field(vector, "answer"))
    assert message.encode() == field(vector, "message")


# What an authentic message may say is the board's business; the reference device reads it all.
@pytest.mark.parametrize(
    "vector", cases(ANSWERS, lambda v: v["expect"] not in ("accept", "policy"))
)
def test_reference_device_refuses_an_answer(vector: Vector) -> None:
    with pytest.raises(FrameError) as caught:
        reference_device().open(field(vector, "answer"))
    assert caught.value.layer == vector["expect"]
