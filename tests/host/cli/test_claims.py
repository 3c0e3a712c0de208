from __future__ import annotations

import hashlib
import re
import time

import pytest

from birthkey_host.enrolment import Claim
from birthkey_host.events import verify
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Action
from command import ADA, Command, grouped
from recording import NOW, Server, execute


@pytest.fixture
def claiming(server: Server) -> Server:
    server.policy = Claim()
    return server


def listed_as(code: str) -> str:
    return hashlib.sha256(bytes.fromhex(code)).hexdigest()[:16]


def test_new_prints_codes_and_nothing_else(birthkey: Command) -> None:
    said = birthkey("claim", "new", "--count", "3")
    assert re.fullmatch("([0-9a-f]{32}\n){3}", said)
    assert len(set(said.split())) == 3
    assert re.fullmatch("[0-9a-f]{32}\n", birthkey("claim", "new"))


def test_printed_code_lets_a_board_in(
    birthkey: Command, claiming: Server, board: ReferenceDevice
) -> None:
    code = birthkey("claim", "new", "--label", "kitchen").strip()
    assert claiming.enrol(board).reason is Reason.PENDING
    assert claiming(board, board.enrol("pico", "1.0", bytes.fromhex(code))).stored
    assert "\tactive\tkitchen\t" in birthkey("devices")


def test_list_tells_of_codes_without_naming_them(
    birthkey: Command, claiming: Server, board: ReferenceDevice
) -> None:
    codes = [
        birthkey("claim", "new", *options).strip()
        for options in (["--label", "kitchen"], ["--expires", "2"], ["--expires", "0"], [])
    ]
    claiming(board, board.enrol("pico", "1.0", bytes.fromhex(codes[0])))
    said = birthkey("claim", "list")
    header, *lines = said.splitlines()
    assert header == "claim\tlabel\tissued\tstate\twhen\tdevice"
    names = [line.split("\t")[0] for line in lines]
    assert sorted(names) == sorted(listed_as(code) for code in codes)
    cells = [line.split("\t")[1:] for line in lines]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    spent = ["kitchen", "spent", "2023-11-14T22:13:20Z", grouped(board.device_id)]
    assert [[row[0], *row[2:]] for row in cells if row[2] == "spent"] == [spent]
    states = sorted((row[2], re.sub("[0-9]", "0", row[3])) for row in cells)
    assert states == [
        ("expired", "0000-00-00T00:00:00Z"),
        ("spent", "0000-00-00T00:00:00Z"),
        ("valid", "for ever"),
        ("valid", "until 0000-00-00T00:00:00Z"),
    ]
    assert all(row[1][:10] >= today for row in cells)
    assert not any(code in said for code in codes)


def test_days_are_days(birthkey: Command, server: Server) -> None:
    birthkey("claim", "new", "--expires", "1.5")
    [claim] = server.registry.claims()
    assert claim.expires == pytest.approx(time.time() + 36 * 3600, abs=60)


def test_issuing_is_an_event(birthkey: Command, server: Server) -> None:
    birthkey("claim", "new", "--count", "7", "--label", "spring")
    [event] = server.registry.events()
    assert (event.action, event.who) == (Action.ISSUED, ADA)
    assert event.why == "claim codes: 7, label spring"


@pytest.mark.parametrize("count", ["0", "10001", "x"])
def test_count_that_is_none(birthkey: Command, server: Server, count: str) -> None:
    result = birthkey.run("claim", "new", "--count", count)
    assert result.exit_code == 2
    assert server.registry.claims() == []


def test_label_that_is_none(birthkey: Command, server: Server) -> None:
    sentence = birthkey.fails("claim", "new", "--label", "x" * 65, code=2)
    assert sentence == "a label is 1 to 64 characters that can be printed"
    assert server.registry.claims() == []


def test_expired_code_is_of_no_use(
    birthkey: Command, claiming: Server, board: ReferenceDevice
) -> None:
    code = bytes.fromhex(birthkey("claim", "new", "--expires", "0").strip())
    verdict = claiming(board, board.enrol("pico", "1.0", code), time.time())
    assert verdict.reason is Reason.PENDING
    assert time.time() > NOW


@pytest.mark.parametrize("days", ["31536000", "36526", "-1", "nan", "inf", "-inf", "1e308"])
def test_time_that_is_none(birthkey: Command, server: Server, days: str) -> None:
    sentence = birthkey.fails("claim", "new", "--expires", days, code=2)
    assert sentence.startswith("--expires takes 0 to 36525 days, and ")
    assert server.registry.claims() == []


def test_longest_time(birthkey: Command, server: Server) -> None:
    birthkey("claim", "new", "--expires", "36525")
    assert "\tvalid\tuntil 2" in birthkey("claim", "list")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [("1e18", "until after the year 9999"), ("-1e18", "before the year 1")],
)
def test_time_that_no_calendar_holds_is_listed(
    birthkey: Command, server: Server, seconds: str, words: str
) -> None:
    birthkey("claim", "new")
    execute(server.registry, f"UPDATE claims SET expires = {seconds}")
    assert birthkey("claim", "list").splitlines()[1].split("\t")[4] == words


class TestRemove:
    def spend(self, server: Server, board: ReferenceDevice, code: str) -> None:
        assert server(board, board.enrol("pico", "1.0", bytes.fromhex(code))).stored

    def left(self, birthkey: Command) -> list[str]:
        return [line.split("\t")[0] for line in birthkey("claim", "list").splitlines()[1:]]

    def test_by_what_they_are_listed_under_or_the_code_itself(
        self, birthkey: Command, claiming: Server, board: ReferenceDevice
    ) -> None:
        one, two, three = birthkey("claim", "new", "--count", "3").split()
        said = birthkey("claim", "remove", listed_as(one).upper(), two, "--why", "lost")
        assert said == "2 codes are removed\n"
        assert self.left(birthkey) == [listed_as(three)]
        message = board.enrol("pico", "1.0", bytes.fromhex(one))
        assert claiming(board, message).reason is Reason.PENDING
        [*_, event] = claiming.registry.events()
        assert (event.action, event.why) == (Action.REMOVED, "claim codes: 2, by name; lost")
        assert one not in event.why
        verify(claiming.registry.events())

    def test_all_or_none(self, birthkey: Command, server: Server) -> None:
        code = birthkey("claim", "new").strip()
        sentence = birthkey.fails("claim", "remove", listed_as(code), "0" * 16)
        assert sentence == f"there is no {'0' * 16}; `birthkey claim list` lists what there is"
        assert self.left(birthkey) == [listed_as(code)]
        assert len(server.registry.events()) == 1

    def test_spent_one_stays(
        self, birthkey: Command, claiming: Server, board: ReferenceDevice
    ) -> None:
        code = birthkey("claim", "new", "--label", "hall").strip()
        self.spend(claiming, board, code)
        for chosen in (listed_as(code), code):
            assert " is spent and lets nobody in any more" in birthkey.fails(
                "claim", "remove", chosen
            )
        sentence = birthkey.fails("claim", "remove", "--label", "hall")
        assert sentence == "there is no code with the label 'hall' that is not spent"
        assert self.left(birthkey) == [listed_as(code)]

    def test_by_label(self, birthkey: Command, claiming: Server, board: ReferenceDevice) -> None:
        spent, _, _ = birthkey("claim", "new", "--count", "3", "--label", "hall").split()
        other = birthkey("claim", "new").strip()
        self.spend(claiming, board, spent)
        assert birthkey("claim", "remove", "--label", "hall") == "2 codes are removed\n"
        assert sorted(self.left(birthkey)) == sorted(map(listed_as, (spent, other)))
        assert claiming.registry.events()[-1].why == "claim codes: 2, label hall"

    def test_all_that_expired(
        self, birthkey: Command, claiming: Server, board: ReferenceDevice
    ) -> None:
        spent = birthkey("claim", "new", "--expires", "1").strip()
        self.spend(claiming, board, spent)
        execute(claiming.registry, "UPDATE claims SET expires = 1")
        birthkey("claim", "new", "--expires", "0", "--count", "2")
        valid = [birthkey("claim", "new", *more).strip() for more in ([], ["--expires", "1"])]
        assert birthkey("claim", "remove", "--expired") == "2 codes are removed\n"
        assert sorted(self.left(birthkey)) == sorted(map(listed_as, (spent, *valid)))
        count = len(claiming.registry.events())
        assert birthkey("claim", "remove", "--expired") == "0 codes are removed\n"
        assert len(claiming.registry.events()) == count

    @pytest.mark.parametrize(
        "options", [[], ["0" * 16, "--expired"], ["--label", "x", "--expired"]], ids=str
    )
    def test_one_way_at_a_time(self, birthkey: Command, options: list[str]) -> None:
        assert birthkey.fails("claim", "remove", *options, code=2).startswith("say which: ")

    @pytest.mark.parametrize("text", ["0" * 15, "x" * 16, "", "0" * 31])
    def test_what_is_no_claim(self, birthkey: Command, text: str) -> None:
        assert " is no claim: 16 hex digits, " in birthkey.fails("claim", "remove", text, code=2)
