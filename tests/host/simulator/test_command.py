"""Command lines, taken apart."""

from __future__ import annotations

import pytest

from birthkey_host.simulator.command import Parameters, Refused, parse


def values(line: bytes) -> list[object]:
    return list(parse(line).parameters._values)


@pytest.mark.parametrize(
    ("line", "name", "form"),
    [
        (b"AT\r\n", "", ""),
        (b"AT+GMR\r\n", "+GMR", ""),
        (b"AT+UART_CUR?\r\n", "+UART_CUR", "?"),
        (b"AT+CIPMUX=1\r\n", "+CIPMUX", "="),
        (b"ATE0\r\n", "E", "="),
    ],
)
def test_a_line_names_a_command_and_its_form(line: bytes, name: str, form: str) -> None:
    command = parse(line)
    assert (command.name, command.form) == (name, form)


def test_parameters_are_numbers_strings_or_left_out() -> None:
    assert values(b'AT+X=1,"a",,"",007\r\n') == [1, "a", None, "", 7]
    assert values(b"ATE1\r\n") == [1]


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        (rb'"ab\,c"', "ab,c"),
        (rb'"a\"b"', 'a"b'),
        (rb'"a\\b"', "a\\b"),
        (rb'"ab\\\,c"', "ab\\,c"),
        (rb'"\a"', "a"),
        (rb'"a\\"', "a\\"),
        ('"pi\u00f1ata"'.encode(), "pi\u00f1ata"),
        (b'"\xff\x00"', "\udcff\x00"),
    ],
)
def test_strings_are_unescaped(quoted: bytes, text: str) -> None:
    assert values(b"AT+X=" + quoted + b",2\r\n") == [text, 2]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\r\n",
        b"AT",
        b"AT\n",
        b"at\r\n",
        b" AT\r\n",
        b"AT \r\n",
        b"AT?\r\n",
        b"ATE2\r\n",
        b"ATE0?\r\n",
        b"AT+\r\n",
        b"AT+CIPMUX 1\r\n",
        b"AT+X=a\r\n",
        b"AT+X=-1\r\n",
        b"AT+X=1 \r\n",
        b"AT+X=12345678901\r\n",
        "AT+X=\u0663\r\n".encode(),
        b'AT+X="a\r\n',
        b'AT+X="a"b\r\n',
        b'AT+X="a,b"\r\n',
        b'AT+X="a\\"\r\n',
        b'AT+X="a\\\r\n',
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(Refused):
        parse(line)


def test_parameters_are_taken_in_order_and_checked() -> None:
    parameters = Parameters([3, "a"])
    assert parameters.integer(0, 3) == 3
    with pytest.raises(Refused):
        parameters.end()
    assert parameters.text() == "a"
    parameters.end()


@pytest.mark.parametrize("value", [4, None, "1"])
def test_a_number_out_of_range_is_refused(value: int | str | None) -> None:
    with pytest.raises(Refused):
        Parameters([value]).integer(0, 3)


@pytest.mark.parametrize("value", [1, None])
def test_a_string_has_to_be_one(value: int | None) -> None:
    with pytest.raises(Refused):
        Parameters([value]).text()


def test_a_missing_parameter_is_refused() -> None:
    with pytest.raises(Refused):
        Parameters([]).integer(0, 1)
    with pytest.raises(Refused):
        Parameters([]).text()
