"""The application that ships with the firmware: reads a sensor, delivers the readings.

Everything about the hardware comes from the board's `board.py`, everything about the
installation from `birthkey.json`, which the flashing command writes:

    {"server": "iot.example.com:7155", "server_key": "128 hex digits",
     "modem": {"dialect": "esp_at", "ssid": "...", "password": "..."},
     "interval_s": 60}

Optional: `claim`, `backup_key`, `spool` (bytes of flash for readings that wait; in RAM
without), and `count`, which ends the readings after so many. With `tls`, true, the server is
spoken to through TLS only: then `ca` is the PEM text that its certificate must be signed by,
and with `client_certificate`, true, the board shows one of its own.

The application goes on by itself. A reading that cannot be made is skipped and counted. What
nobody foresaw is printed and kept, and the board starts anew after a pause that grows; the next
reading tells of both, as `skipped` and `trouble`. A watchdog, where `board.py` has one, does the
same for a program that hangs. What no new start can mend (a board that was revoked or copied, a
damaged identity, a configuration that is wrong) stops it with a sentence.

Commands (`birthkey send ID '{"led": true}'`) go to `command(body)` of `board.py`, if it has that:
what it returns or raises is the result that `birthkey show` prints.
"""

_PATIENCE_MS = 15000
_UNANSWERED = 5  # calls in a row in which no answer came, before the modem's reset line is pulled
_FIRST_PAUSE_S = 10  # before the board starts anew after something that nobody foresaw
_MOST_PAUSE_S = 3600
_TROUBLE = "trouble"  # the record on flash of what that was: how often in a row, and a sentence
_SENTENCE = 100
_MOST = 31_536_000  # seconds between two readings: a year; and as many bytes, and readings
_TEXT = ((str,), "text")
_WHOLE = ((int,), "a whole number, 0 to %d" % _MOST)
_YES_OR_NO = ((bool,), "true or false")
_KINDS = {
    "server": _TEXT,
    "server_key": _TEXT,
    "backup_key": _TEXT,
    "claim": _TEXT,
    "ca": _TEXT,
    "modem": ((dict,), "settings: {...}"),
    "tls": _YES_OR_NO,
    "client_certificate": _YES_OR_NO,
    "spool": _WHOLE,
    "count": _WHOLE,
    "interval_s": ((int, float), "0 to %d seconds" % _MOST),
}
_lacking = None

try:
    import gc
    import json
    import sys
    import time

    import board
    from birthkey import (
        Device,
        EntropyError,
        KeystoreError,
        OutboxFull,
        Refused,
        __version__,
        cbor,
        message,
        modem,
    )
    from birthkey.crypto import p256

    # senml asks for a module of this name; ours is on the board anyway.
    sys.modules["cbor2"] = cbor

    from senml import SenmlPack, SenmlRecord, SenmlUnits

    # Not made when memory is short. ValueError: a reading that no message can hold.
    _LOST = (KeystoreError, OutboxFull, ValueError)
    _FOR_A_PERSON = (EntropyError, KeystoreError, TypeError, ValueError)
except ImportError as error:
    _lacking = error


def _configuration():
    try:
        with open(board.CONFIG) as file:
            settings = json.load(file)
    except OSError:
        raise ValueError("there is no %s: the flashing command writes it" % board.CONFIG)
    except ValueError as error:
        raise ValueError("%s is not valid JSON: %s" % (board.CONFIG, error))
    return _checked(settings)


def _checked(configuration):
    """The configuration, if each setting is of its kind."""
    if not isinstance(configuration, dict):
        raise ValueError("%s holds no settings: {...}" % board.CONFIG)
    for name, (kinds, what) in _KINDS.items():
        value = configuration.get(name)
        if value is None:
            configuration.pop(name, None)
        elif type(value) not in kinds or (int in kinds and not 0 <= value <= _MOST):
            raise ValueError('"%s" in %s is %s' % (name, board.CONFIG, what))
    return configuration


def _device(configuration):
    for name in ("server", "server_key", "modem"):
        if name not in configuration:
            raise ValueError('%s lacks "%s"' % (board.CONFIG, name))
    host, _, port = str(configuration["server"]).rpartition(":")
    if not host or not port.isdigit():
        raise ValueError('"server" in %s is HOST:PORT' % board.CONFIG)
    return Device(
        modem.open(board.uart(), **configuration["modem"]),
        server=(host, int(port)),
        server_key=configuration["server_key"],
        backup_key=configuration.get("backup_key"),
        board=board.NAME,
        firmware=__version__,
        claim=configuration.get("claim"),
        spool=configuration.get("spool", 0),
        tls=configuration.get("tls", False),
        ca=configuration.get("ca"),
        client_certificate=configuration.get("client_certificate", False),
        path=board.STATE,
        sources=board.ENTROPY,
        personalisation=board.UNIQUE_ID,
    )


def _keystore():
    from birthkey.keystore import Keystore

    return Keystore(board.STATE)


class _Trouble:
    """What ended earlier starts, until a reading has told the server of it."""

    def __init__(self):
        self._store = _keystore()
        try:
            record = self._store.read(_TROUBLE, 1, 1 + _SENTENCE)
        except KeystoreError:
            record = None  # a damaged note must not be what ends the next start
        self.times = record[0] if record else 0
        self.sentence = record[1:].decode() if record else None

    def keep(self, error):
        """One more; the seconds to wait before the next start."""
        times = min(self.times + 1, 255)
        self._store.write(_TROUBLE, bytes((times,)) + _printable(_told(error)).encode())
        return min(_FIRST_PAUSE_S << min(times - 1, 9), _MOST_PAUSE_S)

    def forget(self):
        if self.times:
            self._store.remove(_TROUBLE)
            self.times, self.sentence = 0, None


def _told(error):
    try:
        return "%s: %s" % (type(error).__name__, error)
    except Exception:  # even that
        return type(error).__name__


def _printable(text):
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_SENTENCE])


class _Application:
    """Reads and sends, for as long as the board has power."""

    def __init__(self, device, configuration, trouble, watchdog):
        self._device = device
        self._interval_ms = int(configuration.get("interval_s", 60) * 1000)
        self._count = configuration.get("count")
        self._trouble = trouble
        self._watchdog = watchdog
        self._skipped = 0
        self._answers = 0
        self._unanswered = 0
        self._damaged = 0

    def run(self):
        device = self._device
        while not device.enrolled:
            self._deliver()
        print("enrolled")
        number = 0
        while number != self._count:
            number += 1
            self._read_and_send(number)
            self.sleep(self._interval_ms)
        while not self._deliver():
            print("%d queued; %s" % (device.queued, device.problem))
        print("all readings stored")

    def sleep(self, milliseconds):
        """Wait, and let the watchdog know."""
        while True:
            if self._watchdog:
                self._watchdog.feed()
            if milliseconds <= 0:
                return
            time.sleep_ms(min(milliseconds, 500))
            milliseconds -= 500

    def _deliver(self):
        try:
            return self._drive(self._device.deliver_steps(_PATIENCE_MS))
        except Refused as error:
            self._refused(error)
            return False

    def _refused(self, error):
        """Say what was refused for good, and go on, unless it is the board itself."""
        if error.reason in ("cloned", "revoked"):
            raise error
        what = "a reading is lost" if error.kind == message.DATA else "what it said was refused"
        print("%s: %s" % (what, error))

    def _read_and_send(self, number):
        try:
            reading = self._reading()
        except Exception as error:  # whatever a sensor may do
            self._skipped += 1
            print("reading %d cannot be made: %s" % (number, _told(error)))
            return
        try:
            try:
                stored = self._drive(self._device.send_steps(reading, _PATIENCE_MS))
            except KeystoreError:  # flash may take it the next time
                stored = self._drive(self._device.send_steps(reading, _PATIENCE_MS))
        except _LOST as error:
            self._skipped += 1
            print("reading %d lost: %s" % (number, error))
            return
        except Refused as error:
            self._refused(error)
            return
        print("reading %d %s" % (number, "stored" if stored else "queued"))
        if stored:
            self._skipped = 0
            self._trouble.forget()

    def _reading(self):
        """A SenML pack (RFC 8428) with one temperature, and what went wrong since the last one."""
        celsius = SenmlUnits.SENML_UNIT_DEGREES_CELSIUS
        pack = SenmlPack("")
        pack.add(SenmlRecord("temperature", unit=celsius, value=board.temperature()))
        if self._skipped:
            pack.add(SenmlRecord("skipped", value=self._skipped))
        if self._trouble.sentence:
            pack.add(SenmlRecord("trouble", value=self._trouble.sentence))
        return cbor.loads(pack.to_cbor())

    def _drive(self, steps):
        """Drive steps of the device to their end, and say each problem when it comes up."""
        device = self._device
        said = device.problem
        while True:
            if self._watchdog:
                self._watchdog.feed()
            try:
                next(steps)
            except StopIteration as stop:
                self._look_after_modem()
                return stop.value
            if device.problem != said:
                said = device.problem
                if said:
                    print("%d queued; %s" % (device.queued, said))
            if device.damaged != self._damaged:
                self._damaged = device.damaged
                print("%d readings on flash are damaged, and stay there" % self._damaged)
            time.sleep_ms(1)

    def _look_after_modem(self):
        """Pull its reset line, where the board has one, when nothing has come of it for long."""
        answers, self._answers = self._answers, self._device.answers
        if answers != self._answers or (not self._device.queued and self._device.enrolled):
            self._unanswered = 0
            return
        self._unanswered += 1
        if self._unanswered % _UNANSWERED == 0 and hasattr(board, "reset_modem"):
            print("the modem is reset: %d attempts in a row came to nothing" % self._unanswered)
            try:
                board.reset_modem()
            except Exception as error:  # as of a sensor
                print("the modem cannot be reset: %s" % _told(error))


def _command(body):
    print("command", body)
    return board.command(body)


def _set_up():
    """The device, and what birthkey.json says."""
    board.mount()
    configuration = _configuration()
    device = _device(configuration)
    if hasattr(board, "command"):
        device.on_command(_command)
    birth = ", new key" if device.born else ""
    print("device %s, boot %d%s" % (device.device_id.hex(), device.boot, birth))
    return device, configuration


def _watchdog():
    """The board's, if it has one, and a signature does not take longer than it waits."""
    if not hasattr(board, "watchdog") or p256.BACKENDS == ("python",):
        return None
    return board.watchdog()


def _start_anew(error, wait):
    """After what nobody foresaw: say it, keep it, and begin again."""
    if isinstance(error, KeystoreError):
        print(error)
    else:
        sys.print_exception(error)
    gc.collect()
    try:
        pause = _Trouble().keep(error)
    except Exception as other:
        print("that cannot be kept:", _told(other))
        pause = _FIRST_PAUSE_S
    print("the board starts anew in %d s" % pause)
    wait(pause * 1000)
    if hasattr(board, "reset"):
        board.reset()
    else:
        import machine

        machine.reset()


def main():
    if _lacking:
        print(
            "stopped: %s: it is missing in this firmware, or not all of birthkey is on the board; "
            "`make flash` says which" % _lacking
        )
        return
    watchdog = None
    wait = time.sleep_ms
    try:
        try:
            device, configuration = _set_up()
        except _FOR_A_PERSON as error:
            if isinstance(error, KeystoreError) and not error.lasting:
                raise
            # Nothing that goes on by itself: a person has to act, and needs no traceback for it.
            print("stopped:", error)
            return
        watchdog = _watchdog()
        application = _Application(device, configuration, _Trouble(), watchdog)
        wait = application.sleep
        try:
            application.run()
        except Refused as error:
            print("stopped:", error)
    except Exception as error:
        _start_anew(error, wait)
    finally:
        if watchdog:
            watchdog.release()  # whoever is at the REPL now is not bitten
