"""replay.json: rows of frames for one server that enrols whoever asks."""

from __future__ import annotations

from typing import Any

from primitives import cose_key, fixed
from uplink import BACKUP, DEVICE, NEIGHBOUR, build, counter

STORED = {"expect": "accept", "stored": True}
REPEATED = {"expect": "accept", "stored": False}


def _refused(reason: str) -> dict[str, Any]:
    layer = "replay" if reason in ("old", "stale-boot", "cloned") else "policy"
    return {"expect": layer, "reason": reason}


def _frame(message: Any, boot: int, number: int = 0, fresh: str = "", **given: Any) -> bytes:
    """Each boot has its own fresh bytes, and so its own enc."""
    fresh_bytes = fixed(fresh or f"fresh bytes of boot {boot}")
    return build(message, boot=boot, number=number, fresh=fresh_bytes, **given)["frame"]


def _enrol(boot: int, device: Any = DEVICE, **given: Any) -> bytes:
    body = {1: cose_key(device.public), 2: "pico-w", 3: "1.0.0"}
    return _frame([0, counter(boot), body], boot, device=device, **given)


def _data(made: int, sequence: int, value: int = 0) -> list[Any]:
    return [1, counter(made, sequence), {"n": value}]


def _row(name: str, comment: str, *steps: tuple[bytes, dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "comment": comment,
        "steps": [{"frame": frame.hex(), **expected} for frame, expected in steps],
    }


def _good() -> list[dict[str, Any]]:
    one = _frame(_data(1, 1), 1, 1)
    return [
        _row(
            "stored-once",
            "one frame three times",
            (_enrol(1), STORED),
            (one, STORED),
            (one, REPEATED),
            (one, REPEATED),
        ),
        _row(
            "sealed-again",
            "one message in two frames of a boot",
            (_enrol(1), STORED),
            (one, STORED),
            (_frame(_data(1, 1), 1, 2), REPEATED),
        ),
        _row(
            "sent-again-after-reboot",
            "one message in frames of two boots",
            (_enrol(1), STORED),
            (one, STORED),
            (_frame(_data(1, 1), 2), REPEATED),
        ),
        _row(
            "any-order",
            "counters rise and fall; there is no window",
            (_enrol(1), STORED),
            (_frame(_data(9, 2**32 - 1), 9, 0), STORED),
            (_frame(_data(1, 5), 9, 1), STORED),
            (_frame(_data(9, 0), 9, 2), STORED),
            (_frame(_data(1, 4), 9, 3), STORED),
        ),
        _row(
            "two-devices",
            "each device has its own counters",
            (_enrol(1), STORED),
            (_enrol(1, NEIGHBOUR), STORED),
            (one, STORED),
            (_frame(_data(1, 1, 2), 1, 1, device=NEIGHBOUR), STORED),
            (one, REPEATED),
        ),
        _row(
            "two-server-keys",
            "one boot, sealed to both keys of the server",
            (_enrol(1), STORED),
            (one, STORED),
            (_frame(_data(1, 1), 1, 2, server=BACKUP), REPEATED),
            (_frame(_data(1, 2), 1, 3, server=BACKUP), STORED),
        ),
        _row(
            "enrol-again",
            "an enrol is kept like any message",
            (_enrol(1), STORED),
            (_enrol(1, number=1), REPEATED),
            (_enrol(2), STORED),
        ),
        _row(
            "unknown-then-enrolled",
            "a transient refusal leaves no trace",
            (one, _refused("unknown-device")),
            (_enrol(1), STORED),
            (one, STORED),
        ),
    ]


def _stale() -> list[dict[str, Any]]:
    return [
        _row(
            "stale-boot",
            "a frame of an earlier boot, late or by a thief",
            (_enrol(1), STORED),
            (_frame(_data(2, 0), 2), STORED),
            (_frame(_data(1, 1), 1, 1), _refused("stale-boot")),
        ),
        _row(
            "stale-then-sealed-again",
            "a transient refusal leaves no trace",
            (_enrol(1), STORED),
            (_frame(_data(2, 0), 2), STORED),
            (_frame(_data(1, 1), 1, 1), _refused("stale-boot")),
            (_frame(_data(1, 1), 2, 1), STORED),
        ),
        _row(
            "stale-status",
            "a status of an earlier boot that does not tell of a clone",
            (_enrol(1), STORED),
            (_frame(_data(2, 0), 2), STORED),
            (_frame([3, counter(1, 1), {3: True}], 1, 1), _refused("stale-boot")),
        ),
    ]


def _clones() -> list[dict[str, Any]]:
    return [
        _row(
            "clone-two-messages",
            "one counter, two messages",
            (_enrol(1), STORED),
            (_frame(_data(1, 1, 1), 1, 1), STORED),
            (_frame(_data(1, 1, 2), 1, 2), _refused("cloned")),
            (_frame(_data(1, 2), 1, 3), _refused("cloned")),
        ),
        _row(
            "clone-two-messages-later-boot",
            "one counter, two messages, the second after a reboot",
            (_enrol(1), STORED),
            (_frame(_data(1, 1, 1), 1, 1), STORED),
            (_frame(_data(1, 1, 2), 2), _refused("cloned")),
        ),
        _row(
            "clone-two-enc",
            "one boot, two ephemeral keys",
            (_enrol(1), STORED),
            (_frame(_data(1, 1), 1, 1), STORED),
            (_frame(_data(1, 2), 1, 2, "the copy's fresh bytes"), _refused("cloned")),
            (_frame(_data(2, 0), 2), _refused("cloned")),
        ),
        _row(
            "clone-status",
            "a board says that it was told of a boot above its own",
            (_enrol(1), STORED),
            (_frame(_data(2, 0), 2), STORED),
            (_frame([3, counter(1, 1), {1: 2}], 1, 1), _refused("cloned")),
        ),
        _row(
            "clone-neighbour",
            "the other device is not touched",
            (_enrol(1), STORED),
            (_enrol(1, NEIGHBOUR), STORED),
            (_frame(_data(1, 1, 1), 1, 1), STORED),
            (_frame(_data(1, 1, 2), 1, 2), _refused("cloned")),
            (_frame(_data(1, 1), 1, 1, device=NEIGHBOUR), STORED),
        ),
    ]


def make() -> dict[str, Any]:
    return {
        "comment": "The server of frames.json, with an empty registry and enrolment open to all.",
        "vectors": _good() + _stale() + _clones(),
    }
