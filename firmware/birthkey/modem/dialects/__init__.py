"""The AT dialects: a module each, with a class `Dialect` of tables and a few steps.

Tables: `OPTIONS` (names of the constructor's arguments), `LINE_LIMIT` (bytes), `LINKS`
(connections at once), `SEND_MAX` and `READ_MAX` (bytes a command), `PROTOCOLS`,
`PROMPT`, `RESET`, `ESCAPE` and `ESCAPE_MS` (what ends transparent mode, and the silence
after it), `FINALS`, `CODES` and `HEADERS` (see `birthkey.modem.at`).
Steps, generators that talk through the Modem that they are given: `bring_up` (gives the
command that was refused, or None), `open`, `send`, `read`, `close`.
"""

NAMES = ("esp_at",)


def load(name):
    """Give the class `Dialect` of a dialect, loading only that one."""
    if name not in NAMES:
        raise ValueError("unknown modem dialect '%s': there is %s" % (name, ", ".join(NAMES)))
    return __import__("birthkey.modem.dialects." + name, None, None, ("Dialect",)).Dialect
