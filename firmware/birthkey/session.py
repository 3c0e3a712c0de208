"""One boot's sealed conversation with the server: messages in, frames out, and back.

No I/O: the caller carries the bytes and tells the time in milliseconds of `ticks_ms`.
"""

from birthkey import cose, message
from birthkey._port import const, ticks_diff
from birthkey.crypto import hpke

_COMMAND_AGE = const(30000)
_TIME_AGE = const(10000)
_MAX_IN_FLIGHT = const(8)
_LAST_FRAME = const(0xFFFFFFFF)

# Not in the `except` itself: a tuple that is made when memory is short takes memory.
_TOO_LITTLE = (MemoryError, RuntimeError)


class Session:
    """HPKE contexts of this boot, one for each server key, made on first use.

    One ephemeral key and one row of frame numbers serve all of them.
    """

    def __init__(self, identity, server_keys):
        self._identity = identity
        self._server_keys = server_keys
        self._seed = identity.ephemeral_seed()
        self._peers = [None] * len(server_keys)
        self._server = 0
        self._number = 0
        self._in_flight = []

    def switch_server(self):
        """Seal to the next server key from now on, when there is more than one."""
        self._server = (self._server + 1) % len(self._server_keys)

    def seal(self, counter, encoded, now):
        """A new frame around an encoded message; each call uses a frame number up."""
        if self._number > _LAST_FRAME:
            raise RuntimeError("all frame numbers of this boot are used up: restart the board")
        peer = self._peers[self._server]
        if peer is None:
            peer = _Peer(self._server_keys[self._server], self._seed)
            self._peers[self._server] = peer
        identity = self._identity
        aad = cose.uplink_aad(peer.server_id, peer.enc, identity.boot)
        signed = identity.sign(encoded, aad)
        number = self._number
        self._number += 1
        frame = cose.sealed_frame(
            peer.context, peer.server_id, peer.enc, identity.boot, number, signed
        )
        if len(self._in_flight) == _MAX_IN_FLIGHT:
            self._in_flight.pop(0)
        iv = cose.partial_iv(identity.boot, number)
        self._in_flight.append(_InFlight(iv, counter, peer, now))
        return frame

    def open(self, frame, now):
        """(type, counter, body) of an answer.

        ValueError when it is not authentic, not to one of the last frames, the second of its
        kind, or a command over 30 s after its frame was sealed, a time over 10 s; and when heap
        or stack is too little for it. What else an answer says stays true at any age.
        """
        try:
            return self._open(frame, now)
        except _TOO_LITTLE:
            raise ValueError("an answer that memory is too little for")

    def _open(self, frame, now):
        answer = cose.Answer(frame)
        for sent in self._in_flight:
            if sent.iv == answer.partial_iv:
                break
        else:
            raise ValueError("an answer to no frame that is under way")
        encoded = answer.open(sent.peer.down_key, self._identity.device_id)
        opened = message.decode_downlink(encoded)
        kind, counter, _ = opened
        if kind == message.COMMAND:
            if not sent.answered or sent.commanded:
                raise ValueError("a command out of turn")
            _check_age(sent, now, _COMMAND_AGE)
            sent.commanded = True
        else:
            if sent.answered:
                raise ValueError("a second answer to one frame")
            if counter != sent.counter:
                raise ValueError("an answer about another message")
            if kind == message.TIME:
                _check_age(sent, now, _TIME_AGE)
            sent.answered = True
        return opened

    def age(self):
        """Take no more commands and no time in answers to what was sealed until now."""
        for sent in self._in_flight:
            sent.aged = True


def _check_age(sent, now, most):
    if sent.aged or ticks_diff(now, sent.sealed_at) > most:
        raise ValueError("a command or a time that comes too late")


class _Peer:
    """A server key, and this boot's HPKE context with it."""

    def __init__(self, server_key, seed):
        self.server_id = cose.thumbprint(server_key)[:16]
        self.enc, self.context = hpke.setup_sender(server_key, cose.hpke_info(self.server_id), seed)
        self.down_key = self.context.export(b"birthkey/1 down", 32)


class _InFlight:
    def __init__(self, iv, counter, peer, now):
        self.iv = iv
        self.counter = counter
        self.peer = peer
        self.sealed_at = now
        self.aged = False  # nobody has counted since
        self.answered = False
        self.commanded = False
