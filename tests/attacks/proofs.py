"""How two holders of one key are proven, as the tables say it, and how the tests check it."""

from __future__ import annotations

from attacks.stage import Stage
from birthkey_host import evidence
from birthkey_host.registry import State
from birthkey_host.schema import Proof

CLONED = {
    Proof.COUNTER: "cloned: one counter, two messages",
    Proof.BOOT: "cloned: one boot number, two enc",
    Proof.STATUS: "cloned: the holder that was overtaken says so",
}


def cloned_by(stage: Stage, device_id: bytes, proof: Proof) -> None:
    """The device is quarantined, with two frames that prove it to anyone."""
    assert stage.state(device_id) is State.CLONED
    registry = stage.server.registry
    device = registry.device(device_id)
    assert device
    case = evidence.examine(device, registry.evidence(device_id))
    assert case
    assert (case.proof, case.proven) == (proof, True)
    first, second = case.exhibits
    assert first.row.enc != second.row.enc


def not_cloned(stage: Stage, device_id: bytes) -> None:
    """The device is as active as ever."""
    assert stage.state(device_id) is State.ACTIVE
    assert stage.server.registry.evidence(device_id) == []
