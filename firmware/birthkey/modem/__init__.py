"""Modems that speak AT commands over a UART: `open` gives a Modem, its `connect` a Stream."""


class ModemError(OSError):
    """The modem or the network behind it failed; the text says what, where and what to do."""


class NoAnswer(ModemError):
    """The modem is silent, or what it says makes no sense."""


class NetworkRefused(ModemError):
    """The modem could not join its network."""


class ServerUnreachable(ModemError):
    """The network is up, but the server did not take the connection."""


class ModemReset(ModemError):
    """The modem restarted and forgot everything."""


class ModemClosed(ModemError):
    """The connection is over."""


class SendFailed(ModemError):
    """Data may have been lost on its way out; the connection must not be used any more."""


def check_address(host, port):
    """ValueError for a host that could be more than a name in a command, and for no port."""
    if not 0 < len(host) <= 253 or any(not "!" <= c <= "~" or c in '"\\,' for c in host):
        raise ValueError('host must be 1 to 253 printable ASCII characters, no space, " , or \\')
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("port must be 1 to 65535")


def open(uart, dialect, **options):
    """Give the Modem on a UART (`readinto`, `write`); nothing is sent before `connect`.

    `dialect` is a name of `dialects.NAMES`; ValueError for an unknown one, TypeError for
    an option that it does not have.
    """
    from birthkey.modem import dialects, driver

    kind = dialects.load(dialect)
    known = driver.OPTIONS + kind.OPTIONS
    for name in options:
        if name not in known:
            raise TypeError(
                "unknown option '%s' of modem '%s': it has %s" % (name, dialect, ", ".join(known))
            )
    common = {name: options.pop(name) for name in driver.OPTIONS if name in options}
    return driver.Modem(uart, kind(**options), **common)
