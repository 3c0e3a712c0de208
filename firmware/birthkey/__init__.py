"""birthkey: a board that proves who it is, over a modem that nobody can trust.

    from birthkey import Device, modem

Names and submodules are loaded when they are first used, so that a program which
needs only a part of the package does not pay RAM for the rest.
"""

__version__ = "0.1.0"

_HOME = {
    "Device": "device",
    "Refused": "conversation",
    "OutboxFull": "outbox",
    "KeystoreError": "keystore",
    "EntropyError": "crypto.entropy",
    "ModemError": "modem",
}


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    # MicroPython asks here for submodules too, before it looks for their files.
    value = __import__("birthkey." + _HOME.get(name, name), None, None, ("",))
    if name in _HOME:
        value = getattr(value, name)
    globals()[name] = value
    return value
