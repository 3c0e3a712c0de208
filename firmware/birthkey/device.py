"""`Device`: what an application uses. Readings go in; it signs, seals and delivers them."""

from binascii import unhexlify

from birthkey import message
from birthkey._port import arun, const, run, set_clock, ticks_add, ticks_diff, ticks_ms
from birthkey.cose import thumbprint
from birthkey.crypto import entropy
from birthkey.enrolment import Enrolment
from birthkey.identity import Identity
from birthkey.keystore import Keystore
from birthkey.modem import ModemError
from birthkey.outbox import Backoff, Outbox, Spool
from birthkey.session import Session
from birthkey.transport.tcp import Tcp

_ANSWER_MS = const(10000)
_FIRST_RETRY_MS = const(1000)
_MOST_RETRY_MS = const(60000)
_SILENCES_BEFORE_BACKUP = const(3)
_COMMAND_MS = const(5000)  # for a command that an acknowledgement has announced
_EARLIEST = const(1735689600)  # 2025, and 2100: a time that is not between them is none
_LATEST = const(4102444800)


class Refused(Exception):
    """The server refused a message for good; `reason` says why, and it is not queued any more."""

    def __init__(self, reason, counter):
        super().__init__(
            "the server refused message %d:%d for good, %s: %s"
            % (counter >> 32, counter & 0xFFFFFFFF, reason, message.FINAL[reason])
        )
        self.reason = reason
        self.counter = counter


class Device:
    """One board. Every construction takes a new boot number, kept on flash.

    `link` comes from `birthkey.modem.open`, and `server` is (host, port); or there is no
    `server`, and `link` is a transport: `birthkey.transport.serial.Serial(uart)`. With `tls`
    all that goes to the server goes through TLS, or not at all: `ca` is what its certificate
    must be signed by, PEM text or DER bytes, or two of them while the CA is changed; with
    `client_certificate` the board shows one of its birth key.
    `server_key` and the optional `backup_key` are public keys, 128 hex digits. `path` is
    the folder on flash that holds the identity. Readings that wait are kept in RAM, at
    most `outbox` bytes; with `spool=BYTES` they are kept on flash instead, and outlive
    reboots. `problem` says in a sentence why the last attempt failed, None after a success.
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
        keys = [_public_key(server_key)]
        if backup_key:
            keys.append(_public_key(backup_key))
        if claim is not None:
            claim = _unhex(claim, 16, "a claim code has 32 hex digits")
        self._store = store = Keystore(path)
        self._identity = Identity(store, sources or entropy.SOURCES, personalisation)
        self._server_id = server_id = thumbprint(keys[0])[:16]
        self._enrolment = Enrolment(store, server_id)
        self._session = Session(self._identity, keys)
        if spool:
            self._outbox = Spool(self._identity.boot, spool, store, server_id)
        else:
            self._outbox = Outbox(self._identity.boot, outbox)
        self._backoff = Backoff(_FIRST_RETRY_MS, _MOST_RETRY_MS)
        if tls:
            from birthkey.transport.tls import Tls

            link = Tls(link, ca, self._identity if client_certificate else None)
        self._transport = Tcp(link, *server) if server else link
        self._enrol_body = self._enrolment.body(self._identity.public, board, firmware, claim)
        self._enrol = None
        self._clone_status = None
        self._told = 0
        self._handler = None
        self._commands = None
        self._announced = False  # a command is on its way
        self._result = None  # the status that tells what came of a command
        self._question = None  # the status that asks for the time
        self._time = None
        self._silences = 0
        self._waited_ms = 0
        self.problem = None
        self.dropped = 0
        self.unopened = 0

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

    def send(self, body, wait_ms=15000):
        """Queue a reading, a map or a SenML pack, and try for `wait_ms` to deliver it.

        True when the server has stored it, False when it is still queued: `problem`
        says why, and the next `send` or `deliver` goes on. Raises OutboxFull, ValueError
        for a body that cannot be sent, and Refused.
        """
        return run(self.send_steps(body, wait_ms))

    async def asend(self, body, wait_ms=15000):
        """`send` for asyncio."""
        return await arun(self.send_steps(body, wait_ms))

    def send_steps(self, body, wait_ms):
        """`send` as a generator that yields whenever it has to wait."""
        message.check_data(body)
        self._outbox.append(body)
        # What came of a command may wait for longer than the reading.
        return (yield from self.deliver_steps(wait_ms)) or not len(self._outbox)

    def deliver(self, wait_ms=15000):
        """Try for `wait_ms` to enrol and to deliver all that is queued; True when all is."""
        return run(self.deliver_steps(wait_ms))

    async def adeliver(self, wait_ms=15000):
        """`deliver` for asyncio."""
        return await arun(self.deliver_steps(wait_ms))

    def deliver_steps(self, wait_ms):
        """`deliver` as a generator that yields whenever it has to wait."""
        return self._converse(wait_ms, False)

    def on_command(self, handler):
        """Have `handler(body)` carry out commands, each once: `body` is a map of the server's.

        What it returns goes back as the result: None, a bool, a number, text or a map, of at
        most 512 bytes. So does what it raises. It runs within `send`, `deliver` and `sync_time`;
        one that restarts the board leaves the server with an outcome unknown.
        """
        self._handler = handler
        self._take_commands()

    def _take_commands(self):
        # Without a handler nobody pays RAM for it before there is a command.
        if self._commands is None:
            from birthkey.command import Commands

            self._commands = Commands(self._store, self._server_id)
        return self._commands

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
        self._time = None
        if not (yield from self._converse(wait_ms, True)):
            return False
        set_clock(self._time)
        return self._time

    def _converse(self, wait_ms, asks):
        """Deliver all that waits; or ask for the time, and for nothing else."""
        deadline = ticks_add(ticks_ms(), wait_ms)
        try:
            while True:
                if self._commands and self._commands.waiting:
                    result = self._commands.obey(self._handler)
                    self._result = self._outbox.make(message.STATUS, {2: result})
                item = self._next(asks)
                if item is None:
                    # The one that is being carried out comes again until there is a result.
                    if asks or not self._announced or (self._commands and self._commands.running):
                        return True
                    yield from self._await_command(deadline)
                    continue
                now = ticks_ms()
                if ticks_diff(deadline, now) <= 0:
                    return False
                if not self._backoff.ready(now):
                    yield
                    continue
                try:
                    answered = yield from self._exchange(item, deadline)
                except ModemError as error:
                    self.problem = str(error)
                    answered = False
                self._question = None  # each is asked once
                if answered:
                    self._backoff.reset()
                else:
                    self._backoff.fail(ticks_ms())
        finally:
            # Ticks wrap: an age is only known while somebody counts.
            self._session.forget()
            self._announced = False

    def _next(self, asks):
        """What is to be sent now: enrolment first, then news of a clone and of a command, then
        readings; or the question for the time, until there is an answer."""
        if self._enrolment.needed:
            if self._enrol is None:
                self._enrol = self._outbox.make(message.ENROL, self._enrol_body)
            return self._enrol
        if asks:
            if self._question is None and self._time is None:
                self._question = self._outbox.make(message.STATUS, {3: True})
            return self._question
        return self._clone_status or self._result or self._outbox.oldest()

    def _exchange(self, item, deadline):
        """Send an item once; True when an answer settled it."""
        if not self._transport.connected:
            yield from self._transport.open()
        sealed = self._session.seal(item.counter, item.encoded, ticks_ms())
        yield from self._transport.send(sealed)
        began = ticks_ms()
        # Callers may wait for less than an answer takes: a server is silent when it has
        # been waited for so long in all.
        until = ticks_add(began, _ANSWER_MS - self._waited_ms)
        while True:
            now = ticks_ms()
            left = ticks_diff(until, now)
            if left <= 0:
                yield from self._silence()
                return False
            left = min(left, ticks_diff(deadline, now))
            if left <= 0:
                self._waited_ms += ticks_diff(now, began)
                self.problem = self.problem or "the server has not answered yet"
                return False
            frame = yield from self._transport.receive(left)
            if frame is None:
                continue
            opened = self._open(frame)
            if opened and opened[1] == item.counter:
                self._silences = self._waited_ms = 0
                return self._answered(item, opened[0], opened[2])

    def _open(self, frame):
        """(type, counter, body) of an answer; None for a command, which is taken, and for noise."""
        try:
            kind, counter, body = self._session.open(frame, ticks_ms())
        except ValueError:
            # Anyone on the way can send bytes: not a reason to give up on the answer.
            self.unopened += 1
            return None
        self._watch_for_clone(body[0])
        if kind != message.COMMAND:
            return kind, counter, body
        self._announced = False
        # While a result waits, the server sends its command again, or the next one too early.
        if self._result is None:
            self._take_commands().take(counter, body[1])
        return None

    def _await_command(self, deadline):
        """Take the command that an acknowledgement has announced, unless it was lost."""
        until = ticks_add(ticks_ms(), _COMMAND_MS)
        try:
            while self._announced:
                now = ticks_ms()
                left = min(ticks_diff(until, now), ticks_diff(deadline, now))
                if left <= 0:
                    break
                frame = yield from self._transport.receive(left)
                if frame is not None:
                    self._open(frame)
        except ModemError:
            pass  # the server closed the connection; it will send the command again
        self._announced = False

    def _silence(self):
        self.problem = "no answer that opens came in %d s: is the server's key the right one?" % (
            _ANSWER_MS // 1000
        )
        self._waited_ms = 0
        self._silences += 1
        if self._silences % _SILENCES_BEFORE_BACKUP == 0:
            self._session.switch_server()
        yield from self._transport.close()

    def _answered(self, item, kind, body):
        """Act on an authentic answer about `item`; True when that settles it."""
        if kind == message.ACKNOWLEDGE and item is not self._question:
            self.problem = None
            self._announced = 1 in body
            if item is self._enrol:
                self._enrolment.accepted()
            self._settle(item)
            return True
        if kind == message.TIME and item is self._question:
            if not _EARLIEST <= body[1] < _LATEST:
                self.problem = "the server's clock is wrong: it says %d" % body[1]
                return False
            self._time = body[1]
            self.problem = None
            return True
        if kind != message.REFUSE:
            self.problem = "the server's answer is of another kind than the question"
            return False
        reason = body[1]
        if reason in message.TRANSIENT:
            if reason == "unknown-device":
                self._enrolment.forgotten()
            self.problem = "%s: %s" % (reason, message.TRANSIENT[reason])
            return False
        self.problem = "%s: %s" % (reason, message.FINAL[reason])
        self._settle(item)
        self.dropped += item.kind == message.DATA
        raise Refused(reason, item.counter)

    def _settle(self, item):
        if item is self._enrol:
            self._enrol = None
        elif item is self._clone_status:
            self._clone_status = None
        elif item is self._result:
            self._result = None
        elif item.kind == message.DATA:
            self._outbox.remove(item)

    def _watch_for_clone(self, newest):
        # Only a second holder of this board's key can have booted further than it. The
        # highest boot is told: the server may have pruned what it knew of a lower one.
        if newest > max(self.boot, self._told):
            self._told = newest
            self._clone_status = self._outbox.make(message.STATUS, {1: newest})


def _public_key(text):
    return _unhex(text, 64, "a server key has 128 hex digits, as `birthkey server-key` prints it")


def _unhex(text, size, complaint):
    try:
        raw = unhexlify(text)
    except ValueError:
        raise ValueError(complaint)
    if len(raw) != size:
        raise ValueError(complaint)
    return raw
