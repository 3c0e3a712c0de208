from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import serial

from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from command import Command
from processes import running
from recording import data


class TestInspect:
    def test_frame_that_the_server_would_take(
        self, birthkey: Command, enrolled: ReferenceDevice
    ) -> None:
        said = birthkey("inspect", enrolled.frame(data(enrolled)).hex())
        assert said.startswith("sealed-frame, ")
        assert "bytes\tfield\tvalue\tmeaning\n" in said
        assert "0..1\ttag\t16\tCOSE_Encrypt0\n" in said
        assert "\nopened with the server's key:\nsigned-frame, " in said
        assert said.endswith("\nnothing is wrong with it\n")

    def test_changed_frame(self, birthkey: Command, enrolled: ReferenceDevice) -> None:
        frame = bytearray(enrolled.frame(data(enrolled)))
        frame[-1] ^= 1
        result = birthkey.run("inspect", frame.hex())
        assert result.exit_code == 1
        assert result.stdout.splitlines()[-1].startswith("refused by seal: ")

    def test_strangers_frame(self, birthkey: Command, board: ReferenceDevice) -> None:
        result = birthkey.run("inspect", board.frame(data(board)).hex())
        assert result.exit_code == 1
        assert result.stdout.splitlines()[-1].startswith("refused by policy: unknown-device")

    def test_without_a_home(self, nothing: Command, server_key: ServerKey) -> None:
        message = Message(Type.DATA, 1 << 32, {"n": 1}).encode()
        assert nothing("inspect", message.hex()).startswith("message, ")
        stranger = ReferenceDevice.generate(server_key.public)
        result = nothing.run("inspect", stranger.frame(data(stranger)).hex())
        assert result.stdout.splitlines()[-1].startswith("refused by seal: ")

    @pytest.mark.parametrize("form", ["bytes", "hex", "spaced hex"])
    @pytest.mark.parametrize("standard_input", [True, False])
    def test_files(
        self, birthkey: Command, tmp_path: Path, form: str, standard_input: bool
    ) -> None:
        message = Message(Type.DATA, 1 << 32, {"n": 1}).encode()
        text = {"bytes": message, "hex": message.hex().encode() + b"\n"}
        content = text.get(form, message.hex(" ").encode())
        if standard_input:
            said = birthkey("inspect", "-", input=content)
        else:
            (tmp_path / "frame").write_bytes(content)
            said = birthkey("inspect", str(tmp_path / "frame"))
        assert said.startswith(f"message, {len(message)} bytes\n")

    def test_home_that_cannot_be_looked_into(self, tmp_path: Path) -> None:
        result = Command(tmp_path / ("x" * 300)).run("inspect", "00")
        assert result.stdout.splitlines()[-1].startswith("refused by cose: ")

    def test_neither_file_nor_hex(self, birthkey: Command) -> None:
        sentence = birthkey.fails("inspect", "no-such-file", code=2)
        assert sentence == "'no-such-file' is neither a file nor hex digits"

    def test_text_of_a_board_is_harmless(self, birthkey: Command) -> None:
        message = Message(Type.DATA, 1 << 32, {"\x1b[2J": "\x9b\u202e"}).encode()
        said = birthkey("inspect", message.hex())
        assert said.replace("\n", "").replace("\t", "").isprintable()


class TestModem:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_answers_at_its_port_until_it_is_told_to_stop(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        link = tmp_path / "uart"
        with running("modem", "--link", str(link), "--ssid", "x", "--baud", "115200") as modem:
            assert re.fullmatch(r"modem on /dev/\S+", modem.line())
            with serial.Serial(str(link), timeout=5) as uart:
                uart.write(b"AT\r\n")
                assert uart.read_until(b"OK\r\n").endswith(b"OK\r\n")
            assert modem.stop(number) == (0, "", "")
        assert not link.is_symlink()

    def test_link_that_cannot_be_made(self, nothing: Command, tmp_path: Path) -> None:
        sentence = nothing.fails("modem", "--link", str(tmp_path / "none" / "uart"))
        assert sentence.startswith("cannot make the port: ")
