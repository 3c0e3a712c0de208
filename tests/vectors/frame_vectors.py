"""frames.json: what goes up, for a server that knows two devices and holds two keys."""

from __future__ import annotations

from typing import Any

import frames_refused
import messages_refused
import signed_refused
from primitives import Key, cose_key
from uplink import (
    BACKUP,
    BOOT,
    DEVICE,
    NEIGHBOUR,
    NEWCOMER,
    SERVER,
    STRANGER,
    build,
    counter,
    hexed,
)

COUNTER = counter(BOOT, 1)


def _accept(name: str, comment: str, message: Any, **given: Any) -> dict[str, Any]:
    more = {"needs_double": True} if given.pop("needs_double", False) else {}
    fields = hexed(build(message, **given))
    return {"name": name, "comment": comment, **fields, **more, "expect": "accept"}


def _enrol(device: Key, **more: Any) -> list[Any]:
    body = {1: cose_key(device.public), 2: "pico-w", 3: "1.0.0"}
    return [0, COUNTER, body | {int(label[1:]): value for label, value in more.items()}]


def _data(body: Any, at: int = COUNTER) -> list[Any]:
    return [1, at, body]


def _padded(size: int) -> list[Any]:
    """A data message of so many bytes."""
    overhead = 1 + 1 + 9 + 1 + 2 + 3
    return _data({"p": bytes(size - overhead)})


def _accepted() -> list[dict[str, Any]]:
    pack = [
        {-2: "urn:dev:mac:0024befffe804ff1:", 0: "temperature", 1: "Cel", 2: 21.5},
        {0: "humidity", 1: "%RH", 2: 48, 6: -5},
    ]
    mixed = {
        -3: None,
        0: b"\x00\xff",
        24: [1, [2, [3]]],
        "": True,
        "t": 21.5,
        "aa": {"water": "水", 1000: 2**64 - 1, -1: -(2**64)},
    }
    deep: Any = 0
    for _ in range(6):
        deep = [deep]
    last = 2**32 - 1
    return [
        _accept("data-map", "a reading", _data({"t": 21.5})),
        _accept("data-map-empty", "an empty map is a reading", _data({})),
        _accept("data-senml", "a pack of two records, RFC 8428", _data(pack)),
        _accept("data-all-types", "one value of each type, keys bytewise", _data(mixed)),
        _accept("data-double", "a float of 64 bits", _data({"t": 0.1}), needs_double=True),
        _accept("data-deepest", "eight levels: the message, the map and six", _data({1: deep})),
        _accept("data-largest", "a message of 3800 bytes", _padded(3800)),
        _accept("data-sequence-0", "the first of its boot", _data({1: 2}, counter(BOOT))),
        _accept("data-sequence-last", "the last of its boot", _data({1: 2}, counter(BOOT, last))),
        _accept("data-old-boot", "queued in boot 5, sent in boot 7", _data({1: 2}, counter(5, 12))),
        _accept("data-frame-number", "the same message in the third frame of its boot",
                _data({"t": 21.5}), number=2),
        _accept("data-other-fresh", "the same message in a boot with other random bytes",
                _data({"t": 21.5}), fresh=bytes(32)),
        _accept("data-first-boot", "boot 1, frame 0", _data({}, counter(1)), boot=1),
        _accept("data-last-boot", "the largest numbers",
                _data({}, counter(last, last)), boot=last, number=last),
        _accept("data-backup-server", "sealed to the other key of the server",
                _data({"t": 21.5}), server=BACKUP),
        _accept("data-neighbour", "from the other known device", _data({}), device=NEIGHBOUR),
        _accept("enrol", "a device that the server does not know", _enrol(NEWCOMER),
                device=NEWCOMER),
        _accept("enrol-claim", "with a claim code", _enrol(NEWCOMER, _4=bytes(range(16))),
                device=NEWCOMER),
        _accept("enrol-known", "a device that the server knows", _enrol(DEVICE)),
        _accept("enrol-long-labels", "board and firmware of 32 characters",
                _enrol(NEWCOMER, _2=" " * 32, _3="~" * 32), device=NEWCOMER),
        _accept("enrol-short-labels", "board and firmware of one character",
                _enrol(NEWCOMER, _2="b", _3="1"), device=NEWCOMER),
        _accept("status-empty", "nothing to say", [3, COUNTER, {}]),
        _accept("status-time", "asks for the time", [3, COUNTER, {3: True}]),
        _accept("status-newest", "was told of a higher boot than its own", [3, COUNTER, {1: 9}]),
        _accept("status-result", "the result of command 4", [3, COUNTER, {2: [4, {"ok": True}]}]),
        _accept("status-result-largest", "the largest command id",
                [3, COUNTER, {2: [2**64 - 1, None]}]),
        _accept("status-result-text", "a result that is text", [3, COUNTER, {2: [4, "on"]}]),
        _accept("status-result-integer", "a result that is negative", [3, COUNTER, {2: [4, -1]}]),
        _accept("status-result-bool", "a result that is false", [3, COUNTER, {2: [4, False]}]),
        _accept("status-result-512", "a result of 512 bytes",
                [3, COUNTER, {2: [4, "x" * 509]}]),
        _accept("status-result-failed", "the application failed at it",
                [3, COUNTER, {2: [4, ["failed", "ValueError: no such pin"]]}]),
        _accept("status-result-no-handler", "the application takes no commands",
                [3, COUNTER, {2: [4, ["no-handler", "no commands here"]]}]),
        _accept("status-result-unknown", "what was begun last, and nothing is known of it",
                [3, COUNTER, {2: [4, ["unknown", ""]]}]),
        _accept("status-all", "all three", [3, COUNTER, {1: last, 2: [0, 1.5], 3: True}]),
    ]  # fmt: skip


def _refused() -> list[dict[str, Any]]:
    return frames_refused.vectors() + signed_refused.vectors() + messages_refused.vectors()


def make() -> dict[str, Any]:
    return {
        "comment": "What goes up; refusals hold one fault each.",
        "servers": [SERVER.shown("server"), BACKUP.shown("backup server")],
        "known_devices": [DEVICE.shown("device"), NEIGHBOUR.shown("neighbour")],
        "unknown": [NEWCOMER.shown("newcomer"), STRANGER.shown("another server")],
        "vectors": _accepted() + _refused(),
    }
