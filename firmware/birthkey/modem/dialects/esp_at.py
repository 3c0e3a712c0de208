"""ESP-AT of Espressif: Wi-Fi and Ethernet modules, from AT 1.7 of the ESP8266 on."""

from birthkey._port import const
from birthkey.modem import NetworkRefused, ServerUnreachable
from birthkey.modem.at import BUSY, CLOSED, OFFLINE, READABLE, RESTARTED, number

_LINKS = const(5)
_JOIN_MS = const(30_000)  # the module itself gives up after 15 s, then DHCP
_OPEN_MS = const(30_000)
_CLOSE_MS = const(10_000)
# Gateways forget what is idle for minutes: many home routers after five.
_KEEP_ALIVE_S = const(120)

_REFUSALS = {
    1: "the connection timed out: check the signal",
    2: "wrong password",
    3: "no access point of that name: check the name, the distance and that it is 2.4 GHz",
}


def _quoted(name, text, most):
    """Quote and escape a string, so that it cannot end the command it stands in."""
    if (
        not isinstance(text, str)
        or len(text.encode()) > most
        or any(ord(c) < 0x20 or ord(c) == 0x7F for c in text)
    ):
        raise ValueError(
            "%s must be text of at most %d bytes, no control characters" % (name, most)
        )
    return '"' + "".join(["\\" + c if c in '\\",' else c for c in text]) + '"'


class Dialect:
    """ESP-AT; joins the access point `ssid`, or leaves the network alone without one.

    An idle TCP connection is kept alive by a packet of the module's every `keep_alive_s`
    seconds, 0 to 7200; 0 for none.
    """

    OPTIONS = ("ssid", "password", "keep_alive_s")
    LINE_LIMIT = 256
    LINKS = _LINKS
    SEND_MAX = 2048
    READ_MAX = 2048
    PROTOCOLS = ("TCP", "UDP")
    PROMPT = b">"
    RESET = "AT+RST"
    # Out of transparent mode: alone in 20 ms, then nothing for a second.
    ESCAPE = b"+++"
    ESCAPE_MS = 1100
    FINALS = {b"SEND OK": True, b"SEND FAIL": False, b"FAIL": False}
    CODES = (
        (b"+IPD,", READABLE, 1),
        (b"ready", RESTARTED, None),
        (b"busy ", BUSY, None),
        (b"WIFI DISCONNECT", OFFLINE, None),
        (b"+ETH_DISCONNECTED", OFFLINE, None),
    ) + tuple([(b"%d,CLOSED" % link, CLOSED, 0) for link in range(_LINKS)])
    HEADERS = (
        (b"+CIPRECVDATA:", ord(","), 1, None, None),
        (b"+CIPRECVDATA,", ord(":"), 1, None, None),  # AT 1.7, contrary to its manual
        (b"+IPD,", ord(":"), 2, 1, 2920),
    )

    def __init__(self, ssid=None, password="", keep_alive_s=_KEEP_ALIVE_S):
        if not isinstance(keep_alive_s, int) or not 0 <= keep_alive_s <= 7200:
            raise ValueError("keep_alive_s must be 0 to 7200")
        self._join = None
        self._keep_alive_s = keep_alive_s
        self.passive = False  # the modem keeps received data until they are asked for
        if ssid:
            self._ssid = ssid
            self._join = "%s,%s" % (
                _quoted("ssid", ssid, 32),
                _quoted("password", password, 64),
            )

    def bring_up(self, modem):
        # Not every firmware has all of these, or anything to do for them: a refusal is
        # no failure. Links of an earlier life of this board are closed.
        for line in ("ATE0", "AT+CIPMODE=0", "AT+CIPDINFO=0", "AT+CIPCLOSE=%d" % _LINKS):
            yield from modem.command(line)
        # The password is nothing to keep in the module's flash; AT 1.x has commands for that.
        kept = "" if (yield from modem.command("AT+SYSSTORE=0")) else "_CUR"
        yield from modem.command("AT+CWMODE%s=1" % kept)
        if self._join and not (
            yield from modem.command("AT+CWJAP%s=%s" % (kept, self._join), _JOIN_MS, NetworkRefused)
        ):
            raise NetworkRefused("Wi-Fi '%s' refused: %s." % (self._ssid, _refusal(modem)))
        if not (yield from modem.command("AT+CIPMUX=1")):
            # A module that was in transparent mode still has its one connection.
            yield from modem.command("AT+CIPCLOSE")
            if not (yield from modem.command("AT+CIPMUX=1")):
                return "AT+CIPMUX=1"
        self.passive = (yield from modem.command("AT+CIPRECVMODE=1")) or (
            yield from modem.command("AT+CIPRECVTYPE=%d,1" % _LINKS)  # since 3.3
        )
        return None

    def open(self, modem, link, protocol, host, port):
        line = 'AT+CIPSTART=%d,"%s","%s",%d' % (link, protocol, host, port)
        if protocol == "TCP":
            line += ",%d" % self._keep_alive_s
        opened = yield from modem.command(line, _OPEN_MS, ServerUnreachable)
        if not opened and b"no ip" in modem.lines:
            raise NetworkRefused(
                "The modem is in no network (no ip): it joins again at the next attempt; if it "
                "stays so, check the signal and the access point."
            )
        return opened

    def send(self, modem, link, data, timeout_ms):
        line = "AT+CIPSEND=%d,%d" % (link, len(data))
        return modem.transfer(line, data, b"SEND OK", timeout_ms)

    def read(self, modem, link, length):
        if not self.passive:
            return False
        return (yield from modem.command("AT+CIPRECVDATA=%d,%d" % (link, length)))

    def close(self, modem, link):
        return modem.command("AT+CIPCLOSE=%d" % link, _CLOSE_MS)


def _refusal(modem):
    for line in modem.lines:
        if line.startswith(b"+CWJAP"):
            return _REFUSALS.get(number(line, 1), "the connection failed")
    return "the modem gave no reason"
