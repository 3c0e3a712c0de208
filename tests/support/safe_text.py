"""What may be shown of strangers' text, said once more, and apart from the host."""

from __future__ import annotations

import re
import unicodedata

# Unicode, DerivedCoreProperties.txt: Default_Ignorable_Code_Point that is assigned and no Cf; and
# what fonts draw blank.
INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\u2800\ufffc"
    "\U00016fe4\U0001d159" + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
SEEN = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No"} | {"Sm", "Sc", "Sk", "So"}
SEEN |= {"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"}

HOSTILE = (
    "\x1b\x07\r\n\t\x00\x08\x7f\x85\x9b"  # steers
    "\u202e\u2066\u200f\u200b\u2060\ufeff\u00ad\u180e\ufe0f\U000e0041"  # turns, hides
    "\u00a0\u3000\u2028\u2029\ue000\ufffe\U0010ffff\u0378" + INVISIBLE
)
"""One of each kind that must never be seen."""


def unsafe(text: str) -> list[str]:
    """What is in `text` and must not be: each character, and each pile of marks."""
    found = []
    for character in text:
        category = unicodedata.category(character)
        marks = category in ("Mn", "Mc")
        if character in INVISIBLE or not (character == " " or marks or category in SEEN):
            found.append(character)
    piles = "".join("m" if _is_mark(character) else "." for character in text)
    return found + re.findall("m{5,}", piles)


def _is_mark(character: str) -> bool:
    joins = 0x1160 <= ord(character) <= 0x11FF or 0xD7B0 <= ord(character) <= 0xD7FF
    return joins or unicodedata.category(character) in ("Mn", "Mc", "Me")
