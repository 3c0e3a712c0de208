"""The whole board: MicroPython, littlefs in a file, and an AT modem that somebody else owns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from attacks.proofs import CLONED, cloned_by
from attacks.stage import Stage
from attacks.wire import HOST, framed, unframed
from birthkey_host.registry import State
from birthkey_host.schema import Proof
from birthkey_host.simulator import Simulator, running
from boards.emulated.unix_port import UnixPort

attack = pytest.mark.attack


class Bench:
    """Boards with a modem each, at the server of the stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.modems: dict[UnixPort, Simulator] = {}

    def board(self, name: str, flash: Path | None = None) -> UnixPort:
        modem = self.stage.stack.enter_context(running(Simulator(ssid="x", password="y")))
        board = UnixPort(
            self.stage.folder / name,
            modem.port,
            server=f"{HOST}:{self.stage.server.port}",
            server_key=self.stage.server.key.public.hex(),
            modem={"dialect": "esp_at", "ssid": "x", "password": "y"},
            interval_s=0,
        )
        self.stage.stack.callback(board.kill)
        self.modems[board] = modem
        if flash:
            shutil.copy(flash, board.flash)
        return board

    def run(self, board: UnixPort, count: int = 1) -> bytes:
        """Switch it on until so many readings are stored, or it is locked out; its id."""
        board.start(count=count)
        device_id = board.says(r"^device (\w+), boot")[1]
        board.says("^all readings stored$|^stopped: .* cloned: ", 40)
        board.kill()
        return bytes.fromhex(device_id)

    def skip(self, board: UnixPort) -> None:
        """Switch it on and off, so that it has taken a boot number and was not heard."""
        self.modems[board].refuse_network = True
        board.start()
        board.says(r"^device")
        board.kill()
        self.modems[board].refuse_network = False


@pytest.fixture
def bench(stage: Stage) -> Bench:
    return Bench(stage)


def flipped(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@attack("a modem that changes and doubles every frame", layer="cbor, cose, seal")
def test_uplink(bench: Bench, layers: set[str]) -> None:
    board = bench.board("board")

    def spoil(payload: bytes) -> bytes:
        [frame] = unframed(payload)
        spoilt = [flipped(frame, at) for at in (0, 1, 40, 110, len(frame) - 1)]
        return b"".join(map(framed, [*spoilt[:3], frame, *spoilt[3:], frame]))

    bench.modems[board].on_uplink = spoil
    device_id = bench.run(board, count=3)
    assert set(bench.stage.layers()) == layers
    assert len(bench.stage.readings(device_id)) == 3
    bench.modems[board].on_uplink = None
    bench.run(board)
    assert len(bench.stage.readings(device_id)) == 4
    assert bench.stage.state(device_id) is State.ACTIVE


@attack("a modem that changes answers, makes some up, and repeats old ones", layer="board")
def test_downlink(bench: Bench) -> None:
    board = bench.board("board")
    recorded: list[bytes] = []

    def spoil(payload: bytes) -> bytes:
        spoilt = []
        for answer in unframed(payload):
            spoilt += [flipped(answer, at) for at in range(0, len(answer), 17)]
            spoilt += [*recorded[-3:], os.urandom(90), b"\xd0", answer]
            recorded.append(answer)
        return b"".join(map(framed, spoilt))

    bench.modems[board].on_downlink = spoil
    device_id = bench.run(board, count=3)
    assert bench.stage.layers() == []
    assert "lost" not in board.said
    assert len(bench.stage.readings(device_id)) == 3
    assert len(bench.stage.messages(device_id)) == len(recorded) == 4
    bench.run(board)  # with answers of the earlier boot among those it gets
    assert len(bench.stage.readings(device_id)) == 4


@pytest.mark.parametrize(
    ("ahead", "proof"),
    [
        pytest.param(
            ahead,
            proof,
            marks=attack(
                f"copy of a board's littlefs, {where}; copy speaks first",
                layer="replay",
                result=f"{CLONED[proof]}, at the board's first message",
            ),
            id=where,
        )
        for ahead, proof, where in (
            (0, Proof.COUNTER, "in the same boot"),
            (2, Proof.STATUS, "2 boots ahead"),
        )
    ],
)
def test_copied_flash(bench: Bench, ahead: int, proof: Proof) -> None:
    board = bench.board("board")
    device_id = bench.run(board)
    thief = bench.board("copy", board.flash)
    for _ in range(ahead):
        bench.skip(thief)
    assert bench.run(thief) == device_id
    assert "reading 1 stored" in thief.said
    assert bench.run(board) == device_id
    assert "cloned: two boards were heard with this key" in board.said
    cloned_by(bench.stage, device_id, proof)
    bench.run(thief)
    assert "cloned: two boards were heard with this key" in thief.said
    assert {refusal.layer for refusal in bench.stage.log.take()} == {"replay"}
    assert len(bench.stage.readings(device_id)) == 2
