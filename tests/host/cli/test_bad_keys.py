from __future__ import annotations

import pytest

from birthkey_host.bad_keys import PUBLISHED
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.schema import Action
from command import ADA, Command, grouped
from recording import Server


@pytest.mark.parametrize("form", ["public", "thumbprint"])
def test_add_keeps_a_key_out(
    birthkey: Command, server: Server, board: ReferenceDevice, form: str
) -> None:
    key = board.public if form == "public" else board.thumbprint
    said = birthkey("bad-key", "add", key.hex(), "--why", "cracked")
    assert said == "the key is on the list\n"
    assert server.enrol(board).reason is Reason.REVOKED
    [event] = server.registry.events()
    assert (event.action, event.who) == (Action.BANNED, ADA)
    sentence = birthkey.fails("bad-key", "add", board.public.hex())
    assert sentence == "this key is on the list already"


def test_add_revokes_the_device_and_says_so(birthkey: Command, enrolled: ReferenceDevice) -> None:
    said = birthkey("bad-key", "add", enrolled.thumbprint.hex())
    assert said.splitlines()[1] == f"{grouped(enrolled.device_id)} has it, and is revoked"


def test_list_has_the_published_and_the_added(birthkey: Command, board: ReferenceDevice) -> None:
    birthkey("bad-key", "add", board.thumbprint.hex(), "--why", "cracked\x1b[2J")
    header, *lines = birthkey("bad-key", "list").splitlines()
    assert header == "thumbprint\tadded\twhy"
    assert len(lines) == len(PUBLISHED) + 1
    assert any(line.endswith("\tpublished in RFC 6979 A.2.5") for line in lines)
    digest, added, why = lines[-1].split("\t")
    assert (digest, why) == (board.thumbprint.hex(), "cracked\\u001b[2J")
    assert added.endswith("Z")


@pytest.mark.parametrize("key", ["", "xyz", "ab" * 16, "ab" * 31])
def test_key_that_is_none(birthkey: Command, key: str) -> None:
    assert birthkey.fails("bad-key", "add", key, code=2).startswith("a public key is 128 hex")


def test_point_that_is_none(birthkey: Command) -> None:
    sentence = birthkey.fails("bad-key", "add", "ab" * 64, code=2)
    assert sentence.startswith("these 128 hex digits are not a point")
