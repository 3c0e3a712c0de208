"""What tests of the crypto package need beside it in the device's own interpreter."""

import gc
import os

from birthkey.crypto import chacha20poly1305, entropy, x509


class Noise:
    """An entropy source that plays back what it was given."""

    def __init__(self, samples):
        self._samples = samples

    def read(self, count):
        return self._samples[:count]


class _Os:
    """Stands in for `os` with a generator whose output is known."""

    def __init__(self, output):
        self._output = output

    def urandom(self, count):
        return self._output[:count]


def _with(name, stand_in, function, *args):
    original = getattr(entropy, name)
    setattr(entropy, name, stand_in)
    try:
        return function(*args)
    finally:
        setattr(entropy, name, original)


def collect(samples_of_sources, personalisation=b""):
    """`entropy.collect` from (name, samples, claim)."""
    sources = [
        entropy.Source(name, Noise(samples).read, claim)
        for name, samples, claim in samples_of_sources
    ]
    return entropy.collect(sources, personalisation)


def collect_with_urandom(output, samples_of_sources, personalisation):
    return _with("os", _Os(output), collect, samples_of_sources, personalisation)


def collect_from_a_source_that(fault):
    """With a good source beside it; `fault` is what it gives, or an error that it raises."""

    def read(count):
        if fault == "OSError":
            raise OSError(5)
        return {"nothing": None, "a number": 7, "text": "x" * count, "a list": [7] * count}[fault]

    good = entropy.Source("good", entropy.urandom, 4)
    return entropy.collect((good, entropy.Source("adc", read, 1)))


def collect_bytes_of_another_kind(samples):
    kinds = bytearray(samples), memoryview(samples)
    sources = [entropy.Source("adc", lambda count, kind=kind: kind, 4) for kind in kinds]
    return entropy.collect(sources)


class _DeadOs:
    def urandom(self, count):
        raise OSError(5)


def without_random_numbers(function):
    """An error's text of `collect` or `seed` where the chip's generator fails."""
    source = entropy.Source("adc", Noise(bytes(os.urandom(1024))).read, 4)
    call = {
        "collect": lambda: entropy.collect([source]),
        "source": lambda: entropy.collect(entropy.SOURCES),
        "urandom": lambda: entropy.urandom(32),
    }[function]
    return _with("os", _DeadOs(), call)


def jitter_of_a_standing_clock(count):
    return _with("ticks_us", lambda: 7, entropy.timing_jitter, count)


def seal_buffers(key, nonce, plaintext, aad):
    """`seal` of a bytearray with memoryviews into a bigger buffer."""
    padded = b"<" + aad + b">"
    aad = memoryview(padded)[1 : 1 + len(aad)]
    return chacha20poly1305.seal(bytearray(key), memoryview(nonce), bytearray(plaintext), aad)


def open_buffers(key, nonce, sealed, aad):
    return chacha20poly1305.open(
        memoryview(key), bytearray(nonce), memoryview(sealed), bytearray(aad)
    )


def chacha20(key, nonce, counter, data):
    target = bytearray(len(data))
    chacha20poly1305.ChaCha20(key, nonce, counter).xor(data, target)
    return target


def chacha20_garbage(blocks):
    """Bytes of heap that so many blocks of key stream leave behind (MicroPython only)."""
    stream = chacha20poly1305.ChaCha20(bytes(32), bytes(12), 0)
    source = bytes(64 * blocks)
    target = bytearray(64 * blocks)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    stream.xor(source, target)
    garbage = gc.mem_alloc() - before
    gc.enable()
    return garbage


def thumb_and_python(rounds):
    """Sizes at which machine code and Python differ, on random input of any alignment."""
    from birthkey.crypto import chacha20poly1305_python, chacha20poly1305_thumb

    if chacha20poly1305.ChaCha20 is not chacha20poly1305_thumb.ChaCha20:
        raise RuntimeError("this board does not use its machine code")
    differ = []
    for size in range(rounds):
        key, nonce = os.urandom(32), os.urandom(12)
        if size % 3 == 0:
            key = bytes((255,)) * 32  # every limb as large as it can be
        data = memoryview(bytes((255,)) * size if size % 4 == 0 else os.urandom(size + 3))
        data = data[size % 3 :]
        counter = 0xFFFFFFFF if size == 70 else size
        found = []
        for kind in (chacha20poly1305_thumb, chacha20poly1305_python):
            target = bytearray(len(data) + 3)
            kind.ChaCha20(key, nonce, counter).xor(data, memoryview(target)[size % 2 :])
            found.append((target, kind.poly1305(key, data, data[: size // 2])))
        if found[0] != found[1]:
            differ.append(size)
    return differ


def certificates_of_bytearray(given):
    return x509.certificates(bytearray(given))


def certificates_of_memoryview(given):
    return x509.certificates(memoryview(b"<" + given + b">")[1:-1])
