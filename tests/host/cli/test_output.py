"""Standard output on a full disk, behind a closed pipe, closed: that is said, and costs nothing."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from birthkey_host.enrolment import Claim
from birthkey_host.events import verify
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Action
from command import Command
from processes import BIRTHKEY
from recording import Server, data

Run = Callable[..., tuple[int, str]]

FULL = "cannot write to standard output: No space left on device"
CHANGED = "; what the command changed before that stays changed"


@pytest.fixture
def printed(birthkey: Command) -> Iterator[Run]:
    """Runs a command with its standard output on something: its exit code, and what it says."""
    with ExitStack() as stack:

        def run(stdout: str, *arguments: str) -> tuple[int, str]:
            options: dict[str, object] = {}
            if stdout == "full":
                options["stdout"] = stack.enter_context(open("/dev/full", "wb"))
            elif stdout == "closed pipe":
                reading, writing = os.pipe()
                os.close(reading)
                stack.callback(os.close, writing)
                options["stdout"] = writing
            else:
                options["preexec_fn"] = lambda: os.close(1)
            ran = subprocess.run(
                [BIRTHKEY, "--home", str(birthkey.home), *arguments],
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                **options,  # type: ignore[call-overload]
            )
            return ran.returncode, ran.stderr

        yield run


class TestClaimCodes:
    @pytest.mark.parametrize("stdout", ["full", "closed pipe", "closed"])
    @pytest.mark.parametrize("count", ["1", "1200"])
    def test_that_could_not_be_printed_are_not_issued(
        self, server: Server, printed: Run, stdout: str, count: str
    ) -> None:
        code, said = printed(stdout, "claim", "new", "--count", count)
        assert code == 1
        assert re.fullmatch(
            "birthkey: cannot write to standard output: [A-Z][a-z ]+; none of the claim codes"
            " counts that were to be printed\n",
            said,
        )
        assert server.registry.claims() == []
        events = server.registry.events()
        assert [event.action for event in events] == [Action.ISSUED, Action.REMOVED]
        assert events[1].why == f"claim codes: {count}, could not be printed"
        verify(events)

    def test_that_a_board_has_spent_stay(
        self, birthkey: Command, server: Server, board: ReferenceDevice
    ) -> None:
        server.policy = Claim()
        codes = [bytes.fromhex(line) for line in birthkey("claim", "new", "--count", "2").split()]
        assert server(board, board.enrol("pico", "1.0", codes[0])).stored
        assert server.registry.withdraw_claims(codes, who="ada", now=0) == 1
        assert [claim.device_id for claim in server.registry.claims()] == [board.device_id]

    def test_that_were_printed_are_issued(
        self, birthkey: Command, server: Server, tmp_path: Path
    ) -> None:
        with open(tmp_path / "codes", "wb") as file:
            subprocess.run(
                [BIRTHKEY, "--home", str(birthkey.home), "claim", "new", "--count", "3"],
                stdout=file,
                check=True,
            )
        assert len((tmp_path / "codes").read_text().split()) == 3
        assert len(server.registry.claims()) == 3


PRINTING = [
    ["--help"],
    ["devices", "--help"],
    ["devices"],
    ["devices", "--json"],
    ["show", "ID"],
    ["messages"],
    ["messages", "--json"],
    ["audit"],
    ["audit", "--json"],
    ["audit", "--verify"],
    ["claim", "list"],
    ["claim", "remove", "--expired"],
    ["bad-key", "list"],
    ["bad-key", "add", "0" * 64],
    ["server-key"],
    ["inspect", "00"],
    ["approve", "ab" * 16],
    ["suspend", "ID"],
    ["revoke", "ID"],
    ["delete", "ID"],
    ["prune", "--before", "2020-01-01"],
    ["send", "ID", "{}"],
    ["ca", "init"],
    ["ca", "issue", "localhost"],
    ["ca", "show"],
    ["ca", "rotate"],
    ["modem"],
    ["serve", "--listen", "127.0.0.1:0"],
]


class TestEveryCommand:
    @pytest.fixture
    def filled(self, birthkey: Command, server: Server, enrolled: ReferenceDevice) -> bytes:
        """An id; and there is something to print."""
        server(enrolled, data(enrolled))
        birthkey("claim", "new")
        return enrolled.device_id

    @pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
    def test_says_that_the_disk_is_full(
        self, birthkey: Command, filled: bytes, printed: Run, arguments: list[str]
    ) -> None:
        if arguments[0] == "ca" and arguments[1] != "init":
            birthkey("ca", "init")
        code, said = printed("full", *(filled.hex() if a == "ID" else a for a in arguments))
        assert (code, said) == (1, f"birthkey: {FULL}{CHANGED}\n")

    @pytest.mark.parametrize("arguments", PRINTING[2:10:3], ids=" ".join)
    def test_goes_without_a_word_when_nobody_reads(
        self, filled: bytes, printed: Run, arguments: list[str]
    ) -> None:
        arguments = [filled.hex() if a == "ID" else a for a in arguments]
        assert printed("closed pipe", *arguments) == (141, "")

    def test_does_not_take_a_file_for_standard_output(
        self, birthkey: Command, filled: bytes, printed: Run
    ) -> None:
        before = birthkey("devices")
        code, said = printed("closed", "devices")
        assert (code, said) == (
            1,
            f"birthkey: cannot write to standard output: Bad file descriptor{CHANGED}\n",
        )
        assert birthkey("devices") == before

    def test_full_standard_error_changes_no_exit_code(self, birthkey: Command) -> None:
        with open("/dev/full", "wb") as full:
            for arguments, code in ((["show", "x"], 2), (["show", "0" * 32], 1), (["devices"], 0)):
                ran = subprocess.run(
                    [BIRTHKEY, "--home", str(birthkey.home), *arguments],
                    stdout=subprocess.DEVNULL,
                    stderr=full,
                )
                assert ran.returncode == code

    def test_waits_for_a_slow_reader_of_a_pipe_that_does_not_wait(self, birthkey: Command) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)  # for all who have it, and so for the command
        process = subprocess.Popen(
            [BIRTHKEY, "--home", str(birthkey.home), "claim", "new", "--count", "4000"],
            stdout=writing,
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert select.select([pipe], [], [], 30)[0]
            time.sleep(0.5)  # it is full by then: 132 kB do not fit
            codes = pipe.read().split()
        assert process.communicate()[1] == b""
        assert process.returncode == 0
        assert len(codes) == 4000

    def test_letters_that_the_terminal_lacks_are_shown_all_the_same(
        self, birthkey: Command, enrolled: ReferenceDevice
    ) -> None:
        birthkey("approve", "ab" * 16, "--label", "кухня")
        ran = subprocess.run(
            [BIRTHKEY, "--home", str(birthkey.home), "devices"],
            env={**os.environ, "PYTHONIOENCODING": "iso-8859-1"},
            capture_output=True,
            check=True,
        )
        assert rb"\u043a\u0443\u0445\u043d\u044f" in ran.stdout


def test_init_that_was_not_shown_is_shown_again(nothing: Command) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([BIRTHKEY, "--home", str(nothing.home), "init"], stdout=full)
    assert ran.returncode == 1
    assert re.fullmatch("[0-9a-f]{128}\n", nothing("server-key"))
