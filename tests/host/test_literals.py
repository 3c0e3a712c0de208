from __future__ import annotations

import ast
import contextlib
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birthkey_host.literals import DEPTH, literal

PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 64), 1 << 64),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.binary(),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=4),
        st.lists(values, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), values, max_size=4),
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_what_was_written_is_read(value: object) -> None:
    if repr(value).count("(") + repr(value).count("[") + repr(value).count("{") <= DEPTH:
        assert literal(repr(value)) == value


@pytest.mark.parametrize(
    "text", ["b'\\x00\\'\\\\'", '"it\'s"', "-3.5", "1e+30", "()", "(1,)", "{1, 2}"]
)
def test_forms(text: str) -> None:
    assert literal(text) == ast.literal_eval(text)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1 1", "1-1", "--1", "-", "'a' 'b'", "()()", "[1][0]", "1(2)", "'a", "b'\\d'", "f''",
     "1_0", "0x10", "1j", "inf", "nan", "1+1", "not 1", "[", "]", "][", "(1", "1,,2", "{1: 2, 3}",
     "{[]}", "{{}: 1}", "1\n", "\u0661", "lambda: 1", "01", 10 * "[" + 10 * "]", "9" * 5000,
     "'\ud800'\0"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError):
            literal(text)


@given(st.one_of(st.text(), st.text("()[]{}'\"\\,:-+.eb01 NoneTrue", max_size=300)))
def test_nothing_else_is_raised(text: str) -> None:
    with contextlib.suppress(ValueError):
        literal(text)


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "-" * 100_000 + "1", "1" + "-1" * 50_000, "[],'" * 30_000, "'\\" * 60_000],
)
def test_costs_little(text: str) -> None:
    with pytest.raises(ValueError):
        literal(text)
