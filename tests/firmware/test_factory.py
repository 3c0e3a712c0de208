"""The proof that a board gives at the bench, against the server's own verifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from birthkey_host.errors import FrameError
from birthkey_host.keys import ServerKey
from birthkey_host.message import Enrol
from birthkey_host.verifier import Verifier
from device import DeviceError, Interpreter


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def board(device: Interpreter, state: str):
    return device.call("factory_board:Board", state)


def prove(device: Interpreter, board, key: ServerKey) -> tuple[bool, bytes]:
    return device.call("birthkey.factory:enrol", board, key.public)


def verified(key: ServerKey, frame: bytes):
    return Verifier([key], lambda device_id: None).receive(frame, source="test", now=0.0)


def test_proof_is_an_enrol_that_the_key_signed(device: Interpreter, board) -> None:
    key = ServerKey.generate()
    born, frame = prove(device, board, key)
    outcome = verified(key, frame)
    assert born
    assert outcome.enrol == Enrol(
        outcome.public_key, "bench", device.get("birthkey:__version__"), None
    )
    assert (outcome.boot, outcome.message.counter) == (1, 1 << 32)
    assert device.get(f"#{board._number}:mounted") == 1


def test_key_is_made_once_and_every_proof_takes_a_boot(device: Interpreter, board) -> None:
    key = ServerKey.generate()
    first, second = (prove(device, board, key) for _ in range(2))
    outcomes = [verified(key, frame) for _, frame in (first, second)]
    assert (first[0], second[0]) == (True, False)
    assert outcomes[0].device_id == outcomes[1].device_id
    assert [outcome.boot for outcome in outcomes] == [1, 2]
    assert outcomes[0].enc != outcomes[1].enc


def test_application_goes_on_as_the_same_device(device: Interpreter, board, state: str) -> None:
    key = ServerKey.generate()
    _, frame = prove(device, board, key)
    store = device.call("birthkey.keystore:Keystore", state)
    identity = device.call(
        "birthkey.identity:Identity", store, device.get("birthkey.crypto.entropy:SOURCES")
    )
    assert device.get(f"#{identity._number}:device_id") == verified(key, frame).device_id
    assert device.get(f"#{identity._number}:boot") == 2


def test_proof_is_of_no_use_to_another_server(device: Interpreter, board) -> None:
    _, frame = prove(device, board, ServerKey.generate())
    with pytest.raises(FrameError, match="seal"):
        verified(ServerKey.generate(), frame)


def test_no_key_out_of_bad_noise(device: Interpreter, state: str) -> None:
    board = device.call("factory_board:stuck", state)
    with pytest.raises(DeviceError, match="it is stuck") as caught:
        prove(device, board, ServerKey.generate())
    assert caught.value.name == "EntropyError"
    assert not (Path(state) / "key").exists()
