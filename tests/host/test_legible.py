from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birthkey_host.errors import FrameError
from birthkey_host.legible import MARKS, SENTENCE, excerpt, legible, quoted
from safe_text import HOSTILE, unsafe

ANY = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
SPITEFUL = st.lists(st.one_of(st.sampled_from(HOSTILE + "\u0301\u20e3\u1161a\ud800 "), ANY)).map(
    "".join
)


@pytest.mark.parametrize(
    "text",
    [
        "21.5 °C, Wärme — ½ €",
        "насос 7, 泵, ポンプ, 펌프",
        "tie\u0302\u0301ng Vie\u0323\u0302t",  # decomposed: two marks on a letter
        "शक्ति ที่นั่ง",
        "שלום مضخة",
        "🌡 😀 ±→",
        r"C:\boards, a 'b' \"c\"",
        "",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert legible(text) == text


@pytest.mark.parametrize("character", HOSTILE)
def test_what_steers_or_hides_is_named(character: str) -> None:
    code = ord(character)
    name = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    assert legible(f"a{character}b") == f"a{name}b"


def test_lone_surrogates_are_named() -> None:
    assert legible("\ud800 \udcff") == r"\ud800 \udcff"


@pytest.mark.parametrize("mark", ["\u0301", "\u0334", "\u0488", "\u1161", "\u11a8"])
def test_marks_do_not_pile_up(mark: str) -> None:
    shown = legible("a" + 100 * mark)
    assert shown.count(mark) == (0 if unicodedata.category(mark) == "Me" else MARKS)
    assert legible("b" + shown) == "b" + shown


@pytest.mark.parametrize("before", ["", " ", '"', "=", "\\", "\x1b"])
def test_mark_without_a_letter_is_named(before: str) -> None:
    assert legible(before + "\u0338").endswith("\\u0338")


@given(SPITEFUL)
def test_nothing_else_comes_through(text: str) -> None:
    shown = legible(text)
    assert unsafe(shown) == []
    assert legible(shown) == shown
    shown.encode()


@given(SPITEFUL, st.integers(0, 40))
def test_excerpt_is_as_long_as_is_said(text: str, most: int) -> None:
    shown = excerpt(text, most)
    if len(legible(text)) <= most:
        assert shown == legible(text)
    else:
        assert legible(text).startswith(shown.removesuffix("..."))
        assert len(shown) <= most + 3
    assert unsafe(shown) == []


@given(SPITEFUL)
def test_quotation_ends_where_it_seems_to(text: str) -> None:
    shown = quoted(text)
    assert unsafe(shown) == []
    body, _, rest = shown[1:].replace("\\\\", "").replace('\\"', "").partition('"')
    assert shown[0] == '"'
    assert rest == ("..." if len(text) > 40 else "")
    assert len(body) <= 400


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=40))
def test_quotation_is_json(text: str) -> None:
    assert json.loads(quoted(text)) == text


@given(SPITEFUL)
def test_no_error_about_a_frame_shows_more(text: str) -> None:
    error = FrameError("cbor", 50 * text)
    assert unsafe(str(error)) == []
    assert len(error.reason) <= SENTENCE + 3
    assert str(error) == f"cbor: {error.reason}"
