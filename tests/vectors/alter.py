"""Ways to put one fault into a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uplink import BOOT, build, counter, hexed

MESSAGE = [1, counter(BOOT, 1), {"t": 21.5}]


def refused(
    name: str, comment: str, expect: str, *, cddl: bool = True, message: Any = None, **alter: Any
) -> dict[str, Any]:
    """Shows the inner levels only where the fault is inside."""
    built = build(MESSAGE if message is None else message, **alter)
    levels = ["signed_frame", "frame"] if alter.keys() & _SIGNED_STAGES else ["frame"]
    return {
        "name": name,
        "comment": comment,
        **hexed({level: built[level] for level in levels}),
        **({} if cddl else {"cddl": False}),
        "expect": expect,
    }


_SIGNED_STAGES = {
    "signed_header",
    "external_aad",
    "sig_structure",
    "signer",
    "signature",
    "signed_parts",
    "signed_frame",
}


def put(label: Any, value: Any) -> Callable[[dict], dict]:
    """A header with one label set."""
    return lambda header: {**header, label: value}


def drop(label: Any) -> Callable[[dict], dict]:
    """A header without one label."""
    return lambda header: {key: value for key, value in header.items() if key != label}


def at(index: int, value: Any) -> Callable[[list], list]:
    """An array with one item set."""
    return lambda parts: [*parts[:index], value, *parts[index + 1 :]]


def within(index: int, change: Callable[[Any], Any]) -> Callable[[list], list]:
    """An array with one item changed."""
    return lambda parts: [*parts[:index], change(parts[index]), *parts[index + 1 :]]
