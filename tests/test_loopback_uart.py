"""The firmware over a loopback UART: pyserial on one end, MicroPython's Unix port on the other.

The test itself is the modem here, written against the ESP-AT manual and independent of the
simulator: what the board says must be plain AT commands, and nothing else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from birthkey_host.enrolment import policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.verifier import Verifier
from boards.emulated.unix_port import UnixPort
from ptys import loopback_uart


class ModemByHand:
    """An ESP-AT module of the push kind, on a serial port; frames go to a pipeline."""

    def __init__(self, port: serial.Serial, pipeline: Pipeline) -> None:
        self.port, self.pipeline = port, pipeline
        self.commands: list[str] = []
        self.frames: list[bytes] = []

    def serve(self, until: threading.Event) -> None:
        while not until.is_set():
            line = self.port.readline()
            if line.endswith(b"\r\n"):
                self.command(line[:-2].decode("ascii"))

    def command(self, line: str) -> None:
        self.commands.append(line)
        name = re.match(r"AT([+A-Z0-9]*)", line)
        assert name, f"not an AT command: {line!r}"
        if name[1] in ("+CIPRECVMODE", "+CIPRECVTYPE", "+CIPDINFO"):
            self.say("ERROR")
        elif name[1] == "+CIPSTART":
            self.say("0,CONNECT", "", "OK")
        elif name[1] == "+CIPSEND":
            self.send(int(line.rpartition(",")[2]))
        else:
            self.say("OK")

    def send(self, length: int) -> None:
        self.port.write(b"\r\nOK\r\n\r\n>")
        data = self.port.read(length)
        assert len(data) == length
        self.say(f"Recv {length} bytes", "", "SEND OK")
        assert int.from_bytes(data[:2], "big") == length - 2
        self.frames.append(data[2:])
        answer = self.pipeline.handle(data[2:], "uart")
        if answer:
            counted = len(answer).to_bytes(2, "big") + answer
            self.port.write(b"\r\n+IPD,0,%d:" % len(counted) + counted)

    def say(self, *lines: str) -> None:
        self.port.write(b"\r\n" + "\r\n".join(lines).encode() + b"\r\n")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(f"sqlite:///{tmp_path}/registry.sqlite3") as registry:
        registry.create()
        yield registry


def test_readings_reach_the_registry_over_a_serial_port(registry: Registry, tmp_path: Path) -> None:
    key = ServerKey.generate()
    pipeline = Pipeline(Verifier([key], registry.lookup), registry, policy("open"))
    with (
        loopback_uart() as (ours, theirs),
        serial.Serial(ours, 115200, timeout=0.2) as port,
    ):
        modem = ModemByHand(port, pipeline)
        over = threading.Event()
        thread = threading.Thread(target=modem.serve, args=(over,))
        thread.start()
        board = UnixPort(
            tmp_path / "board",
            theirs,
            server="iot.example.com:7155",
            server_key=key.public.hex(),
            modem={"dialect": "esp_at", "ssid": 'a "b", c', "password": "back\\slash"},
            interval_s=0,
            count=3,
        )
        board.start()
        try:
            board.says("^all readings stored$", 60)
        finally:
            board.kill()
            over.set()
            thread.join()
    messages = [Message.decode(row.message) for row in registry.messages()]
    assert [message.type for message in messages] == [Type.ENROL] + 3 * [Type.DATA]
    assert all(message.body[0].keys() == {0, 1, 2} for message in messages[1:])
    # The seal is whole: neither the identity nor a reading shows on the wire.
    device_id = registry.devices()[0].device_id
    assert len(modem.frames) == 4
    assert not any(device_id in frame or b"temperature" in frame for frame in modem.frames)
    assert 'AT+CWJAP="a \\"b\\"\\, c","back\\\\slash"' in modem.commands
    assert 'AT+CIPSTART=0,"TCP","iot.example.com",7155,120' in modem.commands
