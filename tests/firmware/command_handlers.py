"""Handlers of commands for the tests, which run beside the device code, under MicroPython too."""

done = []


def forget():
    done.clear()


def _do(body):
    done.append(body)
    return body


def echo(body):
    return _do(body)["give"]


def count(body):
    _do(body)
    return len(done)


def fail(body):
    _do(body)
    raise ValueError("no such pin")


def fail_at_length(body):
    raise ValueError("x" * 1000)


def fail_without_a_word(body):
    class Mute(Exception):
        def __str__(self):
            raise self

    raise Mute


def run_out_of_memory(body):
    raise MemoryError


def _restart(body):
    _do(body)
    raise SystemExit  # as machine.reset() does on some ports


def restarts(commands):
    """Whether what was taken ends the board's program."""
    try:
        commands.obey(_restart)
    except SystemExit:
        return True
    return False


def give_bytes(body):
    return b"bytes"


def give_list(body):
    return [1]


def give_object(body):
    return object()


def give_object_within(body):
    return {"a": object()}


def give_deep(body):
    return {"a": [[[[[1]]]]]}


def give_much(body):
    return "x" * body["size"]


class Fussy:
    """A keystore whose n-th write fails, from that one on."""

    def __init__(self, store, writes):
        self._store = store
        self._writes = writes

    def read(self, *arguments):
        return self._store.read(*arguments)

    def write(self, name, payload):
        from birthkey.keystore import KeystoreError

        if not self._writes:
            raise KeystoreError("flash is full")
        self._writes -= 1
        self._store.write(name, payload)
