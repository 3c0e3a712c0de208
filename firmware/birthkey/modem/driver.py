"""Drives a modem: owns the UART, the engine and the links.

Every wait is a generator that yields in each round and ends by a timer: drive it with
`birthkey._port.run` or `arun`, leave it for as long as you like, close it or drop it at any
step. Whatever leaves the modem in doubt (silence, a restart, data that make no sense, a command
that was dropped half-way) ends all streams, and the next `connect` rebuilds everything from the
first AT on: nothing is ever resumed in the middle.
"""

from birthkey._port import Timer, const
from birthkey.modem import (
    ModemClosed,
    ModemError,
    ModemReset,
    NoAnswer,
    SendFailed,
    ServerUnreachable,
    check_address,
)
from birthkey.modem.at import (
    BUSY,
    CLOSED,
    CODE,
    DATA,
    FINAL,
    LINE,
    OFFLINE,
    PROMPT,
    RESTARTED,
    VIOLATION,
    Engine,
)
from birthkey.modem.stream import Stream

# Not in the `except` itself: a tuple that is made when memory is short takes memory.
_OPENING = (MemoryError, ModemError)

OPTIONS = ("buffer_size",)

_COMMAND_MS = const(5000)
_WAKE_MS = const(500)
_WAKE_ATTEMPTS = const(12)
_RESET_MS = const(10_000)
_QUIET_MS = const(50)
_BUSY_MS = const(500)  # after `busy` the command may still be running: wait before repeating
_ABANDONED_MS = const(60_000)
# When time is up, what the UART holds is still looked at: its buffer is full after a pause.
_LAST_LOOKS = const(16)
_WRITE = const(128)  # bytes between two looks at the receiver, whose buffer is small
_LINES = const(8)

# A modem that was left in the middle of a frame swallows commands as data: after some
# attempts every other one feeds it, until the longest frame that it can wait for is full.
_PADDED = (3, 5, 7, 9)
_PADDING = b" " * 512 + b"\r\n"
# And one that passes everything on to a peer takes commands after this sign. Silence has to
# surround it, and an attempt's time is long enough for that.
_ESCAPED = const(3)


class Modem:
    """A modem on a UART; made by `birthkey.modem.open`."""

    def __init__(self, uart, dialect, buffer_size=2048):
        if not isinstance(buffer_size, int) or not 1 <= buffer_size <= 65536:
            raise ValueError("buffer_size must be 1 to 65536")
        self.dialect = dialect
        self.lines = []  # what the last command answered
        self._uart = uart
        self._engine = Engine(dialect, self._take)
        self._input = memoryview(bytearray(256))
        self._buffer_size = buffer_size
        self._spare = []  # receive buffers that no stream uses
        self._streams = [None] * dialect.LINKS
        self._next_link = 0
        self._reading = None  # the stream that the running read command is for
        self._up = False
        self._distrust = False  # reset the modem before using it again
        self._waking = False  # nothing that arrives counts yet
        self._restarted = False
        self._heard = self._understood = self._was_busy = False
        self._success = None  # what ends the running command well
        self._outcome = None
        self._busy = False  # the modem said so since the running command was sent
        self._busy_timer = Timer(0)
        self._failure = None  # what the running command has to raise
        self._owner = None  # the steps that use the modem now
        self._stepped = False  # they have gone on since others looked
        self._patience = Timer(0)
        self._midway = False

    @property
    def busy(self):
        """Whether some steps are in the middle of using the modem.

        Those that go no step further for a minute in which others look are given up: nobody
        tells the modem of a generator that was dropped.
        """
        if self._owner is not None:
            if self._stepped:
                self._stepped = False
                self._patience.start(_ABANDONED_MS)
            elif not self._patience.left():
                self._leave()
        return self._owner is not None

    def connect(self, host, port, protocol="TCP"):
        """Connect to a server, after bringing the network up if it is not; give the Stream.

        ValueError for a host that could be more than a name in a command, for a port
        outside 1..65535 and for an unknown protocol; ModemError when it fails.
        """
        check_address(host, port)
        if protocol not in self.dialect.PROTOCOLS:
            raise ValueError("protocol must be one of " + ", ".join(self.dialect.PROTOCOLS))
        return self._exclusive(self._connect(host, port, protocol))

    # What streams call.

    def send(self, stream, data, timeout_ms):
        """Send one piece of at most SEND_MAX bytes."""
        return self._exclusive(self._send(stream, data, timeout_ms))

    def read(self, stream):
        """Ask the modem for data that it keeps for a stream, and put them there."""
        return self._exclusive(self._read(stream))

    def close(self, stream):
        return self._exclusive(self._close(stream))

    def pump(self):
        """Take in what the UART holds; give whether there was anything."""
        length = self._uart.readinto(self._input)
        if not length:
            return False
        self._heard = True
        try:
            self._engine.feed(self._input[:length])
        except MemoryError:
            # Some of it is lost, and perhaps data of a stream.
            raise self.fail(
                ModemError("Memory ran out while the modem was heard: it is set up anew.")
            )
        return True

    # What dialects call.

    def command(self, line, timeout_ms=_COMMAND_MS, error=NoAnswer):
        """Send a command; True for OK, False if refused; `lines` is what it answered.

        No result in time: raises error, and the modem is rebuilt.
        """
        return self._exchange(line.encode() + b"\r\n", b"OK", timeout_ms, line, error)

    def transfer(self, line, data, success, timeout_ms):
        """Send a command that prompts for data, and the data; None if it did not prompt."""
        command, prompt = line.encode() + b"\r\n", self.dialect.PROMPT
        if (yield from self._exchange(command, prompt, timeout_ms, line, SendFailed)):
            return (yield from self._exchange(data, success, timeout_ms, None, SendFailed))
        return None

    def _exclusive(self, steps):
        """Run steps when nobody else uses the modem."""
        while self.busy:
            yield
        self._owner = steps
        try:
            # Not `yield from`: who was given up meanwhile must not take another step.
            while self._owner is steps:
                self._stepped = True
                try:
                    next(steps)
                except StopIteration as stop:
                    return stop.value
                yield
        finally:
            if self._owner is steps:
                self._leave()
        raise ModemClosed("Others use the modem since this was left for long: connect again.")

    def _leave(self):
        self._owner = None
        self._engine.asked = 0
        self._reading = None
        if self._midway:
            self._midway = False
            self.fail(ModemClosed("A command to the modem was abandoned half-way: connect again."))

    def fail(self, error, distrust=True):
        """End all streams with an error and start over at the next `connect`."""
        for stream in self._streams:
            if stream is not None:
                self._release(stream, error)
        self._up = False
        self._distrust = self._distrust or distrust
        self._failure = error
        return error

    def _exchange(self, data, success, timeout_ms, command=None, error=NoAnswer):
        """Write data and wait for the final result code; True if it is `success`.

        No result in time: raises error, or gives None while waking. A command (not data)
        is repeated when the modem was busy.
        """
        timer = Timer(timeout_ms)
        view, at = memoryview(data), 0
        if command:
            self.pump()  # what came before it is no answer
        self._expect(success)
        self._midway = True
        looks = _LAST_LOOKS
        while True:
            if at < len(view):
                at += self._uart.write(view[at : at + _WRITE]) or 0
            yield
            heard = self.pump()
            if self._failure is not None:
                self._midway = False
                raise self._failure
            if self._outcome is not None and at == len(view):
                self._midway = False
                return self._outcome
            if not timer.left():
                looks -= 1
                if heard and looks:
                    continue
                self._midway = False
                if self._waking:
                    return None
                what = command.split("=")[0] if command else "the data sent to it"
                raise self.fail(
                    error("The modem did not answer %s within %d ms." % (what, timeout_ms))
                )
            if command and self._busy and not self._busy_timer.left():
                at = 0
                self._expect(success)

    def _expect(self, success):
        self.lines.clear()
        self._success = success
        self._outcome = None
        self._busy = False
        self._engine.prompt = success if success == self.dialect.PROMPT else None

    def _take(self, kind, value, detail):
        if kind == DATA:
            stream = self._reading if detail is None else self._stream(detail)
            if stream is not None:
                stream.put(value)
        elif kind == LINE:
            if len(self.lines) < _LINES:
                self.lines.append(value)
        elif kind in (FINAL, PROMPT):
            self._understood = True
            # After a prompt or before one, OK alone ends nothing.
            if value == self._success or not detail:
                self._outcome = detail
        elif kind == CODE:
            self._understood = True
            self._note(value, detail)
        elif kind == VIOLATION and not self._waking:
            self.fail(
                ModemError(
                    "The modem announced data that were not asked for (%s); it is reset at the "
                    "next attempt." % _shown(value)
                )
            )

    def _note(self, meaning, link):
        """Keep what an unsolicited code says; it may come at any moment."""
        if meaning == BUSY:
            self._busy = self._was_busy = True
            self._busy_timer.start(_BUSY_MS)
        elif meaning == RESTARTED:
            self._restarted = True
            if not self._waking:
                reset = ModemReset("The modem restarted by itself: check its power supply.")
                self.fail(reset, distrust=False)
        elif meaning == OFFLINE:
            self._up = False
            for stream in self._streams:
                if stream is not None:
                    stream.fail(ModemClosed("The modem lost its network."))
        else:
            stream = self._stream(link)
            if stream is not None:
                stream.pending = True
                stream.ended = stream.ended or meaning == CLOSED

    def _stream(self, link):
        return self._streams[link] if link < len(self._streams) else None

    def _connect(self, host, port, protocol):
        for stream in self._streams:
            if stream is not None and not self._up:
                stream.fail(ModemClosed("The modem is set up anew: connect again."))
            if stream is not None and (stream.released or stream.failure is not None):
                yield from self._close(stream)
        if not self._up:
            yield from self._bring_up()
        links = len(self._streams)
        for turn in range(links):
            # In turn, so that a late code about the last connection hits no new one.
            link = (self._next_link + turn) % links
            if self._streams[link] is None:
                break
        else:
            raise ModemError("All %d connections of the modem are in use: close one." % links)
        self._next_link = link + 1
        buffer = self._spare.pop() if self._spare else memoryview(bytearray(self._buffer_size))
        stream = self._streams[link] = Stream(self, link, buffer)
        try:
            if not (yield from self.dialect.open(self, link, protocol, host, port)):
                why = "; ".join([_shown(line) for line in self.lines]) or "no reason given"
                raise ServerUnreachable(
                    "No %s connection to %s port %d (%s): check that the server runs and that the "
                    "network lets it through." % (protocol, host, port, why)
                )
        except _OPENING as error:
            # A modem that restarted unheard, or lost its network, refuses this for ever; and
            # whether it has opened the connection for which memory ran out, nobody knows.
            self._up = False
            self._release(stream, error)
            raise
        return stream

    def _bring_up(self):
        yield from self._wake()
        while True:
            if self._distrust:
                yield from self._reset()
            refused = yield from self.dialect.bring_up(self)
            if refused is None:
                break
            if self._distrust:
                raise ModemError("The modem refuses %s: is the dialect right?" % refused)
            self._distrust = True
        self._distrust = False
        self._up = True

    def _wake(self):
        """Send AT until it is answered: the first ones may meet a modem that sleeps or boots."""
        self._waking = True
        self.pump()  # what came before it is no answer: the OK of a prompt, perhaps
        self._heard = self._understood = self._was_busy = False
        self._failure = None
        self._engine.reset()
        dialect = self.dialect
        for attempt in range(_WAKE_ATTEMPTS):
            if attempt == _ESCAPED:
                yield from self._exchange(dialect.ESCAPE, b"OK", dialect.ESCAPE_MS)
            data = _PADDING if attempt in _PADDED else b"AT\r\n"
            if (yield from self._exchange(data, b"OK", _WAKE_MS)):
                break
        else:
            if self._was_busy:
                why = (
                    "The modem is busy with an earlier command and takes no other: if it stays "
                    "so, switch it off and on."
                )
            elif self._heard and not self._understood:
                why = (
                    "Bytes come from the modem, but no line makes sense: the baud rate looks "
                    "wrong, or it passes on what its peer sends (transparent mode) and does not "
                    "leave that."
                )
            elif self._heard:
                why = "The modem talks but takes no command: check the line to its RX."
            else:
                why = "No modem answers: check its power, RX and TX (crossed?) and the baud rate."
            raise NoAnswer(why)
        # The answers to earlier attempts must not be taken for those to the next command.
        quiet, most = Timer(_QUIET_MS), Timer(_WAKE_MS)
        while True:
            if self.pump() and most.left():
                quiet.start(_QUIET_MS)
            if not quiet.left():
                break
            yield
        self._waking = False

    def _reset(self):
        self._waking = True
        self._restarted = False
        yield from self._exchange(self.dialect.RESET.encode() + b"\r\n", b"OK", _WAKE_MS)
        timer = Timer(_RESET_MS)
        while True:
            self.pump()
            if self._restarted or not timer.left():
                break
            yield
        yield from self._wake()

    def _send(self, stream, data, timeout_ms):
        stream.check()
        sent = False
        if timeout_ms > 0:
            sent = yield from self.dialect.send(self, stream.link, data, timeout_ms)
        if sent is None:
            stream.fail(ModemClosed("The modem takes no data: the connection is gone."))
        elif not sent:
            stream.fail(SendFailed("The modem did not send all data in time: connect again."))
        if not sent:
            stream.check()

    def _read(self, stream):
        stream.asking()
        if stream.failure is not None:
            return
        before = stream.buffered
        most = min(stream.space, self.dialect.READ_MAX)
        self._engine.asked = most
        self._reading = stream
        yield from self.dialect.read(self, stream.link, most)
        if stream.buffered > before:
            stream.pending = True  # only an empty answer says that it was all

    def _close(self, stream):
        if self._stream(stream.link) is stream:
            try:
                if self._up and not stream.ended:
                    yield from self.dialect.close(self, stream.link)
            except ModemError:
                pass  # closed all the same: the modem is rebuilt
            self._release(stream, ModemClosed("The connection was closed here."))

    def _release(self, stream, error):
        if self._stream(stream.link) is stream:
            self._streams[stream.link] = None
            self._spare.append(stream.detach(error))


def _shown(line):
    """Give a line of the modem, of whom nothing is certain, as short plain text."""
    return "".join([chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in line[:40]])
