"""What `repr` prints of plain values on a board, read without trusting the board.

Python's own parser takes a hostile text for minutes or ends in MemoryError, when it is deep enough.
So the text is looked through first: only literals and brackets, and those not deep.
"""

from __future__ import annotations

import ast
import re
from typing import Any

DEPTH = 8
"""Brackets inside each other, at most."""

_ESCAPE = r"\\(?:[\\'\"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_TOKEN = re.compile(
    rf"""(?P<blank>[ ]+)|(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<mark>[,:])|(?P<value>
    b?'[^'\\]*(?:{_ESCAPE}[^'\\]*)*'|b?"[^"\\]*(?:{_ESCAPE}[^"\\]*)*"
    |None|True|False|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)""",
    re.VERBOSE,
)


def literal(text: str) -> Any:
    """The value that `text` is the `repr` of: text, bytes, numbers, None, True and False, and
    tuples, lists, sets and dicts of them. Raises ValueError for anything else.
    """
    at = depth = 0
    ended = False  # a value has ended, and another one needs a mark before it
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"character {at} belongs to no plain value")
        at, kind = token.end(), token.lastgroup
        if kind in ("open", "value") and ended:
            raise ValueError(f"there is no comma between two values, at character {at}")
        depth += {"open": 1, "close": -1}.get(kind or "", 0)
        if not 0 <= depth <= DEPTH:
            raise ValueError(f"brackets more than {DEPTH} deep, or closed too often")
        if kind != "blank":
            ended = kind in ("close", "value")
    try:
        return ast.literal_eval(text.strip(" "))
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"it is no value: {type(error).__name__}") from None
