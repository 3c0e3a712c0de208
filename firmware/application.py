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

Commands (`birthkey send ID '{"led": true}'`) go to `command(body)` of `board.py`, if it has that:
what it returns or raises is the result that `birthkey show` prints.
"""

_PATIENCE_MS = 15000
_lacking = None

try:
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
        modem,
    )

    # senml asks for a module of this name; ours is on the board anyway.
    sys.modules["cbor2"] = cbor

    from senml import SenmlPack, SenmlRecord, SenmlUnits
except ImportError as error:
    _lacking = error


def _configuration():
    try:
        with open(board.CONFIG) as file:
            return json.load(file)
    except OSError:
        raise ValueError("there is no %s: the flashing command writes it" % board.CONFIG)
    except ValueError as error:
        raise ValueError("%s is not valid JSON: %s" % (board.CONFIG, error))


def _device(configuration):
    for name in ("server", "server_key", "modem"):
        if name not in configuration:
            raise ValueError('%s lacks "%s"' % (board.CONFIG, name))
    host, _, port = configuration["server"].rpartition(":")
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


def _reading():
    """A SenML pack (RFC 8428) with one temperature."""
    celsius = SenmlUnits.SENML_UNIT_DEGREES_CELSIUS
    pack = SenmlPack("")
    pack.add(SenmlRecord("temperature", unit=celsius, value=board.temperature()))
    return cbor.loads(pack.to_cbor())


def _command(body):
    print("command", body)
    return board.command(body)


def _run(device, steps):
    """Drive steps of the device to their end, and say each problem when it comes up."""
    said = device.problem
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        if device.problem != said:
            said = device.problem
            if said:
                print("%d queued; %s" % (device.queued, said))
        time.sleep_ms(1)


def _read_and_send(device, number):
    try:
        stored = _run(device, device.send_steps(_reading(), _PATIENCE_MS))
    except (KeystoreError, OutboxFull) as error:
        print("reading %d lost: %s" % (number, error))
        return
    except Refused as error:
        if error.reason in ("cloned", "revoked"):
            raise
        print("a reading is lost:", error)
        return
    print("reading %d %s" % (number, "stored" if stored else "queued"))


def _deliver():
    board.mount()
    configuration = _configuration()
    device = _device(configuration)
    if hasattr(board, "command"):
        device.on_command(_command)
    birth = ", new key" if device.born else ""
    print("device %s, boot %d%s" % (device.device_id.hex(), device.boot, birth))
    while not device.enrolled:
        _run(device, device.deliver_steps(_PATIENCE_MS))
    print("enrolled")
    number = 0
    while number != configuration.get("count"):
        number += 1
        _read_and_send(device, number)
        time.sleep(configuration.get("interval_s", 60))
    while not _run(device, device.deliver_steps(_PATIENCE_MS)):
        print("%d queued; %s" % (device.queued, device.problem))
    print("all readings stored")


def main():
    if _lacking:
        print(
            "stopped: %s: it is missing in this firmware, or not all of birthkey is on the board; "
            "`make flash` says which" % _lacking
        )
        return
    try:
        _deliver()
    except (EntropyError, KeystoreError, Refused, ValueError) as error:
        # Nothing that goes on by itself: a person has to act, and needs no traceback for it.
        print("stopped:", error)
