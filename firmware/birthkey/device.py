"""`Device`: what an application uses. Readings go in; it signs, seals and delivers them."""

import gc
from binascii import unhexlify

from birthkey import message
from birthkey._port import Timer, arun, run, set_clock
from birthkey.conversation import Conversation
from birthkey.cose import thumbprint
from birthkey.crypto import entropy, p256
from birthkey.enrolment import Enrolment
from birthkey.identity import Identity
from birthkey.keystore import Keystore
from birthkey.modem import check_address
from birthkey.outbox import Outbox, OutboxFull, Spool
from birthkey.session import Session
from birthkey.transport.tcp import Tcp

_NO_ROOM = (MemoryError, OutboxFull)  # made here: memory may be short when one is raised
_DAMAGED = "the reading was damaged on flash before it could be sent; it stays there"
_UNTRIED = "nothing was tried: the time that the call was given was over at once"


class Device:
    """One board. Every construction takes a new boot number, kept on flash.

    `link` comes from `birthkey.modem.open`, and `server` is (host, port); or there is no
    `server`, and `link` is a transport: `birthkey.transport.serial.Serial(uart)`. With `tls`
    all that goes to the server goes through TLS, or not at all: `ca` is what its certificate
    must be signed by, PEM text or DER bytes, or two of them while the CA is changed; with
    `client_certificate` the board shows one of its birth key.
    `server_key` and the optional `backup_key` are public keys of one server, 128 hex digits;
    which of them comes first may change. `path` is
    the folder on flash that holds the identity. Readings that wait are kept in RAM, at
    most `outbox` bytes; with `spool=BYTES` they are kept on flash instead, and outlive
    reboots. There is one Device in a program for each `path`: each construction is another start
    of the board to the server, which takes two that speak in turn for a board and its copy, and
    locks both out.
    """

    def __init__(
        self,
        link,
        *,
        server_key,
        server=None,
        backup_key=None,
        board="board",
        firmware="0",
        claim=None,
        path="/birthkey.id",
        sources=None,
        personalisation=b"",
        outbox=8192,
        spool=0,
        tls=False,
        ca=None,
        client_certificate=False,
    ):
        if not server and not hasattr(link, "receive"):
            raise TypeError("server is missing: (host, port) for a modem")
        if tls and not (server and ca):
            raise ValueError("tls needs server, (host, port), and ca, which signed its certificate")
        if not tls and (ca or client_certificate):
            raise ValueError("ca and client_certificate are for tls=True, which is not there")
        if server:
            check_address(*server)
        keys = [_public_key(server_key)]
        if backup_key:
            keys.append(_public_key(backup_key))
            if keys[0] == keys[1]:
                raise ValueError("backup_key is server_key again: leave it out, or make another")
        if claim is not None:
            claim = _unhex(claim, 16, "a claim code has 32 hex digits")
        # What stays is to lie close together: else it parts the room that TLS needs in one piece.
        gc.collect()
        store = Keystore(path)
        self._identity = identity = Identity(store, sources or entropy.SOURCES, personalisation)
        gc.collect()
        server_ids = [thumbprint(key)[:16] for key in keys]
        enrolment = Enrolment(store, server_ids)
        session = Session(identity, keys)
        self._outbox = Spool(identity.boot, spool or outbox, store, server_ids)
        # What a spool that was switched off still holds is delivered all the same.
        if not spool and not len(self._outbox):
            self._outbox = Outbox(identity.boot, outbox)
        if tls:
            from birthkey.transport.tls import Tls

            link = Tls(link, ca, identity if client_certificate else None)
        self._enrolment = enrolment
        self._conversation = Conversation(
            Tcp(link, *server) if server else link,
            session,
            self._outbox,
            enrolment,
            enrolment.body(identity.public, board, firmware, claim),
            identity.boot,
            lambda: _commands(store, server_ids),
        )

    @property
    def device_id(self):
        """16 bytes: the beginning of the public key's thumbprint."""
        return self._identity.device_id

    @property
    def boot(self):
        return self._identity.boot

    @property
    def born(self):
        """True when this start made the birth key."""
        return self._identity.born

    @property
    def enrolled(self):
        return not self._enrolment.needed

    @property
    def damaged(self):
        """How many spooled readings were found damaged on flash since this start."""
        return self._outbox.damaged

    @property
    def queued(self):
        """How many readings wait for the server's acknowledgement."""
        return len(self._outbox)

    @property
    def problem(self):
        """Why the last attempt failed, in a sentence; None after a success."""
        return self._conversation.problem

    @property
    def dropped(self):
        """How many readings the server refused for good, or were meant for another server and
        removed, since this start."""
        return self._conversation.dropped

    @property
    def answers(self):
        """How many authentic answers came since this start: when it rises, the way is open."""
        return self._conversation.answers

    @property
    def unopened(self):
        """How many frames came that open with no key: noise, or somebody who tries."""
        return self._conversation.unopened

    def send(self, body, wait_ms=15000):
        """Queue a reading, a map or a SenML pack, and try for `wait_ms` to deliver it.

        True when the server has stored it, False when it is still queued: `problem` says why, and
        the next `send` or `deliver` goes on. Where there is no room, what waits is delivered
        first. Raises OutboxFull when there is none in time, ValueError for a body that cannot be
        sent, KeystoreError when flash does not take it, and Refused, also about what was sent
        before: its `counter` and `kind` tell.

        It is back within `wait_ms`, what one step takes (to compute a signature, to write to
        flash), and what a command's handler takes. Several tasks may send at once.
        """
        return run(self.send_steps(body, wait_ms))

    async def asend(self, body, wait_ms=15000):
        """`send` for asyncio."""
        return await arun(self.send_steps(body, wait_ms))

    def send_steps(self, body, wait_ms):
        """`send` as a generator that yields whenever it has to wait."""
        message.check_data(body)
        timer = Timer(wait_ms)
        conversation = self._conversation
        outcomes = conversation.outcomes
        counter = None
        try:
            conversation.begin(timer)
            item = yield from self._append(body, timer)
            counter = item.counter
            outcomes[counter] = None
            # What is said first, and what a command leads to, is waited for as well, if there
            # is time.
            yield from self._until(lambda: not self._waits(item) and conversation.quiet, timer)
            outcome = outcomes[counter]
            if outcome is None:
                if not self._waits(item):
                    conversation.problem = _DAMAGED
                return self._in_vain()
            if outcome is not True:
                raise outcome
            return outcome
        finally:
            conversation.end(timer, counter)

    def _append(self, body, timer):
        """Queue a reading, as soon as there is room for it; its item."""
        while True:
            waiting = len(self._outbox)
            try:
                return self._outbox.append(body)
            except _NO_ROOM as error:
                gc.collect()
                if not waiting or timer.left() <= 0:
                    if isinstance(error, OutboxFull):
                        raise
                    raise OutboxFull("memory ran out, and %d readings wait" % waiting)
            yield from self._until(lambda: len(self._outbox) < waiting, timer, False)  # noqa: B023

    def _waits(self, item):
        return self._conversation.outcomes[item.counter] is None and self._outbox.has(item)

    def deliver(self, wait_ms=15000):
        """Try for `wait_ms` to enrol and to deliver all that is queued; True when all is.

        Raises Refused.
        """
        return run(self.deliver_steps(wait_ms))

    async def adeliver(self, wait_ms=15000):
        """`deliver` for asyncio."""
        return await arun(self.deliver_steps(wait_ms))

    def deliver_steps(self, wait_ms):
        """`deliver` as a generator that yields whenever it has to wait."""
        timer = Timer(wait_ms)
        conversation = self._conversation
        try:
            conversation.begin(timer)
            idle = yield from self._until(lambda: conversation.idle, timer)
            self._raise_refused()
            return idle or self._in_vain()
        finally:
            conversation.end(timer)

    def on_command(self, handler):
        """Have `handler(body)` carry out commands, each once: `body` is a map of the server's.

        What it returns goes back as the result: None, a bool, a number, text or a map, of at
        most 512 bytes. So does what it raises. It runs within `send`, `deliver` and `sync_time`;
        one that restarts the board leaves the server with an outcome unknown.
        """
        self._conversation.handler = handler
        self._conversation.take_commands()

    def sync_time(self, wait_ms=15000):
        """Ask the server for the time, and set the board's clock if it has one.

        Unix seconds, which are as late as the answer was: at most 10 s; or False when none
        came in time: `problem` says why. Raises Refused.
        """
        return run(self.sync_time_steps(wait_ms))

    async def async_time(self, wait_ms=15000):
        """`sync_time` for asyncio."""
        return await arun(self.sync_time_steps(wait_ms))

    def sync_time_steps(self, wait_ms):
        """`sync_time` as a generator that yields whenever it has to wait."""
        timer = Timer(wait_ms)
        conversation = self._conversation
        before = conversation.times
        try:
            conversation.begin(timer, asks=True)
            if not (yield from self._until(lambda: conversation.times != before, timer)):
                return self._in_vain()
            set_clock(conversation.time)
            return conversation.time
        finally:
            conversation.end(timer)

    def _until(self, done, timer, refusals=True):
        """Go on with the conversation until `done()`; False when time was up before.

        With `refusals`, one that nobody waits for is raised here, so that somebody hears of it.
        """
        conversation = self._conversation
        while not done():
            if refusals:
                self._raise_refused()
            if timer.left() <= 0:
                return False
            conversation.step()
            yield
        return True

    def _raise_refused(self):
        refused, self._conversation.refused = self._conversation.refused, None
        if refused is not None:
            raise refused

    def _in_vain(self):
        """False, and `problem` says why."""
        conversation = self._conversation
        conversation.problem = conversation.problem or conversation.doing or _UNTRIED
        return False


def _commands(store, server_ids):
    from birthkey.command import Commands

    return Commands(store, server_ids)


def _public_key(text):
    key = _unhex(text, 64, "a server key has 128 hex digits, as `birthkey server-key` prints it")
    p256.check_public(key)
    return key


def _unhex(text, size, complaint):
    try:
        raw = unhexlify(text)
    except ValueError:
        raise ValueError(complaint)
    if len(raw) != size:
        raise ValueError(complaint)
    return raw
