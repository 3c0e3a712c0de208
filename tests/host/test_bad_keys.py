"""Keys whose private halves are known never become devices."""

from __future__ import annotations

import base64

import pytest

from birthkey_host import bad_keys, events
from birthkey_host.enrolment import Allowlist
from birthkey_host.keys import ServerKey
from birthkey_host.message import Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError, State
from birthkey_host.schema import Action
from recording import NOW, Server, count, data, execute, refused, state

PRIVATE = {
    "RFC 6979 A.2.5": "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
    "RFC 9679 6": "aff907c99f9ad3aae6c4cdf21122bce2bd68b5283e6907154ad911840fa208cf",
    "RFC 9052 C.7.2, 11": "57c92077664146e876760c9520d054aa93c3afb04e306705db6090308507b4d3",
    "RFC 9052 C.7.2, tuckborough": (
        "02d1f7e6f26c43d4868d87ceb2353161740aacf1f7163647984b522a848df1c3"
    ),
    "RFC 9180 A.3.1, skEm": "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
    "RFC 9180 A.3.1, skRm": "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
    "RFC 9180 A.5.1, skEm": "7550253e1147aae48839c1f8af80d2770fb7a4c763afe7d0afa7e0f42a5b3689",
    "RFC 9180 A.5.1, skRm": "a4d1c55836aa30f9b3fbb6ac98d338c877c2867dd3a77396d13f68d3ab150d3b",
    "RFC 8392 A.2.3": "6c1382765aec5358f117733d281c1c7bdc39884d04a45a1e6c67c858bc206c19",
    "RFC 7515 A.3.1": base64.urlsafe_b64decode(
        "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI="
    ).hex(),
    "RFC 7517 A.2": base64.urlsafe_b64decode("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE=").hex(),
    "RFC 5903 8.1, i": "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
    "RFC 5903 8.1, r": "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
}


@pytest.mark.parametrize("name", PRIVATE)
def test_published_key_is_refused(server: Server, server_key: ServerKey, name: str) -> None:
    board = ReferenceDevice(bytes.fromhex(PRIVATE[name]), server_key.public)
    assert bad_keys.PUBLISHED[board.thumbprint] == name.partition(",")[0]
    assert server.enrol(board) == refused(Reason.REVOKED)
    for table in ("devices", "messages", "events"):
        assert count(server.registry, table) == 0


def test_all_published_keys_are_tried_here() -> None:
    assert len(bad_keys.PUBLISHED) == len(PRIVATE)


class TestBan:
    def ban(self, registry: Registry, board: ReferenceDevice) -> object:
        return registry.ban(board.thumbprint, who="ada", why="cracked", now=NOW)

    def test_keeps_a_key_out(self, server: Server, board: ReferenceDevice) -> None:
        assert self.ban(server.registry, board) is None
        assert server.enrol(board) == refused(Reason.REVOKED)
        assert server.registry.devices() == []
        [event] = server.registry.events()
        assert (event.action, event.who) == (Action.BANNED, "ada")
        assert event.device_id == board.device_id
        assert event.why == f"{board.thumbprint.hex()}; cracked"
        [row] = server.registry.bad_keys()
        assert (row.thumbprint, row.why, row.added) == (board.thumbprint, "cracked", NOW)

    def test_approval_does_not_help(
        self, server_key: ServerKey, registry: Registry, board: ReferenceDevice
    ) -> None:
        registry.approve(board.device_id, who="ada", why="", now=NOW)
        self.ban(registry, board)
        server = Server(server_key, registry, Allowlist())
        assert server.enrol(board) == refused(Reason.REVOKED)

    def test_revokes_the_device_that_has_it(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        assert self.ban(server.registry, enrolled) is not None
        assert state(server.registry, enrolled) is State.REVOKED
        assert server(enrolled, data(enrolled)).reason is Reason.REVOKED
        actions = [row.action for row in server.registry.events(enrolled.device_id)]
        assert actions == [Action.ENROLLED, Action.BANNED, Action.REVOKED]
        events.verify(server.registry.events())

    def test_cloned_device_stays_so(self, server: Server, enrolled: ReferenceDevice) -> None:
        execute(server.registry, "UPDATE devices SET state = 'cloned'")
        self.ban(server.registry, enrolled)
        assert state(server.registry, enrolled) is State.CLONED

    def test_neighbour_is_not_touched(
        self, server: Server, enrolled: ReferenceDevice, board: ReferenceDevice
    ) -> None:
        server.registry.ban(bytes(32), who="ada", why="", now=NOW)
        assert state(server.registry, enrolled) is State.ACTIVE

    def test_key_is_listed_once(self, registry: Registry, board: ReferenceDevice) -> None:
        self.ban(registry, board)
        for thumbprint in (board.thumbprint, next(iter(bad_keys.PUBLISHED))):
            with pytest.raises(RegistryError, match="on the list already"):
                registry.ban(thumbprint, who="ada", why="", now=NOW)
