"""Signing up with the server, once: the enrol message and the note that it was accepted."""

from birthkey import cose

_ENROLLED = "enrolled"


class Enrolment:
    """`needed` until the server has acknowledged an enrol message.

    The record on flash names the server by the id of a key of its, so that a board that is
    configured for another server signs up there. `server_ids` are those of all its keys.
    """

    def __init__(self, store, server_ids):
        self._store = store
        self._server_id = server_ids[0]
        self.needed = store.read(_ENROLLED, 16) not in server_ids

    def body(self, public, board, firmware, claim):
        """Body of an enrol message."""
        body = {1: cose.cose_key(public), 2: _label(board), 3: _label(firmware)}
        if claim is not None:
            body[4] = claim
        return body

    def accepted(self):
        if self.needed:
            self._store.write(_ENROLLED, self._server_id)
            self.needed = False

    def forgotten(self):
        """The server does not know this board (any more): sign up again."""
        self.needed = True


def _label(text):
    if not 1 <= len(text) <= 32 or not all(" " <= character <= "~" for character in text):
        raise ValueError("board and firmware are 1 to 32 printable ASCII characters")
    return text
