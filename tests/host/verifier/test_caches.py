"""What is kept between frames, and what a frame costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from birthkey_host import signatures, verifier
from birthkey_host.message import Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.verifier import Verifier
from verifying import BACKUP, ELSEWHERE, SERVER, STORED, Registry, data, receive, refused


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a frame cost a decapsulation and a signature check."""
    counts = {"setup_receiver": 0, "verify": 0}

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any) -> Any:
            counts[name] += 1
            return real(*given)

        monkeypatch.setattr(owner, name, call)

    counted(verifier.hpke, "setup_receiver")
    counted(signatures.backend("openssl"), "verify")
    return counts


@pytest.fixture
def fast(registry: Registry) -> Verifier:
    return Verifier([SERVER], registry.get)


def test_a_context_is_set_up_once_for_a_boot(
    fast: Verifier, board: ReferenceDevice, calls: dict[str, int]
) -> None:
    for _ in range(5):
        receive(fast, board.frame(data(board)))
    assert calls == {"setup_receiver": 1, "verify": 5}
    board.start(8)
    receive(fast, board.frame(data(board)))
    assert calls == {"setup_receiver": 2, "verify": 6}


def test_a_context_is_kept_only_after_a_good_signature_of_a_known_device(
    fast: Verifier, board: ReferenceDevice, neighbour: ReferenceDevice, calls: dict[str, int]
) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    neighbour.kid = board.device_id
    for _ in range(3):
        receive(fast, stranger.frame(data(stranger)))
        receive(fast, stranger.frame(stranger.enrol("pico-w", "1.0.0")))
        assert refused(fast, neighbour.frame(data(neighbour))) == "signature"
    assert calls["setup_receiver"] == 9


def test_a_cached_context_does_not_say_who_it_is(
    server: Verifier, board: ReferenceDevice, neighbour: ReferenceDevice
) -> None:
    receive(server, board.frame(data(board)))
    neighbour.enc, neighbour._context = board.enc, board._context
    neighbour.frame_number = 1
    assert receive(server, neighbour.frame(data(neighbour))).device_id == neighbour.device_id
    neighbour.kid = board.device_id
    assert refused(server, neighbour.frame(data(neighbour))) == "signature"


def test_each_device_has_one_context_and_the_oldest_go_first(
    fast: Verifier,
    board: ReferenceDevice,
    neighbour: ReferenceDevice,
    calls: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for boot in range(8, 12):
        board.start(boot)
        receive(fast, board.frame(data(board)))
    assert len(fast._contexts._kept) == len(fast._contexts._of_device) == 1
    monkeypatch.setattr(fast._contexts, "_limit", 1)
    receive(fast, neighbour.frame(data(neighbour)))
    assert [kept[0] for kept in fast._contexts._kept.values()] == [neighbour.device_id]
    assert list(fast._contexts._of_device) == [neighbour.device_id]
    before = calls["setup_receiver"]
    receive(fast, board.frame(data(board)))
    assert calls["setup_receiver"] == before + 1


def test_the_context_that_was_used_last_is_kept(
    fast: Verifier,
    registry: Registry,
    board: ReferenceDevice,
    neighbour: ReferenceDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    third = ReferenceDevice.generate(SERVER.public)
    registry.add(third)
    monkeypatch.setattr(fast._contexts, "_limit", 2)
    for sender in (board, neighbour, board, third):
        receive(fast, sender.frame(data(sender)))
    assert [kept[0] for kept in fast._contexts._kept.values()] == [
        board.device_id,
        third.device_id,
    ]


def test_a_repeated_frame_costs_no_second_signature_check(
    fast: Verifier, board: ReferenceDevice, calls: dict[str, int]
) -> None:
    frame = board.frame(board.message(Type.STATUS, {3: True}))
    first = receive(fast, frame, now=100.0)
    again = fast.receive(frame, source="there", now=200.0)
    assert calls == {"setup_receiver": 1, "verify": 1}
    assert again == replace(first, source="there", now=200.0)
    assert board.open(again.answer(STORED)).body == {0: 7, 1: 200}


def test_what_was_refused_is_not_remembered_as_a_repetition(
    fast: Verifier, registry: Registry
) -> None:
    stranger = ReferenceDevice.generate(SERVER.public)
    frame = stranger.frame(data(stranger))
    assert receive(fast, frame).refusal is Reason.UNKNOWN_DEVICE
    registry.add(stranger)
    assert receive(fast, frame).refusal is None


def test_few_frames_are_remembered(
    fast: Verifier, board: ReferenceDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "_REPEATS", 3)
    for _ in range(10):
        receive(fast, board.frame(data(board)))
    assert len(fast._repeats) == 3


def test_what_can_be_refused_without_a_decapsulation_is(
    fast: Verifier, board: ReferenceDevice, calls: dict[str, int]
) -> None:
    elsewhere = ReferenceDevice.generate(ELSEWHERE.public)
    frame = board.frame(data(board))
    assert refused(fast, bytes(5000)) == "framing"
    assert refused(fast, frame + b"\0") == "cbor"
    assert refused(fast, b"\xd2" + frame[1:]) == "cose"
    assert refused(fast, elsewhere.frame(data(elsewhere))) == "seal"
    board.boot = 0
    assert refused(fast, board.seal(b"\0")) == "seal"
    assert calls["setup_receiver"] == 0


def test_what_can_be_refused_without_a_signature_check_is(
    fast: Verifier, board: ReferenceDevice, calls: dict[str, int]
) -> None:
    elsewhere = ReferenceDevice.generate(SERVER.public)
    for payload in (b"", b"\x83\x01\x00", b"\x01"):
        refused(fast, board.seal(board.sign(payload)))
    receive(fast, elsewhere.frame(data(elsewhere)))
    elsewhere.kid = board.device_id
    assert refused(fast, elsewhere.frame(elsewhere.enrol("pico-w", "1.0.0"))) == "signature"
    assert calls["verify"] == 0


def test_server_ids_are_those_of_the_keys() -> None:
    verifier = Verifier([SERVER, BACKUP], Registry().get)
    assert set(verifier.server_ids) == {SERVER.server_id, BACKUP.server_id}


def test_a_verifier_needs_a_key_and_a_back_end_that_exists() -> None:
    with pytest.raises(ValueError, match="at least one server key"):
        Verifier([], Registry().get)
    with pytest.raises(ValueError, match="no signature back end"):
        Verifier([SERVER], Registry().get, backend="other")
