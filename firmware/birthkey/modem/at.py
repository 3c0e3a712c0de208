"""The AT protocol without input and output: bytes in, events out, one call for each.

    state    what comes                            event                  next state
    idle     line ends, blanks, noise              -                      idle
    idle     the prompt, while one is expected     PROMPT                 idle
    line     the end of a header of counted data   -                      data
    line     the same, with an impossible length   VIOLATION              skip
    line     LF                                    LINE, FINAL or CODE    idle
    line     more than fits                        OVERLONG               skip
    data     any byte                              DATA                   idle after the last
    skip     LF                                    -                      idle

An event is (kind, value, detail):
    (LINE, line, None)          an information response, or what nobody knows
    (FINAL, line, success)      the final result code of a command
    (CODE, meaning, link)       an unsolicited result code; the link may be None
    (PROMPT, prompt, True)      the modem waits for data
    (DATA, memoryview, link)    counted data, in the pieces in which they came
    (OVERLONG, None, None)      a line longer than the limit was discarded
    (VIOLATION, header, None)   counted data that nobody asked for, or of no clear length

A dialect adds its tables:
    FINALS   {line: success} beside OK, ERROR, +CME ERROR and +CMS ERROR
    CODES    (start of the line, meaning, number of the link's field or None)
    HEADERS  (start, ending byte, number of the length's field, of the link's or None,
             most bytes that may come unasked, or None for what `asked` says)
where the fields of a line are what commas and colons separate, counted from 0.
"""

from birthkey._port import const

LINE = const(0)
FINAL = const(1)
CODE = const(2)
PROMPT = const(3)
DATA = const(4)
OVERLONG = const(5)
VIOLATION = const(6)

# Meanings of unsolicited codes.
READABLE = const(0)  # the modem holds data for a link
CLOSED = const(1)  # the peer closed a link
RESTARTED = const(2)  # the modem started anew and lost everything
OFFLINE = const(3)  # the network is gone, and every link with it
BUSY = const(4)  # the modem did not take what was sent last

_LF = const(10)
_COMMA = const(44)
_COLON = const(58)
_PLUS = const(43)
# A header of counted data has no more commas and colons, a sender's address included.
_SEPARATORS = const(6)
_FINALS = {b"OK": True, b"ERROR": False}
_ERRORS = (b"+CME ERROR:", b"+CMS ERROR:")


def number(line, field):
    """Give a field of a line as an int of at most 5 digits, or None."""
    start = at = 0
    while at < len(line):
        if line[at] in (_COMMA, _COLON):
            if not field:
                break
            field -= 1
            start = at + 1
        at += 1
    if field:
        return None
    digits = line[start:at].strip()
    return int(digits) if digits.isdigit() and len(digits) <= 5 else None


class Engine:
    """Takes the modem's bytes apart; holds one line at most, and never keeps data.

    Each event is a call of `take(kind, value, detail)`: what a line of noise costs is free
    again before the next.
    """

    def __init__(self, dialect, take):
        self._dialect = dialect
        self._take = take
        self._line = memoryview(bytearray(dialect.LINE_LIMIT))
        self._ends = bytes([header[1] for header in dialect.HEADERS])
        self.reset()

    def reset(self):
        """Forget everything that was begun."""
        self._length = 0
        self._ended = 0  # how often the line so far could have been a header
        self._left = 0
        self._link = None
        self._skipping = False
        self.asked = 0  # the most bytes that the running read command may bring
        self.prompt = None  # the one byte that the running command waits for

    def feed(self, data):
        """Take bytes in."""
        take = self._take
        data = memoryview(data)
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                take(DATA, piece, self._link)
                continue
            byte = data[at]
            at += 1
            if self._skipping:
                self._skipping = byte != _LF
            elif self._length == 0:
                if self.prompt and byte == self.prompt[0]:
                    prompt, self.prompt = self.prompt, None
                    take(PROMPT, prompt, True)
                elif 0x20 < byte < 0x7F:
                    self._line[0] = byte
                    self._length = 1
                    self._ended = 0
            elif byte in self._ends and self._line[0] == _PLUS and self._header(byte):
                self._length = 0
            elif byte == _LF:
                line = bytes(self._line[: self._length]).rstrip()
                self._length = 0
                self._classify(line)
            elif self._length == len(self._line):
                self._length = 0
                self._skipping = True
                take(OVERLONG, None, None)
            else:
                self._line[self._length] = byte
                self._length += 1

    def _header(self, byte):
        """If the line so far is a header of counted data, expect them; else give False."""
        # Or a line of commas would be copied as often as it has any.
        self._ended += 1
        if self._ended > _SEPARATORS:
            return False
        line = bytes(self._line[: self._length])
        for start, end, length_field, link_field, limit in self._dialect.HEADERS:
            if byte != end or not line.startswith(start):
                continue
            length = number(line, length_field)
            link = None if link_field is None else number(line, link_field)
            most = self.asked if limit is None else limit
            if length is None or length > most or (link is None and link_field is not None):
                self._skipping = byte != _LF
                self._take(VIOLATION, line, None)
                return True
            if limit is None:
                self.asked -= length
            self._left = length
            self._link = link
            return True
        return False

    def _classify(self, line):
        take = self._take
        success = self._dialect.FINALS.get(line, _FINALS.get(line))
        if success is not None:
            take(FINAL, line, success)
            return
        for start in _ERRORS:
            if line.startswith(start):
                take(FINAL, line, False)
                return
        for start, meaning, link_field in self._dialect.CODES:
            if line.startswith(start):
                link = None if link_field is None else number(line, link_field)
                if link is not None or link_field is None:
                    take(CODE, meaning, link)
                    return
        take(LINE, line, None)
