from __future__ import annotations

import time

import pytest

from birthkey_host.message import Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Action
from command import ADA, Command, grouped
from recording import Server, data, execute


def test_command_is_queued(birthkey: Command, server: Server, enrolled: ReferenceDevice) -> None:
    name = enrolled.device_id.hex()
    said = birthkey("send", name, '{"led": true}', "--why", "dark")
    assert said.startswith(f"command 1 waits for {grouped(enrolled.device_id)} until 20")
    [row] = server.registry.commands(enrolled.device_id)
    assert row.expires - row.queued == 86400
    assert row.queued == pytest.approx(time.time(), abs=60)
    event = server.registry.events()[-1]
    assert (event.action, event.who) == (Action.COMMANDED, ADA)
    assert event.why == 'command 1: {"led":true}; dark'
    assert birthkey("send", grouped(enrolled.device_id), "{}").startswith("command 2 waits for ")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604800)]
)
def test_expiry(
    birthkey: Command, server: Server, enrolled: ReferenceDevice, text: str, seconds: int
) -> None:
    birthkey("send", enrolled.device_id.hex(), "{}", "--expires", text)
    [row] = server.registry.commands(enrolled.device_id)
    assert row.expires - row.queued == seconds


@pytest.mark.parametrize("text", ["", "0s", "5", "5y", "-1h", "1.5h", "367d", "٣d", "1 d"])
def test_expiry_that_is_none(birthkey: Command, enrolled: ReferenceDevice, text: str) -> None:
    sentence = birthkey.fails("send", enrolled.device_id.hex(), "{}", "--expires", text, code=2)
    assert sentence.endswith("is no time like 90s, 10m, 2h or 7d, and at most 366d")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "the command is not valid JSON: Expecting value"),
        ("{led: true}", "the command is not valid JSON: "),
        ("{} {}", "the command is not valid JSON: Extra data"),
        ("[1]", 'a command is a map, as {"led": true}'),
        ("null", 'a command is a map, as {"led": true}'),
        ('{"a": 1, "a": 2}', 'the command has "a" twice'),
        ('{"m": {"a": 1, "a": 2}}', 'the command has "a" twice'),
        ('{"a": NaN}', "the command is not valid JSON: there is no NaN in it"),
        ('{"a": -Infinity}', "the command is not valid JSON: there is no -Infinity in it"),
        ('{"a": 0.1}', "boards have floats of 32 bits, and 0.1 is none of them; the nearest is"),
        ('{"a": 1e400}', "boards have floats of 32 bits, and 1e400 is too large for them"),
        ('{"a": 18446744073709551616}', "the command is no message: an integer must lie"),
        ('{"a": "\\ud800"}', "the command is no message: text is not valid Unicode"),
        ('{"a": [[[[[[1]]]]]]}', "the command is no message: nested deeper than 8 levels"),
        ('{"a": ' + "[" * 100_000, "the command is nested too deep"),
        ('{"a": "%s"}' % ("x" * 1019), "the command has 1025 bytes in CBOR; at most 1024 fit"),
    ],
)
def test_command_that_is_none(
    birthkey: Command, server: Server, enrolled: ReferenceDevice, command: str, sentence: str
) -> None:
    said = birthkey.fails("send", enrolled.device_id.hex(), command, code=2)
    assert said.startswith(sentence)
    assert server.registry.commands(enrolled.device_id) == []


def test_float_that_boards_have(
    birthkey: Command, server: Server, enrolled: ReferenceDevice
) -> None:
    birthkey("send", enrolled.device_id.hex(), '{"a": 21.5, "b": 0.10000000149011612}')
    assert "{a: 21.5, b: 0.1}" in birthkey("show", enrolled.device_id.hex())


def test_device_that_takes_none(
    birthkey: Command, server: Server, enrolled: ReferenceDevice
) -> None:
    assert birthkey.fails("send", "ab" * 16, "{}").startswith("there is no device abab")
    birthkey("suspend", enrolled.device_id.hex())
    sentence = birthkey.fails("send", enrolled.device_id.hex(), "{}")
    assert sentence == "it is suspended, and only active devices take commands"


class TestShow:
    """`birthkey show` says what came of each."""

    @staticmethod
    def lines(birthkey: Command, board: ReferenceDevice) -> list[str]:
        shown = birthkey("show", board.device_id.hex()).splitlines()
        return [" ".join(line.split()) for line in shown if line.startswith("command ")]

    def test_each_state(self, birthkey: Command, server: Server, enrolled: ReferenceDevice) -> None:
        now = time.time()
        for number in range(7):
            birthkey("send", enrolled.device_id.hex(), f'{{"n": {number}}}')
        for number, result in enumerate([None, {"led": True}, ["failed", "ValueError: no pin"]], 1):
            server(enrolled, data(enrolled), now)
            status = Status(command_result=(number, result)).body()
            server(enrolled, enrolled.message(Type.STATUS, status), now)
        server(enrolled, data(enrolled), now)
        unknown = Status(command_result=(4, ["unknown", "begun before"])).body()
        server(enrolled, enrolled.message(Type.STATUS, unknown), now)
        execute(
            server.registry, f"UPDATE commands SET expires = {now - 1} WHERE body = x'a1616e06'"
        )
        one, two, three, four, five, six, seven = self.lines(birthkey, enrolled)
        assert one.startswith("command 1 done: {n: 0} gave null, 20")
        assert two.startswith("command 2 done: {n: 1} gave {led: true}, 20")
        assert three.startswith('command 3 done: {n: 2} gave failed: "ValueError: no pin", 20')
        assert four == "command 4 outcome unknown: {n: 3}"
        assert five.startswith("command 5 sent: {n: 4}, until 20")
        assert six.startswith("command 6 queued: {n: 5}, until 20")
        assert seven == "command 7 expired: {n: 6}"

    def test_result_of_a_hostile_board_steers_no_terminal(
        self, birthkey: Command, server: Server, enrolled: ReferenceDevice
    ) -> None:
        now = time.time()
        for number, result in enumerate(["\x1b[2J", ["failed", "\x1b[2J\n"]], 1):
            birthkey("send", enrolled.device_id.hex(), "{}")
            server(enrolled, data(enrolled), now)
            status = Status(command_result=(number, result)).body()
            server(enrolled, enrolled.message(Type.STATUS, status), now)
        shown = birthkey("show", enrolled.device_id.hex())
        assert "\x1b" not in shown
        assert len(self.lines(birthkey, enrolled)) == 2
