"""The committed vectors are what the generator makes, and the generator stands on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

from vectors import primitives

FOLDER = Path(__file__).parent / "vectors"
FILES = ["answers.json", "cbor.json", "frames.json", "replay.json"]
SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)
LAYERS = {"framing", "cbor", "cose", "seal", "signature", "policy", "replay"}

# Both packages are made impossible to import before the generator starts.
ALONE = """
import runpy, sys
sys.modules.update(birthkey=None, birthkey_host=None)
sys.argv = [{program!r}, {folder!r}]
runpy.run_path({program!r}, run_name="__main__")
"""


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return content


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    script = ALONE.format(program=str(FOLDER / "generate.py"), folder=str(folder))
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    return folder


def test_every_file_is_there(generated: Path) -> None:
    assert sorted(path.name for path in generated.iterdir()) == FILES
    assert sorted(path.name for path in FOLDER.glob("*.json")) == FILES


@pytest.mark.parametrize("name", FILES)
def test_committed_file_is_the_generated_one(generated: Path, name: str) -> None:
    assert (FOLDER / name).read_bytes() == (generated / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_vectors_have_one_name_and_one_expectation(name: str) -> None:
    vectors = load(name)["vectors"]
    names = [vector["name"] for vector in vectors]
    assert len(set(names)) == len(names)
    for step in [step for vector in vectors for step in vector.get("steps", [vector])]:
        assert step["expect"] in LAYERS | {"accept"}
        assert "reason" not in step or step["expect"] in ("policy", "replay")


def test_every_layer_refuses_something() -> None:
    named = {
        step["expect"]
        for name in FILES
        for vector in load(name)["vectors"]
        for step in vector.get("steps", [vector])
    }
    assert named == LAYERS | {"accept"}


def accepted_frames() -> list[Any]:
    vectors = load("frames.json")["vectors"]
    return [
        pytest.param(vector, id=vector["name"])
        for vector in vectors
        if vector["expect"] == "accept"
    ]


@pytest.mark.parametrize("vector", accepted_frames())
def test_the_generators_hpke_is_pyhpkes(vector: dict[str, Any]) -> None:
    server = next(row for row in load("frames.json")["servers"] if row["id"] == vector["server_id"])
    key = ec.derive_private_key(int(server["private"], 16), ec.SECP256R1())
    ephemeral = SUITE.kem.derive_key_pair(bytes.fromhex(vector["ikm"]))
    assert ephemeral.public_key.to_public_bytes().hex() == vector["enc"]

    info = bytes.fromhex(vector["info"])
    enc, sender = SUITE.create_sender_context(
        KEMKey.from_pyca_cryptography_key(key.public_key()), info=info, eks=ephemeral
    )
    assert enc.hex() == vector["enc"]
    assert sender.export(b"birthkey/1 down", 32).hex() == vector["answer_key"]
    receiver = SUITE.create_recipient_context(
        enc, KEMKey.from_pyca_cryptography_key(key), info=info
    )
    assert receiver.export(b"birthkey/1 down", 32).hex() == vector["answer_key"]


def test_the_generators_seal_is_pyhpkes() -> None:
    # pyhpke counts from 0 and cannot be told a number, so the key is checked with one that
    # the protocol never uses: partial-iv 0.
    receiver = primitives.fixed_key("receiver")
    ephemeral = primitives.derive_key_pair(bytes(32))
    ours = primitives.setup_sender(receiver, b"info", ephemeral)
    theirs = SUITE.create_recipient_context(
        ours.enc, KEMKey.from_pyca_cryptography_key(receiver.secret), info=b"info"
    )
    assert theirs.open(ours.seal(0, b"first", b"aad"), b"aad") == b"first"
    assert theirs.open(ours.seal(1, b"second", b"aad"), b"aad") == b"second"
