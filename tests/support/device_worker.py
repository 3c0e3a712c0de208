"""Runs device code on behalf of a test, under MicroPython or CPython alike.

Reads requests from standard input, each a line with its length and then so much JSON, and
answers each with one JSON line. Values that JSON cannot carry exactly are tagged: see `_pack`.
Objects stay here, under a number each, until a request says that the test has dropped them.
"""

import json
import struct
import sys
from binascii import hexlify, unhexlify

# Conversions between 32 and 64 bits lose NaN and subnormal numbers on some boards.
_FLOAT = ">d" if 1.0 + 2.0**-52 != 1.0 else ">f"

_objects = {}
_numbers = iter(range(1 << 29))


def _pack(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": hexlify(struct.pack(_FLOAT, value)).decode()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"b": hexlify(bytes(value)).decode()}
    if isinstance(value, str):
        return {"s": hexlify(value.encode()).decode()}
    if isinstance(value, (list, tuple)):
        return {"l": [_pack(item) for item in value]}
    if isinstance(value, dict):
        return {"m": [[_pack(key), _pack(item)] for key, item in value.items()]}
    number = next(_numbers)
    _objects[number] = value
    return {"o": number}


def _unpack(value):
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "i":
        return int(content)
    if tag == "f":
        raw = unhexlify(content)
        return struct.unpack(">d" if len(raw) == 8 else ">f", raw)[0]
    if tag == "b":
        return unhexlify(content)
    if tag == "s":
        return unhexlify(content).decode()
    if tag == "l":
        return [_unpack(item) for item in content]
    if tag == "m":
        return {_unpack(key): _unpack(item) for key, item in content}
    return _objects[content]


def _target(path):
    """`package.module:name.attribute`, or `#N:attribute` of an object made before."""
    module, _, names = path.partition(":")
    if module[0] == "#":
        found = _objects[int(module[1:])]
    else:
        found = __import__(module)
        found = sys.modules.get(module, found)  # where MicroPython lists no built-in ones
    for name in names.split("."):
        found = getattr(found, name)
    return found


def _serve():
    while True:
        length = sys.stdin.readline()
        if not length:
            return
        try:
            answer = {"value": _pack(_perform(json.loads(sys.stdin.read(int(length)))))}
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__bases__]
            answer = {"error": type(error).__name__, "bases": names, "text": str(error)}
        json.dump(answer, sys.stdout)
        print()
        if sys.implementation.name == "cpython":
            sys.stdout.flush()


def _perform(request):
    for number in request["drop"]:
        del _objects[number]
    target = _target(request["target"])
    if "args" in request:
        target = target(*[_unpack(argument) for argument in request["args"]])
    return target


_serve()
