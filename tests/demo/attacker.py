"""The attacks of the demonstration, each made for real on the wire."""

from __future__ import annotations

import contextlib
import os
import shutil

from stage import Stage, StepFailed, done, expect, say, step

from birthkey_host.keys import ServerKey
from birthkey_host.message import Enrol, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.simulator import Direction

# Types of records, RFC 5246 section 6.2.1: the first byte of each.
TLS_HANDSHAKE, TLS_DATA = 22, 23


def changed_on_the_uart(stage: Stage) -> list[bytes]:
    """Gives what the board sent in its stead: a frame, or all of a connection through TLS."""
    step("An attacker changes one byte of a frame on the UART")
    before = stage.server.readings()
    sent: list[bytes] = []
    frames = 0

    def change_first(payload: bytes) -> bytes:
        nonlocal frames
        if payload[0] == TLS_HANDSHAKE and len(sent) and sent[-1][0] == TLS_DATA:
            sent.clear()  # of a new connection, only
        sent.append(payload)
        frames += payload[0] != TLS_HANDSHAKE
        if frames > 1 or payload[0] == TLS_HANDSHAKE:
            return payload
        return payload[:-20] + bytes([payload[-20] ^ 1]) + payload[-19:]

    stage.modem.on_uplink = change_first
    stage.server.refusals()
    stage.board.start(count=1)
    if stage.tls:
        done(f"TLS ends it: {stage.server.logged('changed on its way')}")
    else:
        refused = stage.refused()
        expect("refusing layer", [layer for layer, _ in refused], ["seal"])
        done(f"refused by layer {refused[0][0]}: {refused[0][1]}")
    stage.board.says("^all readings stored$", 30)
    stage.modem.on_uplink = None
    expect("frames sent", frames, 2)
    expect("readings stored", stage.server.readings(), before + 1)
    done("nothing is lost: the board sealed its reading anew, and it was stored")
    return sent


def cut_short(stage: Stage) -> None:
    step("A frame is cut short on the way")
    board = _board(stage)
    _refused(stage, board.frame(board.message(Type.DATA, {"t": 99.9}))[:-1], "cbor")


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


def replayed(stage: Stage, sent: list[bytes]) -> None:
    """All that can be recorded on the UART: `sent`."""
    before = stage.server.readings()
    if stage.tls:
        step("A recorded connection is sent again, byte by byte")
        with stage.server.connect() as connection, contextlib.suppress(OSError):
            for payload in sent:
                connection.sendall(payload)
                connection.recv(4096)
        done(f"TLS ends it: {stage.server.logged('changed on its way|makes no sense')}")
    else:
        step("A recorded frame is sent again, from another connection")
        if stage.server.send(sent[-1][2:]) is None:
            raise StepFailed("replay: no answer")
        done("stored once: the server answered again, under a seal that only the board can open")
    expect("readings stored", stage.server.readings(), before)


def fake_server(stage: Stage) -> None:
    step("A fake server takes the board's connections")
    fake = stage.new_server("fake-server")
    before = stage.server.readings()
    stage.board.start(count=1, server=fake.address)
    if stage.tls:
        stage.board.says("signed by none of the CAs that this board trusts", 40)
        done("the board refuses its certificate: another CA signed it, and nothing was sent")
    else:
        stage.board.says("is the server's key the right one", 40)
        [(layer, reason), *_] = fake.refusals()
        expect("refusing layer", layer, "seal")
        done(f"it cannot read what it gets: {reason}")
        done("the board believes no answer of it, and keeps its reading")
    expect("readings stored", stage.server.readings(), before)
    stage.board.kill()
    stage.board.configuration["server"] = stage.server.address


def without_tls(stage: Stage) -> None:
    step("The network leads the board to where there is no TLS")
    before = len(stage.recorded.bytes_of(Direction.FROM_BOARD))
    stage.board.start(count=1, server=stage.server.plain)
    stage.board.says("does it speak TLS on this port", 40)
    stage.board.kill()
    sent = stage.recorded.bytes_of(Direction.FROM_BOARD)[before:]
    expect("records of data sent", sent.count(bytes((TLS_DATA, 3, 3))), 0)
    done("a board that is set up for TLS speaks TLS, or not at all")
    step("A board that nobody has told of TLS")
    board = stage.new_board("board-without-tls")
    del board.configuration["tls"], board.configuration["ca"]
    board.start(count=1, server=stage.server.plain)
    told = board.says("(tls-required: .*)$", 30)[1]
    done(f"the server refuses it, and says why: {told}")
    board.kill()
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
