"""The attacks of the demonstration, each made for real on the wire."""

from __future__ import annotations

import os
import shutil

from stage import Stage, StepFailed, done, expect, say, step

from birthkey_host.keys import ServerKey
from birthkey_host.message import Enrol, Type
from birthkey_host.reference_device import ReferenceDevice


def changed_on_the_uart(stage: Stage) -> bytes:
    """Gives the frame that the board sent in its stead."""
    step("An attacker changes one byte of a frame on the UART")
    before = stage.server.readings()
    frames: list[bytes] = []

    def change_first(payload: bytes) -> bytes:
        frames.append(payload[2:])
        if len(frames) > 1:
            return payload
        return payload[:-20] + bytes([payload[-20] ^ 1]) + payload[-19:]

    stage.modem.on_uplink = change_first
    stage.server.refusals()
    stage.board.start(count=1)
    refused = stage.refused()
    expect("refusing layer", [layer for layer, _ in refused], ["seal"])
    done(f"refused by layer {refused[0][0]}: {refused[0][1]}")
    stage.board.says("^all readings stored$", 30)
    stage.modem.on_uplink = None
    expect("frames sent", len(frames), 2)
    expect("readings stored", stage.server.readings(), before + 1)
    done("nothing is lost: the board sealed its reading anew, and it was stored")
    return frames[1]


def cut_short(stage: Stage, frame: bytes) -> None:
    step("A frame is cut short on the way")
    _refused(stage, frame[:-1], "cbor")


def signed_by_another(stage: Stage, device_id: str) -> None:
    step("A second board signs a reading under the first one's id")
    forger = _board(stage)
    forger.kid = bytes.fromhex(device_id)
    _refused(stage, forger.frame(forger.message(Type.DATA, {"t": 99.9})), "signature")


def enrolled_by_another(stage: Stage, device_id: str) -> None:
    step("A second board enrols with the first one's public key")
    public_key = stage.server.device(device_id).public_key
    thief = _board(stage)
    thief.kid = bytes.fromhex(device_id)
    body = Enrol(public_key, "unix", "0.1.0", None).body()
    _refused(stage, thief.frame(thief.message(Type.ENROL, body)), "signature")


def sealed_for_another_server(stage: Stage) -> None:
    step("A frame that is sealed for another server")
    lost = ReferenceDevice(os.urandom(32), ServerKey.generate().public)
    _refused(stage, lost.frame(lost.message(Type.DATA, {"t": 99.9})), "seal")


def replayed(stage: Stage, frame: bytes) -> None:
    step("A recorded frame is sent again, from another connection")
    before = stage.server.readings()
    if stage.server.send(frame) is None:
        raise StepFailed("replay: no answer")
    expect("readings stored", stage.server.readings(), before)
    done("stored once: the server answered again, under a seal that only the board can open")


def fake_server(stage: Stage) -> None:
    step("A fake server takes the board's connections")
    fake = stage.new_server("fake-server")
    before = stage.server.readings()
    stage.board.start(count=1, server=fake.address)
    stage.board.says("is the server's key the right one", 40)
    [(layer, reason), *_] = fake.refusals()
    expect("refusing layer", layer, "seal")
    done(f"it cannot read what it gets: {reason}")
    done("the board believes no answer of it, and keeps its reading")
    expect("readings stored", stage.server.readings(), before)
    stage.board.kill()
    stage.board.configuration["server"] = stage.server.address


def cloned(stage: Stage, device_id: str) -> None:
    step("A thief copies the flash, and runs the copy beside the board")
    clone = stage.new_board("clone")
    shutil.copy(stage.board.flash, clone.flash)
    clone.start(count=1)
    clone.says("^all readings stored$")
    clone.kill()  # there is one modem for all
    say("the copy alone is believed: it has the key")
    stage.server.refusals()
    stage.board.start(count=1)
    stage.board.says("cloned: two boards were heard with this key", 30)
    refused = stage.server.refusals()
    expect("refusing layer", {layer for layer, _ in refused}, {"replay"})
    done(f"refused by layer {refused[0][0]}, once both were heard; both are locked out")
    stage.board.kill()
    for line in stage.server.command("show", device_id).splitlines():
        if "cloned" in line or "proof" in line:
            say(line[:150])


def replaced(stage: Stage, device_id: str) -> None:
    step("The genuine board gets a new birth key, and the operator links it to the old one")
    board = stage.new_board("replaced-board")
    board.start(count=1)
    born = board.says(r"^device (\w+), boot 1, new key$")[1]
    board.says("pending", 30)
    say(stage.server.command("approve", born, "--replaces", device_id).strip())
    board.says("^all readings stored$", 30)
    board.kill()
    done("its readings are stored again")


def _board(stage: Stage) -> ReferenceDevice:
    return ReferenceDevice.generate(bytes.fromhex(stage.server.public_key))


def _refused(stage: Stage, frame: bytes, layer: str) -> None:
    before = stage.server.readings()
    stage.server.refusals()
    expect("answer", stage.server.send(frame), None)
    refused = stage.refused()
    expect("refusing layer", [found for found, _ in refused], [layer])
    done(f"refused by layer {layer}: {refused[0][1]}")
    expect("readings stored", stage.server.readings(), before)
