"""Text of others, made fit to be shown: in a log, in an error, in a table, on a terminal.

What boards and their peers write, and what files and databases hold, may be meant to harm whoever
reads it. Safe is what a person sees as it is: letters, digits, punctuation and symbols of any
script, the blank, and up to `MARKS` combining marks on a letter, a digit or a pictograph. All else
is escaped: what steers a terminal (control characters), turns text around or hides in it (format
characters, variation selectors, fillers, tags, other blanks), means something else everywhere
(private use, unassigned), is no character (lone surrogates), or piles up over the lines around it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

MARKS = 4
"""Combining marks on one character, at most; living scripts need three."""

SENTENCE = 500
"""Characters of an error, at most, when a stranger may have caused it."""

# Visible by their category, and yet nothing is seen: Default_Ignorable_Code_Point of Unicode's
# DerivedCoreProperties.txt as far as str.isprintable() lets it pass, and what is drawn blank.
_INVISIBLE = frozenset(
    [
        0x034F,  # combining grapheme joiner
        *range(0x115F, 0x1161),  # Hangul fillers
        *range(0x17B4, 0x17B6),  # inherent vowels of Khmer
        *range(0x180B, 0x1810),  # selectors of Mongolian
        0x2800,  # a Braille pattern without dots
        0x3164,  # Hangul filler
        *range(0xFE00, 0xFE10),  # variation selectors
        0xFFA0,  # Hangul filler, half as wide
        0xFFFC,  # stands for an object
        *range(0x13441, 0x13443),  # blank hieroglyphs
        0x16FE4,  # filler of Khitan
        0x1D159,  # a note without a head
        *range(0xE0000, 0xE1000),  # tags, variation selectors
    ]
)


def legible(text: str) -> str:
    r"""`text` with everything escaped that is not safe, as `\u001b` or `\U000e0041`.

    Whatever it is, it comes out as one line. What is legible stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_pieces(text))


def excerpt(text: str, most: int = SENTENCE) -> str:
    """`text`, legible, and cut with `...` behind it when that has more than `most` characters."""
    found: list[str] = []
    length = 0
    for piece in _pieces(text):
        length += len(piece)
        if length > most:
            return "".join(found) + "..."
        found.append(piece)
    return "".join(found)


def quoted(text: str, most: int | None = 40) -> str:
    """Up to `most` characters of `text`, legible, in the quotation marks and escapes of JSON."""
    shown = legible(json.dumps(text[:most], ensure_ascii=False))
    return shown if most is None or len(text) <= most else shown + "..."


def escaped(character: str) -> str:
    """One character as ASCII that names it."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _pieces(text: str) -> Iterator[str]:
    """Each character of `text`, or its escape."""
    room = 0  # for so many marks, on the character before
    for character in text:
        code, category = ord(character), unicodedata.category(character)
        if not character.isprintable() or code in _INVISIBLE or category == "Me":
            room = 0
        elif category in ("Mn", "Mc") or _joins(code):
            if room:
                room -= 1
                yield character
                continue
        else:
            room = MARKS if category[0] in "LN" or category == "So" else 0
            yield character
            continue
        yield escaped(character)


def _joins(code: int) -> bool:
    """Vowels and final consonants of Hangul, drawn onto the letter before."""
    return 0x1161 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF
