"""The vectors of tests/vectors, run against the host's code and against the board's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import board_vectors
from birthkey_host import cbor, enrolment, signatures
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.verifier import FrameError, KnownDevice, Lookup, Verifier
from board_vectors import (
    ANSWERS,
    CBOR,
    FRAMES,
    REPLAY,
    Vector,
    accepted,
    field,
    refused,
    same,
    untagged,
)
from device import Handle, Interpreter


def cases(content: Vector, chosen: Callable[[Vector], bool] = lambda _: True) -> list[Any]:
    vectors = [vector for vector in content["vectors"] if chosen(vector)]
    assert vectors
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


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
    board_vectors.read_and_written(device, vector)


@pytest.mark.parametrize("vector", cases(CBOR, refused))
def test_board_refuses_cbor(device: Interpreter, vector: Vector) -> None:
    board_vectors.not_read(device, vector)


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
    board_vectors.frame_made(device, vector, {})


@pytest.mark.parametrize("vector", cases(FRAMES, accepted))
def test_board_writes_the_same_message(device: Interpreter, vector: Vector) -> None:
    board_vectors.message_written(device, vector)


# Answers.


@pytest.fixture(scope="module")
def waiting(device: Interpreter) -> Iterator[Handle]:
    """One session for all refusals: each must leave it as it was."""
    shared = board_vectors.session(device)
    yield shared
    board_vectors.opened(shared, ANSWERS["vectors"][0]["name"])


@pytest.mark.parametrize("vector", cases(ANSWERS, refused))
def test_board_refuses_an_answer(waiting: Handle, vector: Vector) -> None:
    board_vectors.answer_refused(waiting, vector)


@pytest.mark.parametrize("vector", cases(ANSWERS, accepted))
def test_board_opens_an_answer(device: Interpreter, vector: Vector) -> None:
    board_vectors.answer_opened(device, vector)


def test_session_opens_an_acknowledgement_and_then_a_command(device: Interpreter) -> None:
    waiting = board_vectors.session(device)
    board_vectors.opened(waiting, "acknowledge")
    board_vectors.opened(waiting, "command")


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
