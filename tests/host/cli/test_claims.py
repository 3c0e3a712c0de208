from __future__ import annotations

import re
import time

import pytest

from birthkey_host.enrolment import Claim
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Action
from command import ADA, Command, grouped
from recording import NOW, Server


@pytest.fixture
def claiming(server: Server) -> Server:
    server.policy = Claim()
    return server


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
    assert header == "label\tissued\tstate\twhen\tdevice"
    cells = [line.split("\t") for line in lines]
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
