"""Runs device code on behalf of a test, under MicroPython or CPython alike.

Reads one JSON request a line from standard input and answers with one JSON line.
Values that JSON cannot carry exactly are tagged: see `_pack`.
"""

import json
import struct
import sys
from binascii import hexlify, unhexlify

_objects = []


def _pack(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": hexlify(struct.pack(">d", value)).decode()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"b": hexlify(bytes(value)).decode()}
    if isinstance(value, str):
        return {"s": hexlify(value.encode()).decode()}
    if isinstance(value, (list, tuple)):
        return {"l": [_pack(item) for item in value]}
    if isinstance(value, dict):
        return {"m": [[_pack(key), _pack(item)] for key, item in value.items()]}
    _objects.append(value)
    return {"o": len(_objects) - 1}


def _unpack(value):
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "i":
        return int(content)
    if tag == "f":
        return struct.unpack(">d", unhexlify(content))[0]
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
        __import__(module)
        found = sys.modules[module]
    for name in names.split("."):
        found = getattr(found, name)
    return found


def _serve():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            target = _target(request["target"])
            if "args" in request:
                target = target(*[_unpack(argument) for argument in request["args"]])
            answer = {"value": _pack(target)}
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__bases__]
            answer = {"error": type(error).__name__, "bases": names, "text": str(error)}
        print(json.dumps(answer))
        if sys.implementation.name == "cpython":
            sys.stdout.flush()


_serve()
