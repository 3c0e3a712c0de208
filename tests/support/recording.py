"""A server without a listener: frames go into the verifier, verdicts come out of the registry."""

from __future__ import annotations

from sqlalchemy import text

from birthkey_host.enrolment import Policy
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, State
from birthkey_host.verifier import Outcome, Verdict, Verifier

NOW = 1_700_000_000.25


class Server:
    """What a listener would call."""

    def __init__(self, key: ServerKey, registry: Registry, policy: Policy) -> None:
        self.verifier = Verifier([key], registry.lookup)
        self.registry = registry
        self.policy = policy

    def receive(self, frame: bytes) -> Outcome:
        return self.verifier.receive(frame, source="test", now=NOW)

    def record(self, outcome: Outcome, now: float = NOW) -> Verdict:
        return self.registry.record(outcome, policy=self.policy, now=now)

    def __call__(self, board: ReferenceDevice, message: Message, now: float = NOW) -> Verdict:
        return self.record(self.receive(board.frame(message)), now)

    def enrol(self, board: ReferenceDevice) -> Verdict:
        return self(board, board.enrol("pico", "1.0"))


def data(board: ReferenceDevice, value: int = 0) -> Message:
    return board.message(Type.DATA, {"n": value})


def stored(newest: int) -> Verdict:
    return Verdict(reason=None, newest=newest, stored=True)


def repeated(newest: int) -> Verdict:
    return Verdict(reason=None, newest=newest, stored=False)


def refused(reason: Reason, newest: int = 0) -> Verdict:
    return Verdict(reason=reason, newest=newest, stored=False)


def count(registry: Registry, table: str) -> int:
    with registry._engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def counted(registry: Registry, board: ReferenceDevice) -> int:
    """The bytes that a device's row says are kept of it."""
    device = registry.device(board.device_id)
    assert device is not None
    return device.size


def kept(registry: Registry, board: ReferenceDevice) -> int:
    """The bytes that are kept of it, added up from its rows."""
    total = 0
    for rows in (
        "256 + length(signed_frame) + length(message)) FROM messages",
        "256 + length(signed_frame)) FROM boots",
        "100) FROM floors",
    ):
        with registry._engine.connect() as connection:
            found = connection.execute(
                text(f"SELECT sum({rows} WHERE device_id = :id"), {"id": board.device_id}
            )
            total += found.scalar_one() or 0
    return total


def execute(registry: Registry, statement: str) -> None:
    with registry._engine.begin() as connection:
        connection.execute(text(statement))


def state(registry: Registry, board: ReferenceDevice) -> State:
    device = registry.device(board.device_id)
    assert device is not None
    return device.state
