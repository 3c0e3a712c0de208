"""The evidence against a clone is checked anew, and trusts the registry in nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from birthkey_host import evidence
from birthkey_host.message import Reason, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Proof
from recording import NOW, Server, data, execute


@pytest.fixture
def twin(enrolled: ReferenceDevice) -> ReferenceDevice:
    twin = ReferenceDevice(enrolled.private, enrolled.server_public, boot=1)
    twin.sequence = 10
    return twin


def by_counter(server: Server, board: ReferenceDevice, twin: ReferenceDevice) -> None:
    message = data(board, 1)
    server(board, message)
    server(board, replace(message, body={"n": 2}), NOW + 9)


def by_boot(server: Server, board: ReferenceDevice, twin: ReferenceDevice) -> None:
    server(twin, data(twin), NOW + 9)


def by_status(server: Server, board: ReferenceDevice, twin: ReferenceDevice) -> None:
    twin.start(4)
    server(twin, data(twin))
    server(board, board.message(Type.STATUS, Status(newest=4).body()), NOW + 9)


PROVE = {Proof.COUNTER: by_counter, Proof.BOOT: by_boot, Proof.STATUS: by_status}


def case(server: Server, board: ReferenceDevice) -> evidence.Case | None:
    device = server.registry.device(board.device_id)
    assert device is not None
    return evidence.examine(device, server.registry.evidence(board.device_id))


@pytest.fixture(params=PROVE)
def proof(
    request: pytest.FixtureRequest,
    server: Server,
    enrolled: ReferenceDevice,
    twin: ReferenceDevice,
) -> Proof:
    """The device is quarantined for this."""
    PROVE[request.param](server, enrolled, twin)
    assert server(enrolled, data(enrolled)).reason is Reason.CLONED
    return request.param  # type: ignore[no-any-return]


def test_evidence_proves_it(server: Server, enrolled: ReferenceDevice, proof: Proof) -> None:
    found = case(server, enrolled)
    assert found is not None
    assert (found.proof, found.proven) == (proof, True)
    assert [each.authentic for each in found.exhibits] == [True, True]
    assert [each.row.received for each in found.exhibits] == [NOW, NOW + 9]


@pytest.mark.parametrize(("column", "place"), [("boot", 0), ("enc", 1), ("server_id", 0)])
def test_changed_row_proves_nothing(
    server: Server, enrolled: ReferenceDevice, proof: Proof, column: str, place: int
) -> None:
    change = "boot = 9" if column == "boot" else f"{column} = zeroblob(length({column}))"
    execute(server.registry, f"UPDATE evidence SET {change} WHERE place = {place}")
    found = case(server, enrolled)
    assert found is not None
    assert not found.proven
    assert [each.authentic for each in found.exhibits] == [place == 1, place == 0]


def test_frame_that_cannot_be_read_proves_nothing(
    server: Server, enrolled: ReferenceDevice, proof: Proof
) -> None:
    execute(server.registry, "UPDATE evidence SET signed_frame = x'd2' WHERE place = 0")
    found = case(server, enrolled)
    assert found is not None
    assert not found.proven
    assert found.exhibits[0].message is None


def test_frames_of_another_device_prove_nothing(
    server: Server,
    enrolled: ReferenceDevice,
    proof: Proof,
    boards: Callable[[int], list[ReferenceDevice]],
) -> None:
    [other] = boards(1)
    server.enrol(other)
    device = server.registry.device(other.device_id)
    assert device is not None
    found = evidence.examine(device, server.registry.evidence(enrolled.device_id))
    assert found is not None
    assert not found.proven


@pytest.mark.parametrize("named", Proof)
def test_authentic_frames_prove_only_what_they_show(
    server: Server, enrolled: ReferenceDevice, proof: Proof, named: Proof
) -> None:
    execute(server.registry, f"UPDATE evidence SET proof = '{named}'")
    found = case(server, enrolled)
    assert found is not None
    assert found.proven == (named is proof)


@pytest.mark.parametrize("named", Proof)
def test_one_frame_twice_proves_nothing(
    server: Server, enrolled: ReferenceDevice, twin: ReferenceDevice, named: Proof
) -> None:
    by_boot(server, enrolled, twin)
    first = server.registry.evidence(enrolled.device_id)[0]
    device = server.registry.device(enrolled.device_id)
    assert device is not None
    first.proof = named
    found = evidence.examine(device, [first, first])
    assert found is not None
    assert all(each.authentic for each in found.exhibits)
    assert not found.proven


def test_honest_device_has_none(server: Server, enrolled: ReferenceDevice) -> None:
    assert case(server, enrolled) is None
