from __future__ import annotations

import re
import select
import signal
import socket
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import serial
from cobs import cobs

from birthkey_host.message import Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.serial_link import encode
from certificates import authority, issue, rsa2048
from command import Command
from processes import BIRTHKEY, ask, running
from ptys import loopback_uart
from recording import data
from safe_text import unsafe
from sockets import receive


class TestServerKey:
    def test_prints_only_the_digits(self, birthkey: Command) -> None:
        assert re.fullmatch("[0-9a-f]{128}\n", birthkey("server-key"))

    def test_damaged_key(self, birthkey: Command) -> None:
        (birthkey.home / "server.key").write_text("-----BEGIN NOTHING-----\n")
        assert "server.key is not an unencrypted PEM private key" in birthkey.fails("server-key")

    def test_unreadable_key(self, birthkey: Command) -> None:
        (birthkey.home / "server.key").unlink()
        (birthkey.home / "server.key").mkdir()
        assert birthkey.fails("server-key").startswith("cannot read ")


class TestTrouble:
    @pytest.mark.parametrize(
        "command",
        [
            ["serve"],
            ["server-key"],
            ["devices"],
            ["messages"],
            ["audit"],
            ["show", "0" * 32],
            ["revoke", "0" * 32],
            ["claim", "new"],
            ["bad-key", "list"],
        ],
        ids=" ".join,
    )
    def test_missing_home(self, nothing: Command, command: list[str]) -> None:
        sentence = nothing.fails(*command)
        assert sentence.startswith(f"there is no {nothing.home}/")
        assert "`birthkey init` makes it" in sentence
        assert not nothing.home.exists()

    @pytest.mark.parametrize("command", ["serve", "devices"])
    def test_home_that_cannot_be_looked_into(self, tmp_path: Path, command: str) -> None:
        sentence = Command(tmp_path / ("x" * 300)).fails(command)
        assert sentence.startswith(f"cannot read {tmp_path}/")
        assert sentence.endswith(": File name too long")

    @pytest.mark.parametrize("command", ["serve", "devices", "messages", "audit"])
    def test_damaged_registry(self, birthkey: Command, command: str) -> None:
        for path in birthkey.home.glob("registry.sqlite3*"):
            path.write_bytes(b"damaged, and long enough for a page" * 100)
        sentence = birthkey.fails(command)
        assert sentence.startswith("the registry's database ")
        assert sentence.endswith("registry.sqlite3 failed: file is not a database")

    def test_url_that_is_none(self, birthkey: Command) -> None:
        assert "of no use as a registry" in birthkey.fails("--registry", "nowhere", "devices")

    @pytest.mark.parametrize(
        "options",
        [
            ["serve", "--quota"],
            ["serve", "--baudrate"],
            ["serve", "--connections"],
            ["serve", "--connections-per-source"],
            ["serve", "--new-devices"],
            ["serve", "--listen"],
            ["serve", "--tls-listen"],
            ["messages", "--limit"],
            ["claim", "new", "--count"],
            ["claim", "new", "--expires"],
            ["send", "0" * 32, "{}", "--expires"],
            ["prune", "--before"],
            ["modem", "--baud"],
        ],
        ids=" ".join,
    )
    @pytest.mark.parametrize(
        "number",
        ["9223372036854775800", "9" * 20, "9" * 400, "9" * 5000, "-1", "nan", "inf", "1e999"],
        ids=["19 digits", "20 digits", "400 digits", "5000 digits", "-1", "nan", "inf", "1e999"],
    )
    def test_number_that_is_none(self, birthkey: Command, options: list[str], number: str) -> None:
        prefix = "127.0.0.1:" if options[-1].endswith("listen") else ""
        more = ["--tls"] if options[-1] == "--tls-listen" else []
        result = birthkey.run(*options, prefix + number, *more)
        assert result.exit_code == 2, result.output

    @pytest.mark.parametrize(
        "listen", ["7155", "host:", ":1", "host:x", "host:65536", "host:-1", "host:\u0661"]
    )
    def test_listen_address_that_is_none(self, birthkey: Command, listen: str) -> None:
        sentence = birthkey.fails("serve", "--listen", listen, code=2)
        assert sentence == f"{listen!r} is not HOST:PORT"

    def test_policy_that_is_none(self, birthkey: Command) -> None:
        sentence = birthkey.fails("serve", "--policy", "any", code=2)
        assert sentence == "no policy 'any'; there are: approve, open, claim, allowlist"

    @pytest.mark.parametrize("command", ["show", "approve", "suspend", "revoke", "delete"])
    def test_beginning_of_an_id_is_not_enough(self, birthkey: Command, command: str) -> None:
        sentence = birthkey.fails(command, "0123 4567", code=2)
        assert sentence.startswith("an id has 32 hex digits, and this has 8: give the whole id")

    @pytest.mark.parametrize("identity", ["", "xyz", "0" * 33, "0" * 31 + "g", "\u0661" * 32])
    def test_id_that_is_none(self, birthkey: Command, identity: str) -> None:
        sentence = birthkey.fails("show", identity, code=2)
        assert sentence == "an id is 32 hex digits; `birthkey devices` lists them"

    def test_id_that_nobody_has(self, birthkey: Command) -> None:
        sentence = "there is no device " + " ".join(["0000"] * 8)
        assert birthkey.fails("show", "0" * 32) == sentence
        assert birthkey.fails("messages", "--device", "0" * 32) == sentence


class TestServe:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_serves_until_it_is_told_to_stop(
        self, birthkey: Command, board: ReferenceDevice, number: signal.Signals
    ) -> None:
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        with running(*serve, "--policy", "open") as server:
            line = server.line()
            assert re.fullmatch(r"listening on 127\.0\.0\.1:[0-9]+", line)
            address = line.split()[-1]
            answer = board.open(ask(address, board.frame(board.enrol("pico", "1.0"))))
            assert answer.type == Type.ACKNOWLEDGE
            assert board.open(ask(address, board.frame(data(board)))).type == Type.ACKNOWLEDGE
            ended, rest, log = server.stop(number)
        assert (ended, rest) == (0, "")
        name = board.device_id.hex()
        assert [line.split(" ", 2)[2] for line in log.splitlines()] == [
            f"INFO stored 1:0 from 127.0.0.1, device {name}",
            f"INFO stored 1:1 from 127.0.0.1, device {name}",
        ]
        assert [line.split("\t")[2] for line in birthkey("messages").splitlines()[1:]] == [
            "1:0",
            "1:1",
        ]

    FORGED = "\x1b[2J\n2026-11-30 12:00:00,000 INFO stored 1:1\x1b]0;title\x07\u202e\u3164"

    @pytest.mark.parametrize("known", [False, True], ids=["enrol of nobody", "status"])
    def test_text_of_strangers_is_named_in_the_log_and_cut(
        self, birthkey: Command, board: ReferenceDevice, known: bool
    ) -> None:
        """Whoever reaches the port writes no line of his own, and steers no terminal."""
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        with running(*serve, "--policy", "open" if known else "approve") as server:
            address = server.line().split()[-1]
            hostile = board.enrol("pico", "1.0")
            if known:
                ask(address, board.frame(hostile))
                hostile = board.message(Type.STATUS, {})
            assert isinstance(hostile.body, dict)
            body = {**hostile.body, self.FORGED + 3300 * "A": 0}
            answer = board.open(ask(address, board.frame(replace(hostile, body=body))))
            assert answer.body == {0: int(known), 1: "malformed"}
            _, _, log = server.stop(signal.SIGTERM)
        *stored, line = log.splitlines()
        assert len(stored) == int(known)
        assert unsafe(line) == []
        assert line.split(" ", 2)[2] == (
            r'WARNING refused policy: malformed: field "\u001b[2J\n2026-11-30 12:00:00,000 INFO '
            'stored"... is not known in this message from 127.0.0.1, device '
            + board.device_id.hex()
        )

    def test_quota_is_kept(self, birthkey: Command, board: ReferenceDevice) -> None:
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        with running(*serve, "--policy", "open", "--quota", "16K") as server:
            address = server.line().split()[-1]
            messages = [board.enrol("pico", "1.0")]
            messages += [board.message(Type.DATA, {"n": bytes(3600)}) for _ in range(2)]
            answers = [board.open(ask(address, board.frame(message))) for message in messages]
        assert [answer.body for answer in answers] == [{0: 1}, {0: 1}, {0: 1, 1: "busy"}]

    def test_new_devices_are_few(self, birthkey: Command, board: ReferenceDevice) -> None:
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        boards = [ReferenceDevice.generate(board.server_public) for _ in range(3)]
        with running(*serve, "--new-devices", "2") as server:
            address = server.line().split()[-1]
            answers = [
                each.open(ask(address, each.frame(each.enrol("pico", "1.0")))) for each in boards
            ]
        assert [answer.body for answer in answers] == [{0: 0, 1: "pending"}] * 2 + [
            {0: 0, 1: "busy"}
        ]

    def test_reserve_is_kept_free(self, birthkey: Command, board: ReferenceDevice) -> None:
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        with running(*serve, "--policy", "open", "--reserve", "900T") as server:
            address = server.line().split()[-1]
            answer = board.open(ask(address, board.frame(board.enrol("pico", "1.0"))))
            _, _, log = server.stop(signal.SIGTERM)
        assert answer.body == {0: 0, 1: "busy"}
        assert "refused policy: busy" in log

    def test_reserve_beyond_the_disk_is_said_at_the_start(self, birthkey: Command) -> None:
        home = f"--home {birthkey.home}"
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        with running(*serve, "--reserve", "900T") as server:
            server.line()
            _, _, log = server.stop(signal.SIGTERM)
        assert "ERROR stores nothing new, and tells boards busy: " in log
        assert log.endswith(
            f"`birthkey {home} prune --before DATE` and `birthkey {home} delete ID` make room, or"
            " start the server with a smaller --reserve\n"
        )

    @pytest.mark.parametrize("quota", ["many", "50MB", "-1", ""])
    def test_quota_that_is_none(self, birthkey: Command, quota: str) -> None:
        sentence = birthkey.fails("serve", "--quota", quota, code=2)
        expected = f"{quota!r} is no number of bytes, such as 2000000, 50M or 2G"
        assert sentence == f"--quota {expected}"

    def test_quota_of_a_few_frames(self, birthkey: Command) -> None:
        sentence = birthkey.fails("serve", "--quota", "5000", code=2)
        assert sentence.startswith("--quota 5000 leaves no room for a boot and one long message")
        assert sentence.endswith("it counts bytes, as 50M")

    def test_address_in_use(self, birthkey: Command) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            sentence = birthkey.fails("serve", "--listen", address)
        assert sentence.startswith(f"cannot listen on {address}: ")


class TestWhoElseMay:
    @pytest.mark.parametrize(
        ("name", "mode", "what"),
        [
            ("server.key", 0o606, "server.key: chmod o-w "),
            ("registry.sqlite3", 0o666, "registry.sqlite3: chmod o-w "),
            (".", 0o777, ", and exchange what is in it: chmod o-w "),
        ],
    )
    def test_nothing_that_others_may_write_is_trusted(
        self, birthkey: Command, name: str, mode: int, what: str
    ) -> None:
        (birthkey.home / name).chmod(mode)
        serve = ("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0")
        ran = subprocess.run([BIRTHKEY, *serve], capture_output=True, text=True, timeout=20)
        assert (ran.returncode, ran.stdout) == (1, "")
        home = birthkey.home
        assert ran.stderr.startswith(f"birthkey: everyone on this computer may write {home}")
        assert what in ran.stderr

    @pytest.mark.parametrize("name", ["server.key", "registry.sqlite3"])
    def test_warns_of_what_others_may_read(self, birthkey: Command, name: str) -> None:
        path = birthkey.home / name
        path.chmod(0o644)
        with running("--home", str(birthkey.home), "serve", "--listen", "127.0.0.1:0") as process:
            assert process.log_line() == (
                f"WARNING everyone on this computer may read {path}: chmod 600 {path}"
            )
            assert process.line().startswith("listening on ")


def ask_over_tls(address: str, trusted: Path, frame: bytes) -> bytes:
    """Send a frame to HOST:PORT over TLS 1.2, as a board does; the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(trusted)
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(len(frame).to_bytes(2, "big") + frame)
        answer = receive(secured, int.from_bytes(receive(secured, 2), "big"))
        secured.unwrap()
        return answer


class TestServeOverTls:
    LISTEN = ("--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--policy", "open")

    @pytest.fixture
    def trusted(self, birthkey: Command) -> Path:
        """The authority whose certificate the server has in its home."""
        ca = authority()
        issue(ca).save(birthkey.home / "tls.pem")
        return ca.save_certificate(birthkey.home / "ca.pem")

    def test_listens_for_tls_too(
        self, birthkey: Command, trusted: Path, board: ReferenceDevice
    ) -> None:
        home = ("--home", str(birthkey.home))
        with running(*home, "serve", *self.LISTEN, "--tls") as server:
            plain, secure = server.line(), server.line()
            assert re.fullmatch(r"listening on 127\.0\.0\.1:[0-9]+", plain)
            assert re.fullmatch(r"listening for TLS on 127\.0\.0\.1:[0-9]+", secure)
            enrol = board.frame(board.enrol("pico", "1.0"))
            answer = ask_over_tls(secure.split()[-1], trusted, enrol)
            assert board.open(answer).type == Type.ACKNOWLEDGE
            answer = ask(plain.split()[-1], board.frame(data(board)))
            assert board.open(answer).type == Type.ACKNOWLEDGE
            ended, rest, log = server.stop(signal.SIGTERM)
        assert (ended, rest) == (0, "")
        name = board.device_id.hex()
        assert [line.split(" ", 2)[2] for line in log.splitlines()] == [
            f"INFO stored 1:0 from 127.0.0.1, device {name}",
            f"INFO stored 1:1 from 127.0.0.1, device {name}",
        ]

    def test_may_take_readings_over_tls_only(
        self, birthkey: Command, trusted: Path, board: ReferenceDevice
    ) -> None:
        elsewhere = (birthkey.home / "tls.pem").rename(birthkey.home / "elsewhere.pem")
        options = ("--require-tls", "--certificate", str(elsewhere))
        with running("--home", str(birthkey.home), "serve", *self.LISTEN, *options) as server:
            plain, secure = server.line().split()[-1], server.line().split()[-1]
            message = board.enrol("pico", "1.0")
            answer = board.open(ask(plain, board.frame(message)))
            assert answer.body == {0: 0, 1: "tls-required"}
            answer = board.open(ask_over_tls(secure, trusted, board.frame(message)))
            assert answer.type == Type.ACKNOWLEDGE

    def test_may_ask_for_certificates(
        self, birthkey: Command, trusted: Path, board: ReferenceDevice
    ) -> None:
        options = ("--tls", "--client-certificates", "required")
        with running("--home", str(birthkey.home), "serve", *self.LISTEN, *options) as server:
            secure = [server.line() for _ in range(2)][1].split()[-1]
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                ask_over_tls(secure, trusted, b"a frame")
            _, _, log = server.stop(signal.SIGTERM)
        assert log.rstrip().endswith("it shows no certificate, and here each board must")

    def test_no_line_of_the_log_is_forged_by_a_name(self, birthkey: Command, trusted: Path) -> None:
        elsewhere = trusted.with_name("x\n2026-11-30 INFO stored 1:1\udcff.pem")
        (birthkey.home / "tls.pem").rename(elsewhere).chmod(0o644)
        options = ("--require-tls", "--certificate", str(elsewhere))
        with running("--home", str(birthkey.home), "serve", *self.LISTEN, *options) as server:
            server.line()
            _, _, log = server.stop(signal.SIGTERM)
        [line] = log.splitlines()
        assert re.fullmatch(
            r"[-0-9]{10} [:,0-9]{12} WARNING everyone .*/x\\u000a2026-11-30 .*\\udcff\.pem: .*",
            line,
        )

    def test_missing_certificate(self, birthkey: Command) -> None:
        assert birthkey.fails("serve", "--tls") == (
            f"there is no {birthkey.home}/tls.pem; `birthkey ca init` and `birthkey ca issue NAME`"
            " make it, and --certificate FILE says where another one is"
        )

    def test_certificate_that_boards_cannot_use(self, birthkey: Command) -> None:
        path = issue(authority(), key=rsa2048()).save(birthkey.home / "rsa.pem")
        assert birthkey.fails("serve", "--require-tls", "--certificate", str(path)) == (
            f"{path} holds a key that is not on P-256: boards do ECDHE-ECDSA on that curve only;"
            " `birthkey ca issue NAME` makes one"
        )

    @pytest.mark.parametrize(
        "options",
        [
            ["--tls"],
            ["--require-tls"],
            ["--tls-listen", "127.0.0.1:0"],
            ["--certificate", "tls.pem"],
            ["--client-certificates", "optional"],
            ["--connections", "5"],
            ["--connections-per-source", "5"],
        ],
        ids=" ".join,
    )
    def test_not_on_a_serial_port(self, birthkey: Command, options: list[str]) -> None:
        sentence = birthkey.fails("serve", "--serial", "/dev/ttyNone", *options, code=2)
        assert sentence == (
            f"{options[0]} does not go with --serial: there is no network in between"
        )

    @pytest.mark.parametrize(
        "options",
        [
            ["--tls-listen", "127.0.0.1:0"],
            ["--certificate", "tls.pem"],
            ["--client-certificates", "none"],
        ],
        ids=" ".join,
    )
    def test_not_without_tls(self, birthkey: Command, options: list[str]) -> None:
        sentence = birthkey.fails("serve", *options, code=2)
        assert sentence == f"{options[0]} is about TLS: give --tls or --require-tls, too"

    def test_address_that_is_none(self, birthkey: Command) -> None:
        sentence = birthkey.fails("serve", "--tls", "--tls-listen", "7156", code=2)
        assert sentence == "'7156' is not HOST:PORT"

    def test_certificates_that_are_none_of_the_choices(self, birthkey: Command) -> None:
        options = ("--tls", "--client-certificates", "maybe")
        sentence = birthkey.fails("serve", *options, code=2)
        assert sentence == ("no --client-certificates 'maybe'; there are: none, optional, required")

    def test_address_in_use(self, birthkey: Command, trusted: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            options = ("--listen", "127.0.0.1:0", "--tls", "--tls-listen", address)
            sentence = birthkey.fails("serve", *options)
        assert sentence.startswith(f"cannot listen on {address}: ")


@pytest.mark.parametrize(
    "options", [["--connections", "2"], ["--connections-per-source", "2"]], ids=" ".join
)
def test_connections_that_are_too_many(birthkey: Command, options: list[str]) -> None:
    arguments = ("serve", "--policy", "open", "--listen", "127.0.0.1:0", *options)
    with running("--home", str(birthkey.home), *arguments) as server:
        port = int(server.line().rpartition(":")[2])
        came = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3)]
        gone, _, _ = select.select(came, [], [], 10)
        assert len(gone) == 1 and gone[0].recv(1) == b""
        for connection in came:
            connection.close()


def test_serves_one_board_on_a_serial_port(birthkey: Command) -> None:
    key = bytes.fromhex(birthkey("server-key").strip())
    board = ReferenceDevice.generate(key)
    with (
        loopback_uart() as (ours, theirs),
        serial.Serial(ours, 115200, timeout=10) as port,
        running(
            *("--home", str(birthkey.home), "serve", "--policy", "open", "--serial", theirs)
        ) as process,
    ):
        assert process.line() == f"serving {theirs}"
        port.write(encode(board.frame(board.enrol("bench", "1"))))
        assert port.read_until(b"\0") == b"\0"
        answer = cobs.decode(port.read_until(b"\0")[:-1])
        assert board.open(answer).type == Type.ACKNOWLEDGE
        assert process.stop(signal.SIGTERM)[0] == 0
    assert "bench" in birthkey("devices")


def test_says_that_there_is_no_such_serial_port(birthkey: Command, tmp_path: Path) -> None:
    sentence = birthkey.fails("serve", "--serial", str(tmp_path / "ttyNone"))
    assert sentence.startswith("cannot open the serial port")
