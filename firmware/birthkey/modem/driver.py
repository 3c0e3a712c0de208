"""Drives a modem: owns the UART, the engine and the links.

Every wait is a generator that yields when there is nothing to do and ends by a deadline:
drive it with `birthkey._port.run` or `arun`. Whatever leaves the modem in doubt (silence,
a restart, data that make no sense) ends all streams, and the next `connect` rebuilds
everything from the first AT on: nothing is ever resumed in the middle.
"""

from birthkey._port import const, ticks_add, ticks_diff, ticks_ms
from birthkey.modem import (
    ModemClosed,
    ModemError,
    ModemReset,
    NoAnswer,
    SendFailed,
    ServerUnreachable,
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

OPTIONS = ("buffer_size",)

_COMMAND_MS = const(5000)
_WAKE_MS = const(500)
_WAKE_ATTEMPTS = const(12)
_RESET_MS = const(10_000)
_QUIET_MS = const(50)
_BUSY_MS = const(500)  # after `busy` the command may still be running: wait before repeating
_ABANDONED_MS = const(60_000)
_WRITE = const(128)  # bytes between two looks at the receiver, whose buffer is small
_LINES = const(8)

# A modem that was left in the middle of a frame swallows commands as data: after some
# attempts every other one feeds it, until the longest frame that it can wait for is full.
_PADDED = (3, 5, 7, 9)
_PADDING = b" " * 512 + b"\r\n"


class Modem:
    """A modem on a UART; made by `birthkey.modem.open`."""

    def __init__(self, uart, dialect, buffer_size=2048):
        self.dialect = dialect
        self.lines = []  # what the last command answered
        self._uart = uart
        self._engine = Engine(dialect)
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
        self._heard = self._understood = False
        self._success = None  # what ends the running command well
        self._outcome = None
        self._busy_at = None
        self._failure = None  # what the running command has to raise
        self._owner = None  # the steps that use the modem now
        self._stepped = 0
        self._midway = False

    @property
    def busy(self):
        """Whether some steps are in the middle of using the modem."""
        return self._owner is not None

    def connect(self, host, port, protocol="TCP"):
        """Connect to a server, after bringing the network up if it is not; give the Stream.

        ValueError for a host that could be more than a name in a command, for a port
        outside 1..65535 and for an unknown protocol; ModemError when it fails.
        """
        if not 0 < len(host) <= 253 or any(not "!" <= c <= "~" or c in '"\\,' for c in host):
            raise ValueError(
                'host must be 1 to 253 printable ASCII characters, no space, " , or \\'
            )
        if not isinstance(port, int) or not 0 < port < 65536:
            raise ValueError("port must be 1 to 65535")
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
        for kind, value, detail in self._engine.feed(self._input[:length]):
            self._take(kind, value, detail)
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
        while self._owner is not None:
            if ticks_diff(ticks_ms(), self._stepped) > _ABANDONED_MS:
                self._leave()
            yield
        self._owner = steps
        self._stepped = ticks_ms()
        try:
            return (yield from steps)
        finally:
            if self._owner is steps:
                self._leave()

    def _leave(self):
        self._owner = None
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
        deadline = ticks_add(ticks_ms(), timeout_ms)
        view, at = memoryview(data), 0
        if command:
            self.pump()  # what came before it is no answer
        self._expect(success)
        self._midway = True
        while True:
            if at < len(view):
                at += self._uart.write(view[at : at + _WRITE]) or 0
            self.pump()
            now = self._stepped = ticks_ms()
            if self._failure is not None:
                self._midway = False
                raise self._failure
            if self._outcome is not None and at == len(view):
                self._midway = False
                return self._outcome
            if ticks_diff(deadline, now) <= 0:
                self._midway = False
                if self._waking:
                    return None
                what = command.split("=")[0] if command else "the data sent to it"
                raise self.fail(
                    error("The modem did not answer %s within %d ms." % (what, timeout_ms))
                )
            busy_at = self._busy_at
            if command and busy_at is not None and ticks_diff(now, busy_at) >= _BUSY_MS:
                at = 0
                self._expect(success)
            yield

    def _expect(self, success):
        self.lines.clear()
        self._success = success
        self._outcome = None
        self._busy_at = None
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
            self._busy_at = ticks_ms()
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
        if not (yield from self.dialect.open(self, link, protocol, host, port)):
            why = "; ".join([_shown(line) for line in self.lines]) or "no reason given"
            error = ServerUnreachable(
                "No %s connection to %s port %d (%s): check that the server runs and that the "
                "network lets it through." % (protocol, host, port, why)
            )
            self._release(stream, error)
            raise error
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
        self._heard = self._understood = False
        self._failure = None
        self._engine.reset()
        for attempt in range(_WAKE_ATTEMPTS):
            data = _PADDING if attempt in _PADDED else b"AT\r\n"
            if (yield from self._exchange(data, b"OK", _WAKE_MS)):
                break
        else:
            if self._heard and not self._understood:
                why = (
                    "Bytes come from the modem, but no line makes sense: the baud rate looks wrong."
                )
            elif self._heard:
                why = "The modem talks but takes no command: check the line to its RX."
            else:
                why = "No modem answers: check its power, RX and TX (crossed?) and the baud rate."
            raise NoAnswer(why)
        # The answers to earlier attempts must not be taken for those to the next command.
        began = quiet = ticks_ms()
        while ticks_diff(ticks_ms(), quiet) < _QUIET_MS:
            if self.pump() and ticks_diff(ticks_ms(), began) < _WAKE_MS:
                quiet = ticks_ms()
            yield
        self._waking = False

    def _reset(self):
        self._waking = True
        self._restarted = False
        yield from self._exchange(self.dialect.RESET.encode() + b"\r\n", b"OK", _WAKE_MS)
        deadline = ticks_add(ticks_ms(), _RESET_MS)
        while not self._restarted and ticks_diff(deadline, ticks_ms()) > 0:
            self.pump()
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
        try:
            yield from self.dialect.read(self, stream.link, most)
        finally:
            self._engine.asked = 0
            self._reading = None
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
