"""The board's one conversation with its server: what is said next, and what an answer settles.

No call owns it. A call goes on with it until what the call waits for is there, or its time is
up, and then leaves it where it is: in the middle of a connection that is being made, of an answer
that has not come. The next call goes on there, a millisecond or a week later. So whoever waits for
less than an answer takes gets on all the same, and several tasks wait side by side.
"""

import gc

from birthkey import message
from birthkey._port import Timer, const, ticks_ms
from birthkey.keystore import KeystoreError
from birthkey.modem import ModemError
from birthkey.outbox import Backoff

_ANSWER_MS = const(10000)
_COMMAND_MS = const(5000)  # for a command that an acknowledgement has announced
_FIRST_RETRY_MS = const(1000)
_MOST_RETRY_MS = const(60000)
_SILENCES_BEFORE_BACKUP = const(3)
_LOOK_MS = const(100)  # how long is listened before it is looked whether there is still a reason
_OTHERS = const(8)  # readings for other servers that are removed in one step
_EARLIEST = const(1735689600)  # 2025, and 2100: a time that is not between them is none
_LATEST = const(4102444800)

# Not in the `except` itself: a tuple that is made when memory is short takes memory.
_FAILED = (ModemError, KeystoreError)

_CONNECTING = "the server was not reached yet: connecting takes longer than this call waited"
_WAITING = "the server has not answered yet"
_AWAITING = "the server announced a command, which has not come yet"
_PAUSING = "the last attempt failed, and the next one comes after a pause"


class Refused(Exception):
    """The server refused a message for good; `reason` says why, and it is not queued any more.

    `kind` tells what it was, `message.DATA` for a reading; `counter` which one.
    """

    def __init__(self, reason, kind, counter):
        super().__init__(
            "the server refused message %d:%d for good, %s: %s"
            % (counter >> 32, counter & 0xFFFFFFFF, reason, message.FINAL[reason])
        )
        self.reason = reason
        self.kind = kind
        self.counter = counter


class Conversation:
    """What is sent: enrolment first, then the question for the time, news of a clone, what came
    of a command, readings. One message at a time, until an answer settles it.

    `problem` says why the last attempt failed, None after a success; `doing` what is waited for.
    """

    def __init__(self, transport, session, outbox, enrolment, enrol_body, boot, make_commands):
        self._transport = transport
        self._session = session
        self._outbox = outbox
        self._enrolment = enrolment
        self._enrol_body = enrol_body
        self._boot = boot
        self._make_commands = make_commands
        self._backoff = Backoff(_FIRST_RETRY_MS, _MOST_RETRY_MS)
        self._steps = None
        self._clearing = True  # as long as flash lets what was meant for other servers be removed
        self._broken = False  # a frame may have been cut short: the connection is not to be used
        # The calls that wait for readings to be delivered, and for the time.
        self._delivering = {}
        self._asking = {}
        # Messages that may wait beside the readings.
        self._enrol = None
        self._clone_status = None
        self._result = None  # tells what came of a command
        self._question = None  # asks for the time
        self._told = 0
        self._silences = 0
        self._announced = False  # a command is on its way
        self.commands = None
        self.handler = None
        self.times = 0  # how often it was told
        self.time = None
        self.outcomes = {}  # of the readings that calls wait for: None, True or a Refused
        self.refused = None  # what nobody waits for
        self.problem = None
        self.doing = None
        self.dropped = 0
        self.answers = 0
        self.unopened = 0

    def begin(self, call, asks=False):
        """A call begins, known by the object `call`: it has readings delivered, or asks for the
        time. `end` is called when it ends, however it ends, also when this was interrupted.
        """
        if not self._delivering and not self._asking:
            # Nobody counted since the last one ended, and ticks wrap: how old a question is, a
            # command, or an answer that brings either, cannot be told any more. The server sends
            # its command again. That a reading is stored stays true at any age.
            self._session.age()
            self._announced = False
            self._question = None
            if self.commands:
                self.commands.forget()
        calls = self._asking if asks else self._delivering
        calls[call] = None

    def end(self, call, counter=None):
        """A call has ended, and waits for the reading of that counter no more."""
        self.outcomes.pop(counter, None)
        self._delivering.pop(call, None)
        self._asking.pop(call, None)
        if not self._asking:
            self._question = None

    @property
    def quiet(self):
        """Whether no command is on its way, waits, or has a result that was not delivered."""
        return self._result is None and not self._coming and not self._taken

    @property
    def _coming(self):
        # The one that is being carried out comes again until there is a result.
        return self._announced and not (self.commands and self.commands.running)

    @property
    def _taken(self):
        return self.commands is not None and self.commands.waiting

    @property
    def idle(self):
        """Whether all that there was to say is said and answered."""
        return (
            self.quiet
            and not self._enrolment.needed
            and self._clone_status is None
            and not len(self._outbox)
        )

    def step(self):
        """Go on, up to the next place where there is something to wait for.

        Raises what a command's handler raises that is no Exception, and RuntimeError when this
        boot's numbers are used up.
        """
        if self._taken:
            # Not within the steps below: a handler may send, and so go on with them itself.
            try:
                result = self.commands.obey(self.handler)
                self._result = self._outbox.make(message.STATUS, {2: result})
            except MemoryError:
                self._lacks_memory(None)  # flash holds the result, for when the server asks again
            return
        steps, self._steps = self._steps or self._converse(), None
        next(steps)
        self._steps = steps  # what was interrupted is not gone on with, but begun anew

    def take_commands(self):
        # Without a handler nobody pays RAM for it before there is a command.
        if self.commands is None:
            self.commands = self._make_commands()
        return self.commands

    def _converse(self):
        while True:
            item = None
            try:
                if self._broken:
                    yield from self._transport.close()
                    self._broken = False
                if self._clearing and self._outbox.others and not self._enrolment.needed:
                    yield from self._clear()
                item = self._next()
                if item is None:
                    if self._coming:
                        yield from self._await_command()
                    yield
                    continue
                if not self._backoff.ready():
                    self.doing = _PAUSING
                    yield
                    continue
                answered = yield from self._exchange(item)
            except _FAILED as error:
                self.problem = str(error)
                answered = False
            except MemoryError:
                answered = False
                self._lacks_memory(item)
            self.doing = None
            if item is self._question:
                self._question = None  # each is asked once
            if answered:
                self._backoff.reset()
            elif answered is False:
                self._backoff.fail()
            yield  # what comes next depends on whether anybody still waits for it

    def _clear(self):
        """Remove readings that are meant for a server that this board has left for this one."""
        try:
            self.dropped += self._outbox.remove_others(_OTHERS)
        except KeystoreError:
            self._clearing = False  # until the next start: what waits here goes before
        yield

    def _next(self):
        """What is to be sent now, None for nothing."""
        if self._enrolment.needed:
            if self._enrol is None:
                self._enrol = self._outbox.make(message.ENROL, self._enrol_body)
            return self._enrol
        if self._asking:
            if self._question is None:
                self._question = self._outbox.make(message.STATUS, {3: True})
            return self._question
        if not self._delivering:
            return None
        return self._clone_status or self._result or self._outbox.oldest()

    def _wanted(self, item):
        """Whether there is still a reason to say it."""
        if item.kind == message.STATUS:
            return item in (self._question, self._clone_status, self._result)
        return True

    def _exchange(self, item):
        """Send an item once; True when an answer settled it, False when none did, None when the
        item is not wanted any more."""
        if not self._transport.connected:
            self.doing = _CONNECTING
            yield from self._transport.open()
            if not self._wanted(item):
                return None
        frame = self._session.seal(item.counter, item.encoded, ticks_ms())
        self.doing = _WAITING
        self._broken = True
        yield from self._transport.send(frame)
        self._broken = False
        frame = None
        silence = Timer(_ANSWER_MS)
        while self._wanted(item):
            left = silence.left()
            frame = yield from self._transport.receive(min(max(left, 0), _LOOK_MS))
            if frame is not None:
                settled = self._take(frame, item)
                if settled is not None:
                    return settled
                yield  # whoever sends without end holds up nobody else
            if left <= 0:
                yield from self._silence()
                return False
        return None

    def _take(self, frame, item=None):
        """Act on a frame that has come. What became of the item: True when that settled it, False
        when it must be sent again, None when the frame said nothing of it."""
        try:
            kind, counter, body = self._session.open(frame, ticks_ms())
        except ValueError:
            # Anyone on the way can send bytes: not a reason to give up on the answer.
            self.unopened += 1
            return None
        self.answers += 1
        self._watch_for_clone(body[0])
        if kind == message.COMMAND:
            self._announced = False
            # While a result waits, the server sends its command again, or the next one too early.
            if self._result is None:
                self.take_commands().take(counter, body[1])
            return None
        self._silences = 0
        if item is None or counter != item.counter:
            # It comes late: of what was said before, only that it is settled for good counts.
            self._answered_late(kind, counter, body)
            return None
        return self._answered(item, kind, body)

    def _answered(self, item, kind, body):
        """Act on an authentic answer about `item`; True when that settles it."""
        if kind == message.ACKNOWLEDGE and item is not self._question:
            self.problem = None
            self._announced = 1 in body
            if item is self._enrol:
                self._enrolment.accepted()
            self._settle(item, True)
            return True
        if kind == message.TIME and item is self._question:
            if not _EARLIEST <= body[1] < _LATEST:
                self.problem = "the server's clock is wrong: it says %d" % body[1]
                return False
            self.time = body[1]
            self.times += 1
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
        self._refuse(item, reason)
        return True

    def _answered_late(self, kind, counter, body):
        item = self._outbox.waiting(counter)
        if item is None:
            return
        if kind == message.ACKNOWLEDGE:
            self._settle(item, True)
        elif kind == message.REFUSE and body[1] in message.FINAL:
            self._refuse(item, body[1])

    def _refuse(self, item, reason):
        refused = Refused(reason, item.kind, item.counter)
        self._settle(item, refused)  # flash may fail here: then it is sent and refused again
        self.dropped += item.kind == message.DATA
        if item.counter not in self.outcomes:
            self.refused = refused

    def _settle(self, item, outcome):
        if item.counter in self.outcomes:
            self.outcomes[item.counter] = outcome
        if item is self._enrol:
            self._enrol = None
        elif item is self._clone_status:
            self._clone_status = None
        elif item is self._result:
            self._result = None
        elif item.kind == message.DATA:
            self._outbox.remove(item)

    def _await_command(self):
        """Take the command that an acknowledgement has announced, unless it was lost; when there
        is something to say, it is taken with the answer to that."""
        timer = Timer(_COMMAND_MS)
        self.doing = _AWAITING
        try:
            while self._coming and self._next() is None:
                left = timer.left()
                frame = yield from self._transport.receive(min(max(left, 0), _LOOK_MS))
                if frame is not None:
                    self._take(frame)
                    yield
                if left <= 0:
                    self._announced = False
        except ModemError:
            self._announced = False  # the connection is over; the server sends it again
        self.doing = None

    def _silence(self):
        self.problem = "no answer that opens came in %d s: is the server's key the right one?" % (
            _ANSWER_MS // 1000
        )
        self._silences += 1
        # Which of two keys the server has when it is back, nobody knows: then they take turns.
        if self._silences >= _SILENCES_BEFORE_BACKUP:
            self._session.switch_server()
        yield from self._transport.close()

    def _lacks_memory(self, item):
        self.problem = "memory ran out: the board tries again, after what waits behind"
        if item is not None and item.kind == message.DATA:
            self._outbox.postpone(item)
        gc.collect()

    def _watch_for_clone(self, newest):
        # Only a second holder of this board's key can have booted further than it. The
        # highest boot is told: the server may have pruned what it knew of a lower one.
        if newest > max(self._boot, self._told):
            self._told = newest
            self._clone_status = self._outbox.make(message.STATUS, {1: newest})
