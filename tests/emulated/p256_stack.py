"""What P-256 leaves on the stack of a board."""

import gc

import qemu

from birthkey.crypto import p256

_private = bytearray(32)
_left = bytearray(1024)


def after(operation, private, *arguments):
    """(result, what is left below it on the stack); each time from the same state."""
    _private[:] = private
    function = getattr(p256._backend, operation)
    for _ in range(2):
        gc.collect()
        result = function(_private, *arguments)
        qemu.stack_below(_left)
    return result, bytes(_left)
