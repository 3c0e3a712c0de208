"""What `serve` does about SIGHUP, and about refusals on a serial port that nobody listed."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator

import pytest
import serial
from cobs import cobs

from birthkey_host.cli import server as module
from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.serial_link import encode
from birthkey_host.server.tcp import Limits
from certificates import authority, issue
from command import Command
from processes import BIRTHKEY, Process, ask, running
from ptys import loopback_uart
from recording import data

LISTEN = ("--listen", "127.0.0.1:0", "--policy", "open")
SUM = r"([0-9]+) more in the last [0-9]+ s, not listed one by one: .*; most from /dev/.*"


def serve(birthkey: Command, *options: str) -> tuple[str, ...]:
    return "--home", str(birthkey.home), "serve", *options


def stopped(process: Process) -> list[str]:
    """The rest of the log of a server that ended well."""
    code, _, log = process.stop(signal.SIGTERM)
    assert code == 0
    return [line.split(" ", 2)[-1] for line in log.splitlines()]


class TestHangUp:
    def test_ends_nothing(self, birthkey: Command, board: ReferenceDevice) -> None:
        with running(*serve(birthkey, *LISTEN)) as process:
            address = process.line().split()[-1]
            for _ in range(2):
                process.signal(signal.SIGHUP)
                assert process.log_line() == (
                    "INFO got SIGHUP, and goes on serving; there is nothing to read again"
                )
            answer = ask(address, board.frame(board.enrol("pico", "1.0")))
            assert board.open(answer).type == Type.ACKNOWLEDGE
            assert len(stopped(process)) == 1

    def test_has_the_certificate_read_again(self, birthkey: Command) -> None:
        ca = authority()
        path = issue(ca).save(birthkey.home / "tls.pem")
        options = (*LISTEN, "--tls", "--tls-listen", "127.0.0.1:0")
        with running(*serve(birthkey, *options)) as process:
            process.line()
            process.signal(signal.SIGHUP)
            assert process.log_line() == "INFO got SIGHUP, and goes on serving"
            assert process.log_line() == f"INFO took the new TLS certificate in {path}"
            path.write_text("half a")
            process.signal(signal.SIGHUP)
            process.log_line()
            line = process.log_line()
            assert line.startswith("ERROR keeps the former TLS certificate: ")
            assert line.endswith(f"`birthkey --home {birthkey.home} ca issue NAME` makes one")

    def test_of_a_lost_terminal(self, birthkey: Command, board: ReferenceDevice) -> None:
        """Whoever started it closes the window: there is nowhere left to print to, either."""
        master, slave = os.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [BIRTHKEY, *serve(birthkey, *LISTEN)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        try:
            os.close(slave)
            said = b""
            while not said.endswith(b"\n"):
                said += os.read(master, 1000)
            os.close(master)
            address = said.decode().split()[-1]
            for message in (board.enrol("pico", "1.0"), data(board)):
                assert board.open(ask(address, board.frame(message))).type == Type.ACKNOWLEDGE
            assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()

    def test_ends_nothing_on_a_serial_port(self, birthkey: Command, board: ReferenceDevice) -> None:
        with (
            loopback_uart() as (ours, theirs),
            serial.Serial(ours, 115200, timeout=10) as port,
            running(*serve(birthkey, "--policy", "open", "--serial", theirs)) as process,
        ):
            process.line()
            process.signal(signal.SIGHUP)
            assert process.log_line().startswith("INFO got SIGHUP, and goes on serving; ")
            port.write(encode(board.frame(board.enrol("bench", "1"))))
            assert port.read_until(b"\0") == b"\0"
            answer = cobs.decode(port.read_until(b"\0")[:-1])
            assert board.open(answer).type == Type.ACKNOWLEDGE
            assert len(stopped(process)) == 1


class TestRefusalsOnASerialPort:
    @pytest.fixture
    def wire(self) -> Iterator[tuple[serial.Serial, str]]:
        with loopback_uart() as (ours, theirs), serial.Serial(ours, 115200) as port:
            yield port, theirs

    def test_are_all_told_of_at_the_end(
        self, birthkey: Command, board: ReferenceDevice, wire: tuple[serial.Serial, str]
    ) -> None:
        port, theirs = wire
        port.timeout = 10
        with running(*serve(birthkey, "--policy", "open", "--serial", theirs)) as process:
            process.line()
            port.write(encode(b"no frame") * 300)
            port.write(encode(board.frame(board.enrol("bench", "1"))))
            port.read_until(b"\0")
            port.read_until(b"\0")  # all before it have been refused
            lines = stopped(process)
        listed = [line for line in lines if line.startswith("WARNING refused ")]
        [held] = [int(found[1]) for line in lines if (found := re.search(SUM, line))]
        assert len(listed) + held == 300
        assert held >= 200

    def test_are_told_of_meanwhile(
        self,
        birthkey: Command,
        wire: tuple[serial.Serial, str],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        port, theirs = wire
        monkeypatch.setattr(module, "LIMITS", Limits(summaries=0.05))
        caplog.set_level(logging.INFO)
        before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        seen: list[str] = []

        def strangers() -> None:
            end = time.monotonic() + 30
            while not seen and time.monotonic() < end:
                port.write(encode(b"no frame") * 20)
                time.sleep(0.05)
                seen.extend(line for line in caplog.messages if re.fullmatch(SUM, line))
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Timer(0.5, strangers)
        try:
            for number in before:
                signal.signal(number, lambda *_: None)  # until it listens
            thread.start()
            assert birthkey.run("serve", "--serial", theirs).exit_code == 0
        finally:
            thread.join()
            for number, handler in before.items():
                signal.signal(number, handler)
        assert seen
