"""Commands from the server: each is carried out once, or not at all."""

from binascii import hexlify
from hashlib import sha256

from birthkey import cbor
from birthkey._port import const
from birthkey.keystore import KeystoreError, Twins

MAX_RESULT = const(512)

# What the board says itself in the place of a result: [failure, sentence].
_FAILED = "failed"
_NO_HANDLER = "no-handler"
_UNKNOWN = "unknown"

# Not in the `except` itself: a tuple that is made when memory is short takes memory.
_ERRORS = (KeystoreError, MemoryError, ValueError)

_HEAD = const(16)  # the command's id and the beginning of its hash, 8 bytes each
_SENTENCE = const(100)


class Commands:
    """The one command that was taken, and the last that was begun.

    The record on flash holds the last id that was begun, the beginning of that command's hash,
    and its result as soon as there is one. It is written before anything is done, so that a
    board that loses power on the way does nothing twice; what came of it, nobody knows then.
    """

    def __init__(self, store, server_ids):
        """`server_ids`: of all keys of the server. What was begun under one is begun under all."""
        self._store = Twins(store)
        self._records = ["command-" + hexlify(each[:4]).decode() for each in server_ids]
        self._taken = None
        self.running = False

    @property
    def waiting(self):
        return self._taken is not None

    def take(self, number, body):
        """Keep a command for `obey`, unless one waits or runs: the server sends it again."""
        if self._taken is None and not self.running:
            self._taken = number, body

    def forget(self):
        """Leave what was taken: the server sends it again."""
        self._taken = None

    def obey(self, handler):
        """Carry out what was taken; [id, result] for the server.

        Of a command that was begun before, the id that was begun last and its result.
        """
        number, body = self._taken
        self._taken = None
        self.running = True
        try:
            return self._obey(handler, number, body)
        finally:
            self.running = False

    def _obey(self, handler, number, body):
        try:
            head = number.to_bytes(8, "big") + sha256(cbor.dumps(body)).digest()[:8]
            record = bytes(_HEAD)
            for name in self._records:
                record = max(record, self._store.read(name, _HEAD, _HEAD + MAX_RESULT) or record)
            last = int.from_bytes(record[:8], "big")
            if number <= last:
                result = record[_HEAD:]
                # A database that was restored gives an id out again, for another command.
                if result and (number < last or record[:_HEAD] == head):
                    return [last, cbor.loads(result, MAX_RESULT)]
                return [last, [_UNKNOWN, "command %d was begun before" % last]]
            self._store.write(self._records[0], head)
        except _ERRORS as error:
            return [number, _failure(error)]
        result = _run(handler, body)
        try:
            self._store.write(self._records[0], head + cbor.dumps(result))
        except _ERRORS:
            pass  # the server hears it all the same, if this boot lasts
        return [number, result]


def _run(handler, body):
    """The handler's result, or a failure; whatever it does, the board goes on."""
    if handler is None:
        return [_NO_HANDLER, "the application on this board takes no commands"]
    try:
        result = handler(body)
        if result is not None and not isinstance(result, (bool, int, float, str, dict)):
            raise TypeError("a result is None, a bool, a number, text or a map")
        size = len(cbor.dumps([[[result]]])) - 3  # as deep as it will be in its message
        if size > MAX_RESULT:
            raise ValueError("a result has at most %d bytes, not %d" % (MAX_RESULT, size))
        return result
    except Exception as error:
        return _failure(error)


def _failure(error):
    name = type(error).__name__
    try:
        failure = [_FAILED, ("%s: %s" % (name, error))[:_SENTENCE]]
        cbor.dumps(failure)
        return failure
    except Exception:
        return [_FAILED, name[:_SENTENCE]]
