"""A leaked database: every byte of it is public, and opens, forges and enrols nothing."""

from __future__ import annotations

import base64
import itertools
import sqlite3
import time
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from attacks.stage import Board, Stage
from birthkey_host import cose
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice

attack = pytest.mark.attack


class Leak:
    """What was in the database's files while the server ran, and every value in its tables."""

    def __init__(self, stage: Stage) -> None:
        database = stage.server.database
        files = sorted(database.parent.glob(database.name + "*"))
        assert [file.name.removeprefix(database.name) for file in files] == ["", "-shm", "-wal"]
        self.data = b"".join(file.read_bytes() for file in files)
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = [name for (name,) in tables]
            rows = [row for name in names for row in connection.execute(f'SELECT * FROM "{name}"')]
        connection.close()
        self.values = {value for row in rows for value in row if isinstance(value, bytes)}

    def holds(self, secret: bytes) -> bool:
        """Whether the secret is in there in any of the forms in which people store such things."""
        number = int.from_bytes(secret, "big")
        forms = [
            secret,
            secret[::-1],
            secret.hex().encode(),
            secret.hex().upper().encode(),
            base64.b64encode(secret)[:-4],
            base64.urlsafe_b64encode(secret)[:-4],
            str(number).encode(),
        ]
        return any(form in self.data for form in forms)


def scalar(key: ServerKey) -> bytes:
    return key.private.private_numbers().private_value.to_bytes(32, "big")


@pytest.fixture
def traffic(stage: Stage) -> Board:
    """A board that has sent some, in two boots, and some of it twice; and a clone of another."""
    board = stage.board()
    for _ in range(3):
        board.deliver()
    board.withhold()
    stage.send(*board.line.frames)
    assert board.device.deliver()
    robbed = stage.owner()
    twin = ReferenceDevice(robbed.private, robbed.server_public, boot=1)
    stage.send(twin.frame(twin.message(Type.DATA, {})))
    assert [refusal.reason for refusal in stage.log.take()] == ["cloned"]
    return board


@attack("looking for private keys in a leaked database", layer="-", result="none")
def test_private_keys(stage: Stage, traffic: Board) -> None:
    leak = Leak(stage)
    assert leak.holds(traffic.thief(1).public)  # so the search does find what is there
    for private in (scalar(stage.server.key), traffic.thief(1).private):
        assert not leak.holds(private)
    der = stage.server.key.private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert not leak.holds(der)
    assert b"PRIVATE KEY" not in leak.data


@attack(
    "looking for the secrets of a boot's HPKE context in a leaked database",
    layer="-",
    result="none",
)
def test_hpke_secrets(stage: Stage, traffic: Board) -> None:
    leak = Leak(stage)
    [peer] = traffic.device._conversation._session._peers
    context = peer.context
    assert leak.holds(peer.enc)
    for secret in (
        context._key,
        context._base_nonce,
        context._exporter_secret,
        peer.down_key,
        traffic.device._conversation._session._seed,
    ):
        assert len(secret) in (12, 32)
        assert not leak.holds(secret)


def windows(leak: Leak) -> Iterator[bytes]:
    """Every run of 32 bytes."""
    for at in range(len(leak.data) - 31):
        yield leak.data[at : at + 32]


@attack("opening a recorded frame or answer with anything in a leaked database", layer="seal")
def test_opens_nothing(stage: Stage, traffic: Board) -> None:
    leak = Leak(stage)
    frame = cose.SealedFrame.decode(traffic.line.frames[-1])
    answer = cose.Answer.decode(traffic.line.answers[-1])
    aad = answer.aad(traffic.device_id)
    nonces = {bytes(12), b"\0\0\0\0" + frame.partial_iv}
    tried = 0
    for key in set(windows(leak)):
        cipher = ChaCha20Poly1305(key)
        for nonce, ciphertext, data in (
            (answer.iv, answer.ciphertext, aad),
            *((nonce, frame.ciphertext, frame.aad) for nonce in nonces),
        ):
            tried += 1
            with pytest.raises(InvalidTag):
                cipher.decrypt(nonce, ciphertext, data)
    assert tried > 10_000


@attack("sending what a leaked database holds: signed frames, alone", layer="cose")
def test_stored_frames_unsealed(stage: Stage, traffic: Board, layer: str) -> None:
    stored = [row.signed_frame for row in stage.server.registry.messages(traffic.device_id)]
    assert len(stored) == 6
    assert stage.send(*stored) == []
    assert stage.layers() == [layer] * 6
    traffic.works()


@attack("sealing the signed frames of a leaked database anew", layer="signature")
@pytest.mark.parametrize("boot", [1, 2])
def test_stored_frames_sealed_anew(stage: Stage, traffic: Board, boot: int, layer: str) -> None:
    rows = stage.server.registry.messages(traffic.device_id)
    forger = stage.stranger(boot=boot)
    frames = [forger.seal(row.signed_frame) for row in rows]
    # A header may claim the stored `enc`; without its private key the seal does not open.
    forger.enc = rows[0].enc
    claimed = [forger.seal(row.signed_frame) for row in rows]
    assert stage.send(*frames, *claimed) == []
    assert stage.layers() == [layer] * len(frames) + ["seal"] * len(claimed)
    traffic.works()


@attack("a frame made of a stored signature and another message", layer="signature")
def test_stored_signatures(stage: Stage, traffic: Board, layer: str) -> None:
    rows = stage.server.registry.messages(traffic.device_id)
    forger = stage.stranger()
    forger.kid = traffic.device_id
    for one, other in itertools.permutations(rows[:3], 2):
        signature = cose.SignedFrame.decode(one.signed_frame).signature
        forged = cose.SignedFrame(traffic.device_id, other.message, signature)
        assert stage.send(forger.seal(forged.encode())) == []
    new = Message(Type.DATA, 1 << 32 | 50, {"t": 99.9}).encode()
    assert stage.send(forger.seal(cose.SignedFrame(forger.kid, new, signature).encode())) == []
    assert stage.layers() == [layer] * 7
    traffic.works()


@attack(
    "enrolling with a claim code out of a leaked database",
    layer="policy",
    result="`pending`: those in it are spent",
)
def test_claim_codes(stage: Stage, layer: str) -> None:
    stage.server = stage.listen("claims.sqlite3", "claim")
    registry = stage.server.registry
    spent, unspent, expired = (
        registry.issue_claims(1, who="op", now=time.time(), expires=end)[0]
        for end in (None, None, 0.0)
    )
    let_in, *refused = (stage.stranger() for _ in range(4))
    for sender, code in zip((let_in, *refused), (spent, spent, expired, bytes(16)), strict=True):
        stage.send(sender.frame(sender.enrol("x", "1.0", code)))
    assert [device.device_id for device in registry.devices()] == [let_in.device_id]
    leak = Leak(stage)
    for code in (unspent, expired):
        assert not leak.holds(code)
    # Whatever 16 bytes a thief takes out of the tables: none is a code.
    stage.log.take()
    guesses = {value[at : at + 16] for value in leak.values for at in range(len(value) - 15)}
    assert spent in guesses
    for guess in [spent, *sorted(guesses)[::50]]:
        thief = stage.stranger()
        stage.send(thief.frame(thief.enrol("x", "1.0", guess)))
    assert set(stage.layers()) == {layer}
    assert [device.device_id for device in registry.devices()] == [let_in.device_id]
