"""Randomness for a key: every source that a board has, tested and then conditioned.

The sources are tested at start-up as SP 800-90B, section 4.3, asks, before a single byte of
theirs is used. SHA-256 conditions them: what one source lacks another can give, and none can
take away what the others gave.
"""

import os
from collections import namedtuple
from hashlib import sha256

from birthkey._port import const, ticks_diff, ticks_us

# A source of raw noise: `read(count)` gives `count` samples of one byte each, and each is
# claimed to bring `min_entropy` bits, from 1/8 to 8, rounded down to eighths. One that claims 0
# is taken in, and neither tested nor counted: it can add, and take nothing away.
Source = namedtuple("Source", ("name", "read", "min_entropy"))

_LABEL = b"birthkey/1 entropy"
_SAMPLES = const(1024)  # the least that SP 800-90B, section 4.3, lets start-up tests look at
_ENOUGH = const(256)  # bits of min-entropy

# SP 800-90B, section 4.4.2. In a window of 512 samples a value of probability p = 2^-H comes
# up X times, binomially distributed; the cut-off is C = 1 + min {k: P(X <= k) >= 1 - 2^-20}, so
# that a source as good as its claim fails in one of a million windows. In eighths of a bit,
# from H = 1/8 to H = 8; a table, because the sums are beyond a float of 32 bits.
_WINDOW = const(512)
_PROPORTION_CUTOFFS = (
    (497, 468, 439, 410, 383, 357, 333, 311, 290, 270, 251, 234, 219, 204, 190, 177)
    + (165, 154, 144, 135, 126, 118, 110, 103, 97, 90, 85, 80, 75, 70, 66, 62)
    + (58, 55, 52, 49, 46, 43, 41, 39, 37, 35, 33, 31, 30, 28, 27, 25)
    + (24, 23, 22, 21, 20, 19, 18, 18, 17, 16, 15, 15, 14, 14, 13, 13)
)

# Periodic sources and counters pass both tests of SP 800-90B, so there is a third, after the lag
# prediction estimate of its section 6.3.8: a sample is predicted to be what came so many before
# it, or to change as that one did. Whatever predicts a sample from those before it is right with
# 2^-H at most, and all of a block with 2^-(H * length). 2 predictions for each of 128 lags, and
# at most 16 blocks, with 2^-34 or less for each: a source as good as its claim fails in one of
# four million starts, and one of four such sources in one of a million.
_LAGS = const(128)
_LAG_BITS = const(34)
_APART = const(64)  # from a block to the next, or more

_SPAN = const(50)  # microseconds
_READINGS = const(10_000)  # many times what fits in the span: a clock that stands still ends it


class EntropyError(Exception):
    """There is no randomness to make a key from; the text says why.

    Not a ValueError: nothing that handles malformed input may take it for such.
    """


def collect(sources, personalisation=b""):
    """32 random bytes from all the sources and `os.urandom`; EntropyError if one fails.

    The personalisation string, a board's unique id, only tells boards apart. Neither it nor
    the 64 bytes of `os.urandom` that are always taken in count as entropy.
    """
    pool = sha256()
    _absorb(pool, _LABEL)
    bits = 0
    for name, read, min_entropy in sources:
        try:
            samples = read(_SAMPLES)
        except OSError as error:
            raise EntropyError(
                "entropy source '%s' cannot be read (%s): check its wiring and power"
                % (name, error)
            )
        bits += _test(name, samples, min_entropy)
        _absorb(pool, name.encode())
        _absorb(pool, samples)
    if bits < _ENOUGH:
        raise EntropyError(
            "the entropy sources claim %d bits together and a key needs %d: add a source"
            % (bits, _ENOUGH)
        )
    _absorb(pool, urandom(64))
    _absorb(pool, personalisation)
    return pool.digest()


def urandom(count):
    """Samples from the generator of the firmware, whatever it is on this board."""
    try:
        return os.urandom(count)
    except OSError as error:
        raise EntropyError("the random number generator of this board failed (%s)" % error)


def timing_jitter(count):
    """Samples of how the processor runs against the clock: a source for boards where each has an
    oscillator of its own. With one for both they repeat with a period.

    Each counts how often the clock can be read in a fixed time, which shows on a fast
    processor, and by how much the last reading overshot, which shows on a slow one. There is
    no other work: work of varying length would hide from the tests that nothing else varies.
    """
    samples = bytearray(count)
    for i in range(count):
        readings = elapsed = 0
        start = ticks_us()
        while elapsed < _SPAN and readings < _READINGS:
            elapsed = ticks_diff(ticks_us(), start)
            readings += 1
        samples[i] = (readings + elapsed) & 0xFF
    return bytes(samples)


# Sources that every board has. The claim is far below what `os.urandom` gives on good hardware: it
# reads a ring oscillator on some boards. Most processors run from the clock's own crystal, and then
# there is no jitter to count on.
SOURCES = (Source("urandom", urandom, 4), Source("timing jitter", timing_jitter, 0))


def _absorb(pool, data):
    # The length in front keeps different inputs from running together into the same bytes.
    pool.update(len(data).to_bytes(4, "big"))
    pool.update(data)


def _test(name, samples, min_entropy):
    """The min-entropy in a source's start-up samples, in bits, if they pass the tests."""
    given = len(samples) if isinstance(samples, (bytes, bytearray, memoryview)) else 0
    if given != _SAMPLES:
        raise EntropyError(
            "entropy source '%s' gave %d samples of %d: check that it is connected and running"
            % (name, given, _SAMPLES)
        )
    if min_entropy == 0:
        return 0
    eighths = int(min_entropy * 8)
    if not 1 <= eighths <= len(_PROPORTION_CUTOFFS):
        raise EntropyError(
            "entropy source '%s' claims %s bits a sample: correct it to 0, or to between 1/8 and 8"
            % (name, min_entropy)
        )
    _test_repetition_count(name, samples, 1 + -(-20 * 8 // eighths))
    _test_adaptive_proportion(name, samples, _PROPORTION_CUTOFFS[eighths - 1])
    length = -(-_LAG_BITS * 8 // eighths)
    _test_lag(name, samples, length, "")
    changes = bytearray(_SAMPLES - 1)
    for i in range(_SAMPLES - 1):
        changes[i] = samples[i + 1] - samples[i] & 0xFF
    _test_lag(name, changes, length, "changes of ")
    return eighths * _SAMPLES // 8


def _test_repetition_count(name, samples, cutoff):
    """SP 800-90B, section 4.4.1; the cut-off is 1 + ceil(20 / H) for 2^-20 false alarms."""
    previous = None
    run = 0
    for sample in samples:
        run = run + 1 if sample == previous else 1
        previous = sample
        if run >= cutoff:
            raise EntropyError(
                "entropy source '%s' failed the repetition count test, %d equal samples in a row: "
                "it is stuck, check its wiring and power" % (name, run)
            )


def _test_adaptive_proportion(name, samples, cutoff):
    """SP 800-90B, section 4.4.2: how often the first sample of each window is in it."""
    samples = memoryview(samples)
    for start in range(0, _SAMPLES, _WINDOW):
        matches = 0
        for sample in samples[start : start + _WINDOW]:
            matches += sample == samples[start]
        if matches >= cutoff:
            raise EntropyError(
                "entropy source '%s' failed the adaptive proportion test, %d equal samples of %d: "
                "it is biased, check its wiring or lower its claim" % (name, matches, _WINDOW)
            )


def _test_lag(name, samples, length, of):
    """Whether a block of samples is the same as the one so many samples before it."""
    view = memoryview(samples)
    step = max(length, _APART)
    for lag in range(1, _LAGS + 1):
        for start in range(lag, len(samples) - length + 1, step):
            before = start - lag
            if (
                samples[start] == samples[before]
                and view[start : start + length] == view[before : before + length]
            ):
                raise EntropyError(
                    "entropy source '%s' failed the lag test, %d %ssamples are those of %d before: "
                    "it is periodic, or counts; check its wiring or lower its claim"
                    % (name, length, of, lag)
                )
