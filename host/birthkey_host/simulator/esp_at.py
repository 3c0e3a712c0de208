"""An ESP-AT Wi-Fi modem as a protocol without I/O.

Bytes of the UART and events of the network go in; a list of actions comes out: bytes for the
UART, and work for whoever owns the sockets. Answers and reports follow the ESP-AT User Guide
("Basic", "Wi-Fi" and "TCP/IP AT Commands") to the line end; where it is silent, logs of users.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from .actions import Action, Close, Join, Open, Output, Send
from .command import Parameters, Refused, parse
from .firmware import ESP_AT_3_3, Firmware
from .link import Link, Phase

# Commands that only keep numbers: the value at power on, and the range, of each number.
_SETTINGS: dict[str, list[tuple[int, int, int]]] = {
    "E": [(1, 0, 1)],
    "+UART_CUR": [(115200, 80, 5_000_000), (8, 5, 8), (1, 1, 3), (0, 0, 2), (0, 0, 3)],
    "+SLEEP": [(0, 0, 3)],
    "+SYSSTORE": [(1, 0, 1)],
    "+CWMODE": [(1, 0, 3)],
    "+CIPMODE": [(0, 0, 1)],
    "+CIPMUX": [(0, 0, 1)],
    "+CIPDINFO": [(0, 0, 0)],  # the peer's address is never shown
}


class _Mode(Enum):
    COMMAND = auto()
    PAYLOAD = auto()  # the next bytes belong to CIPSEND, whatever they look like
    BUSY = auto()  # a command waits for the network
    TRANSPARENT = auto()  # all that comes goes to the one connection, until `+++`


class Interpreter:
    """One modem. Every event returns the actions to be carried out, in their order."""

    def __init__(self, firmware: Firmware = ESP_AT_3_3) -> None:
        self.firmware = firmware
        self.flash: tuple[str, str] | None = None  # the name and the password that are kept
        self._actions: list[Action] = []
        self._links: dict[int, Link] = {}
        self._power_on()

    def _power_on(self) -> None:
        self._settings = {name: [value for value, _, _ in _SETTINGS[name]] for name in _SETTINGS}
        self._mode = _Mode.COMMAND
        self._line = bytearray()
        self._payload = bytearray()
        self._packet = bytearray()  # in transparent mode: what has come since silence
        self._wanted = 0  # bytes of payload
        self._target = 0  # the link that is being opened or sent on
        self._scolded = False  # "busy p..." was said of the line that is coming in
        self._ssid: str | None = None
        self._joining = ("", "")
        self._keeps = False  # what is being joined is to be kept in flash
        self._passive: set[int] = set()
        self._links = {}

    # Events

    def restart(self) -> list[Action]:
        """Power on, or a restart at any moment: every connection and setting is gone."""
        self._actions += [Close(number) for number in self._links]
        self._power_on()
        self._write("\r\nready\r\n")
        return self._flush()

    def feed(self, data: bytes) -> list[Action]:
        """Bytes of any content from the board."""
        consume = {
            _Mode.COMMAND: self._feed_line,
            _Mode.PAYLOAD: self._feed_payload,
            _Mode.BUSY: self._feed_busy,
            _Mode.TRANSPARENT: self._feed_transparent,
        }
        while data:
            data = consume[self._mode](data)
        return self._flush()

    def quiet(self) -> list[Action]:
        """The board has said nothing for 20 ms: a packet of transparent mode ends."""
        packet, self._packet = bytes(self._packet), bytearray()
        if self._mode is _Mode.TRANSPARENT and packet == b"+++":
            self._mode = _Mode.COMMAND
            self._line = bytearray()
        elif packet and 0 in self._links:
            self._actions.append(Send(0, packet))
        return self._flush()

    def joined(self, error: int = 0) -> list[Action]:
        """The end of a Join. error: 0, or the manual's code, 1 to 4."""
        self._mode = _Mode.COMMAND
        if error:
            self._write(f"+CWJAP:{error}\r\n\r\n{self.firmware.join_failure}\r\n")
        else:
            self._ssid, _ = self._joining
            if self._keeps:
                self.flash = self._joining
            self._write("WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n")
        return self._flush()

    def disconnected(self) -> list[Action]:
        """The access point is gone."""
        if self._mode is _Mode.BUSY and self._links:
            self._mode = _Mode.COMMAND
            if self._is_open(self._target):
                self._write("\r\nSEND FAIL\r\n")
            else:
                del self._links[self._target]
                self._actions.append(Close(self._target))
                self._error("")
        if self._mode is not _Mode.BUSY:  # joining ends by itself
            self._leave()
        return self._flush()

    def opened(self, number: int, address: str, local_port: int) -> list[Action]:
        """An Open has succeeded."""
        link = self._links[number]
        link.phase, link.address, link.local_port = Phase.OPEN, address, local_port
        self._mode = _Mode.COMMAND
        self._write(f"{self._prefix(number)}CONNECT\r\n\r\nOK\r\n")
        return self._flush()

    def failed(self, number: int, reason: str = "") -> list[Action]:
        """An Open has failed. reason: "DNS Fail", or nothing."""
        del self._links[number]
        self._mode = _Mode.COMMAND
        self._error(reason)
        if not reason:
            self._write(f"{self._prefix(number)}CLOSED\r\n")
        return self._flush()

    def sent(self, ok: bool) -> list[Action]:
        """The end of a Send."""
        if self._mode is not _Mode.BUSY:
            return self._flush()  # what transparent mode sends is not confirmed
        self._mode = _Mode.COMMAND
        self._write("\r\nSEND OK\r\n" if ok else "\r\nSEND FAIL\r\n")
        return self._flush()

    def room(self, number: int) -> int:
        """How many bytes of a connection the modem takes now; while it is 0, read none."""
        link = self._links[number]
        if link.kind == "UDP":
            return 65535  # what finds no room is lost
        if number in self._passive:
            return max(0, self.firmware.receive_buffer - link.buffered)
        return self.firmware.push_limit

    def received(self, number: int, data: bytes) -> list[Action]:
        """Bytes of a TCP connection, or one datagram."""
        link = self._links[number]
        if self._mode is _Mode.TRANSPARENT:
            self._write(data)
        elif number not in self._passive:
            self._push(number, data)
        elif link.kind == "TCP" or link.buffered + len(data) <= self.firmware.receive_buffer:
            link.put(data)
            if not link.announced:
                link.announced = True
                self._write(f"\r\n+IPD,{self._prefix(number)}{link.buffered}\r\n")
        return self._flush()

    def closed(self, number: int) -> list[Action]:
        """The peer or the network has ended a connection, or its opening."""
        link = self._links[number]
        if link.phase is Phase.OPENING:
            return self.failed(number)
        link.phase = Phase.ENDED
        if self._mode is _Mode.TRANSPARENT:  # a module tries to connect again, and says nothing
            del self._links[number]
            self._actions.append(Close(number))
        elif not link.pieces:  # otherwise CLOSED is withheld until they have been read
            if self._mode is _Mode.BUSY and self._target == number:
                self._mode = _Mode.COMMAND
                self._write("\r\nSEND FAIL\r\n")
            self._drop(number)
        return self._flush()

    # The UART

    def _feed_line(self, data: bytes) -> bytes:
        end = data.find(b"\n") + 1 or len(data)
        piece = data[:end]
        if self._settings["E"] == [1]:
            self._write(piece)
        # One byte over the limit is kept, to tell that the line is too long.
        self._line += piece[: self.firmware.line_limit + 1 - len(self._line)]
        if piece.endswith(b"\n"):
            line, self._line = bytes(self._line), bytearray()
            self._scolded = False
            self._execute(line)
        return data[end:]

    def _feed_payload(self, data: bytes) -> bytes:
        missing = self._wanted - len(self._payload)
        self._payload += data[:missing]
        if len(self._payload) == self._wanted:
            payload, self._payload = bytes(self._payload), bytearray()
            self._write(f"\r\nRecv {self._wanted} bytes\r\n")
            if self._is_open(self._target):
                self._mode = _Mode.BUSY
                self._actions.append(Send(self._target, payload))
            else:
                self._mode = _Mode.COMMAND
                self._write("\r\nSEND FAIL\r\n")
        return data[missing:]

    def _feed_busy(self, data: bytes) -> bytes:
        _, newline, rest = data.partition(b"\n")
        if not self._scolded:
            self._write("\r\nbusy p...\r\n")
        self._scolded = not newline
        return rest

    def _feed_transparent(self, data: bytes) -> bytes:
        self._packet += data
        return b""

    def _execute(self, line: bytes) -> None:
        """A handler returns what to say before OK; None: OK has been said or comes later."""
        if line == b"\r\n":
            return
        try:
            if len(line) > self.firmware.line_limit:
                raise Refused
            command = parse(line)
            name, form = command.name, command.form
            if name in ("+CWMODE_CUR", "+CWJAP_CUR"):
                if self.firmware.sysstore:
                    raise Refused
                name, keeps = name.removesuffix("_CUR"), False
            else:
                keeps = not self.firmware.sysstore or self._settings["+SYSSTORE"] == [1]
            if name == "+CWJAP" and form == "=":
                self._keeps = keeps
            if name in _SETTINGS and form and self._knows(name):
                answer = self._setting(name, form, command.parameters)
            elif (name, form) in _COMMANDS and self._knows(name):
                answer = _COMMANDS[name, form](self, command.parameters)
            else:
                raise Refused
            if answer is not None:
                self._write(f"{answer}\r\nOK\r\n")
        except Refused as refused:
            self._error(str(refused))

    def _knows(self, name: str) -> bool:
        if name == "+SYSSTORE":
            return self.firmware.sysstore
        chosen = self.firmware.receive_command
        if name in ("+CIPRECVMODE", "+CIPRECVTYPE"):
            return name == f"+{chosen}"
        return chosen is not None or name not in ("+CIPRECVDATA", "+CIPRECVLEN")

    def _write(self, data: str | bytes) -> None:
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        self._actions.append(Output(raw))

    def _error(self, reason: str) -> None:
        self._write(f"{reason}\r\n\r\nERROR\r\n" if reason else "\r\nERROR\r\n")

    def _flush(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    # Connections

    @property
    def _multiple(self) -> bool:
        return self._settings["+CIPMUX"] == [1]

    def _prefix(self, number: int) -> str:
        return f"{number}," if self._multiple else ""

    def _number(self, parameters: Parameters, *, all_too: bool = False) -> int:
        """The link that a command names; it names none while there can be only one."""
        return parameters.integer(0, self.firmware.links - (not all_too)) if self._multiple else 0

    def _is_open(self, number: int) -> bool:
        return number in self._links and self._links[number].phase is Phase.OPEN

    def _push(self, number: int, data: bytes) -> None:
        self._write(f"\r\n+IPD,{self._prefix(number)}{len(data)}:".encode() + data)

    def _drop(self, number: int) -> None:
        del self._links[number]
        self._write(f"{self._prefix(number)}CLOSED\r\n")
        self._actions.append(Close(number))

    def _leave(self) -> None:
        for number in list(self._links):
            self._drop(number)
        if self._ssid is not None:
            self._ssid = None
            self._write("WIFI DISCONNECT\r\n")

    # Commands

    def _setting(self, name: str, form: str, parameters: Parameters) -> str | None:
        if form == "?":
            return f"{name}:{','.join(map(str, self._settings[name]))}\r\n"
        values = [parameters.integer(low, high) for _, low, high in _SETTINGS[name]]
        parameters.end()
        if name == "+CIPMUX" and self._links and values != self._settings[name]:
            raise Refused("link is builded")  # sic
        # Transparent mode has one connection.
        other = {"+CIPMUX": "+CIPMODE", "+CIPMODE": "+CIPMUX"}.get(name)
        if other and values == [1] == self._settings[other]:
            raise Refused
        self._settings[name] = values
        if name == "+CWMODE" and not values[0] & 1:
            self._leave()
        return ""

    def _test(self, parameters: Parameters) -> str | None:
        return ""

    def _show_version(self, parameters: Parameters) -> str | None:
        return "".join(f"{line}\r\n" for line in self.firmware.version)

    def _reset(self, parameters: Parameters) -> str | None:
        self._write("\r\nOK\r\n")
        self._actions = self.restart()
        return None

    def _join(self, parameters: Parameters) -> str | None:
        joining = parameters.text(), parameters.text()
        if not self._settings["+CWMODE"][0] & 1:
            raise Refused
        self._leave()
        self._joining = joining
        self._mode = _Mode.BUSY
        self._actions.append(Join(*joining))
        return None

    def _show_access_point(self, parameters: Parameters) -> str | None:
        if self._ssid is None:
            return "No AP\r\n"
        return f'+CWJAP:"{self._ssid}","02:00:00:00:00:01",1,-40,0,1,3,0,1\r\n'

    def _quit(self, parameters: Parameters) -> str | None:
        self._write("\r\nOK\r\n")
        self._leave()
        return None

    def _start(self, parameters: Parameters) -> str | None:
        number = self._number(parameters)
        kind, host, port = parameters.text(), parameters.text(), parameters.integer(1, 65535)
        keep_alive = parameters.optional(0, 7200, 0) if kind == "TCP" else 0
        if kind not in ("TCP", "UDP") or not host.isascii() or not 1 <= len(host) <= 64:
            raise Refused
        if number in self._links:
            raise Refused("ALREADY CONNECTED")
        if self._ssid is None:
            raise Refused("no ip")
        self._links[number] = Link(kind, host, port)
        self._mode, self._target = _Mode.BUSY, number
        self._actions.append(Open(number, kind, host, port, keep_alive))
        return None

    def _send(self, parameters: Parameters) -> str | None:
        number = self._number(parameters)
        wanted = parameters.integer(1, self.firmware.send_limit)
        parameters.end()
        if not self._is_open(number):
            raise Refused("link is not valid")
        self._mode, self._target, self._wanted = _Mode.PAYLOAD, number, wanted
        self._write(b"\r\nOK\r\n" + self.firmware.prompt)
        return None

    def _pass_on(self, parameters: Parameters) -> str | None:
        if self._settings["+CIPMODE"] != [1] or not self._is_open(0):
            raise Refused
        self._mode = _Mode.TRANSPARENT
        self._write(b"\r\nOK\r\n" + self.firmware.prompt)
        return None

    def _close(self, parameters: Parameters) -> str | None:
        number = self._number(parameters, all_too=True)
        parameters.end()
        if number < self.firmware.links and number not in self._links:
            raise Refused
        for each in list(self._links) if number == self.firmware.links else [number]:
            self._drop(each)
        return ""

    def _set_receive(self, parameters: Parameters) -> str | None:
        everything = self.firmware.links
        if self.firmware.receive_command == "CIPRECVTYPE":
            number = self._number(parameters, all_too=True)
        else:
            number = everything
        numbers = set(range(everything)) if number == everything else {number}
        passive = parameters.integer(0, 1)
        parameters.end()
        self._passive = self._passive | numbers if passive else self._passive - numbers
        for each in self._links.keys() - self._passive:
            link = self._links[each]
            while link.pieces:
                self._push(each, link.take(self.firmware.push_limit))
            link.announced = False
            if link.phase is Phase.ENDED:
                self._drop(each)
        return ""

    def _show_receive(self, parameters: Parameters) -> str | None:
        if self.firmware.receive_command == "CIPRECVMODE":
            return f"+CIPRECVMODE:{int(bool(self._passive))}\r\n"
        numbers = range(self.firmware.links if self._multiple else 1)
        return "".join(f"+CIPRECVTYPE:{n},{int(n in self._passive)}\r\n" for n in numbers)

    def _read(self, parameters: Parameters) -> str | None:
        number = self._number(parameters)
        limit = parameters.integer(1, 0x7FFFFFFF)
        parameters.end()
        link = self._links.get(number)
        if link is None or number not in self._passive or not link.pieces:
            raise Refused
        data = link.take(limit)
        link.announced = False  # but what is left over is not announced: what comes later is
        self._write(self.firmware.data_header.format(len(data)).encode() + data + b"\r\nOK\r\n")
        if link.phase is Phase.ENDED and not link.pieces:
            self._drop(number)
        return None

    def _show_lengths(self, parameters: Parameters) -> str | None:
        links = [self._links.get(n) for n in range(self.firmware.links if self._multiple else 1)]
        return f"+CIPRECVLEN:{','.join(str(link.buffered if link else 0) for link in links)}\r\n"

    def _show_links(self, parameters: Parameters, name: str = "+CIPSTATE") -> str:
        return "".join(
            f'{name}:{n},"{link.kind}","{link.address}",{link.port},{link.local_port},0\r\n'
            for n, link in sorted(self._links.items())
            if link.phase is Phase.OPEN
        )

    def _show_status(self, parameters: Parameters) -> str | None:
        status = 5 if self._ssid is None else 3 if self._links else 2
        return f"STATUS:{status}\r\n{self._show_links(parameters, '+CIPSTATUS')}"


_COMMANDS: dict[tuple[str, str], Callable[[Interpreter, Parameters], str | None]] = {
    ("", ""): Interpreter._test,
    ("+GMR", ""): Interpreter._show_version,
    ("+RST", ""): Interpreter._reset,
    ("+CWJAP", "="): Interpreter._join,
    ("+CWJAP", "?"): Interpreter._show_access_point,
    ("+CWQAP", ""): Interpreter._quit,
    ("+CIPSTART", "="): Interpreter._start,
    ("+CIPSEND", "="): Interpreter._send,
    ("+CIPSEND", ""): Interpreter._pass_on,
    ("+CIPCLOSE", ""): Interpreter._close,
    ("+CIPCLOSE", "="): Interpreter._close,
    ("+CIPRECVTYPE", "="): Interpreter._set_receive,
    ("+CIPRECVTYPE", "?"): Interpreter._show_receive,
    ("+CIPRECVMODE", "="): Interpreter._set_receive,
    ("+CIPRECVMODE", "?"): Interpreter._show_receive,
    ("+CIPRECVDATA", "="): Interpreter._read,
    ("+CIPRECVLEN", "?"): Interpreter._show_lengths,
    ("+CIPSTATE", "?"): Interpreter._show_links,
    ("+CIPSTATUS", ""): Interpreter._show_status,
}
