"""The entropy for keys: start-up health tests, totals and conditioning."""

from __future__ import annotations

import hashlib
import random
import re
from decimal import Decimal, localcontext
from math import ceil, comb, log2
from typing import Any

import pytest

from birthkey.crypto import entropy
from device import DeviceError, Interpreter

COLLECT = "birthkey.crypto.entropy:collect"
ON_DEVICE = "firmware.crypto.on_device:"
GOOD = random.Random(1).randbytes(1024)


def noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(1024)


def collect(device: Interpreter, *sources: tuple[str, bytes, float], unique_id: bytes = b"") -> Any:
    return device.call(ON_DEVICE + "collect", list(sources), unique_id)


def refusal(device: Interpreter, *sources: tuple[str, bytes, float]) -> str:
    """What the EntropyError says that these sources lead to."""
    with pytest.raises(DeviceError) as caught:
        collect(device, *sources)
    assert caught.value.name == "EntropyError"
    assert caught.value.bases == ["Exception"]
    return caught.value.text


def with_value(value: int, positions: range | list[int]) -> bytes:
    """Noise without `value`, but at the positions."""
    samples = bytearray(sample if sample != value else value ^ 1 for sample in GOOD)
    for position in positions:
        samples[position] = value
    return bytes(samples)


def with_matches(matches: int, start: int) -> bytes:
    """Noise whose window from `start` on has its first value so often, evenly spread."""
    return with_value(7, [start + i * 512 // matches for i in range(matches)])


def cutoff(eighths: int) -> int:
    """SP 800-90B, section 4.4.2: 1 + CRITBINOM(512, 2^-H, 1 - 2^-20), in exact decimals."""
    with localcontext() as context:
        context.prec = 400
        p = Decimal(2) ** (-Decimal(eighths) / 8)
        total, k = Decimal(0), -1
        while total < 1 - Decimal(2) ** -20:
            k += 1
            total += comb(512, k) * p**k * (1 - p) ** (512 - k)
        return 1 + k


def test_proportion_cutoffs_are_those_of_the_binomial_distribution(device: Interpreter) -> None:
    table = device.get("birthkey.crypto.entropy:_PROPORTION_CUTOFFS")
    assert table == [cutoff(eighths) for eighths in range(1, 65)]


def test_sources_that_every_board_has_pass(device: Interpreter) -> None:
    sources = device.get("birthkey.crypto.entropy:SOURCES")
    assert [source[0] for source in sources] == ["urandom", "timing jitter"]
    assert len(device.call(COLLECT, sources, b"unique id")) == 32


@pytest.mark.parametrize("claim", [0.25, 0.5, 1, 2, 4, 8])
def test_noise_passes_at_every_claim(device: Interpreter, claim: float) -> None:
    assert len(collect(device, ("adc", GOOD, claim))) == 32


def test_timing_jitter_gives_samples_that_vary(device: Interpreter) -> None:
    samples = device.call("birthkey.crypto.entropy:timing_jitter", 200)
    assert len(samples) == 200
    assert len(set(samples)) > 2


def test_a_clock_that_stands_still_gives_equal_samples_and_ends(device: Interpreter) -> None:
    assert len(set(device.call(ON_DEVICE + "jitter_of_a_standing_clock", 3))) == 1


def test_a_stuck_source_fails_the_repetition_count_test(device: Interpreter) -> None:
    text = refusal(device, ("urandom", GOOD, 8), ("adc", bytes(1024), 0.5))
    assert "'adc' failed the repetition count test" in text
    assert "41 equal samples in a row" in text  # 1 + 20 / 0.5


@pytest.mark.parametrize("claim", [0.25, 1, 1.375, 4, 7, 8])
@pytest.mark.parametrize("start", [0, 300, 500, -1])
def test_repetition_count_fails_at_its_cutoff(
    device: Interpreter, claim: float, start: int
) -> None:
    limit = 1 + ceil(20 / claim)
    start = start if start >= 0 else 1024 - limit
    collect(device, ("adc", with_value(7, range(start, start + limit - 1)), claim))
    text = refusal(device, ("adc", with_value(7, range(start, start + limit)), claim))
    assert f"'adc' failed the repetition count test, {limit} equal samples in a row" in text


def test_a_biased_source_fails_the_adaptive_proportion_test(device: Interpreter) -> None:
    chance = random.Random(60)
    biased = bytes(42 if chance.random() < 0.6 else chance.randrange(256) for _ in range(1023))
    text = refusal(device, ("urandom", GOOD, 8), ("adc", b"\x2a" + biased, 1.5))
    assert "'adc' failed the adaptive proportion test" in text


def test_alternating_samples_pass_the_repetition_count_and_fail_the_proportion_test(
    device: Interpreter,
) -> None:
    text = refusal(device, ("adc", bytes((1, 2)) * 512, 2))
    assert "'adc' failed the adaptive proportion test, 256 equal samples of 512" in text


@pytest.mark.parametrize("claim", [0.25, 1, 2, 3.5, 8])
@pytest.mark.parametrize("start", [0, 512])
def test_adaptive_proportion_fails_at_its_cutoff(
    device: Interpreter, claim: float, start: int
) -> None:
    limit = cutoff(int(claim * 8))
    collect(device, ("adc", with_matches(limit - 1, start), claim))
    text = refusal(device, ("adc", with_matches(limit, start), claim))
    assert f"'adc' failed the adaptive proportion test, {limit} equal samples of 512" in text


def test_claims_are_rounded_down_to_eighths(device: Interpreter) -> None:
    samples = with_value(7, range(100, 117))
    assert "repetition" in refusal(device, ("adc", samples, 1.25))  # 1 + 20 / 1.25 = 17
    collect(device, ("adc", samples, 1.249))  # as 1.125: 1 + 18


@pytest.mark.parametrize("given", [0, 1, 1023])
def test_a_short_read_is_refused(device: Interpreter, given: int) -> None:
    text = refusal(device, ("urandom", GOOD, 8), ("adc", GOOD[:given], 8))
    assert f"'adc' gave {given} samples of 1024" in text


def test_no_source_is_refused(device: Interpreter) -> None:
    assert "claim 0 bits together and a key needs 256" in refusal(device)


def test_too_little_claimed_entropy_is_refused(device: Interpreter) -> None:
    weak = ("adc", GOOD, 0.125)
    assert "claim 128 bits together and a key needs 256" in refusal(device, weak)
    assert len(collect(device, weak, ("jitter", noise(2), 0.125))) == 32


@pytest.mark.parametrize("claim", [0.001, 0.124, -1, 8.125, 100])
def test_a_claim_that_cannot_be_is_refused(device: Interpreter, claim: float) -> None:
    assert "'adc' claims" in refusal(device, ("adc", GOOD, claim))


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_bad_source_among_good_ones_is_enough(device: Interpreter, bad: int) -> None:
    sources = [(f"s{i}", noise(i) if i != bad else bytes(1024), 4) for i in range(3)]
    assert f"'s{bad}' failed" in refusal(device, *sources)


def periodic(period: int) -> bytes:
    return (noise(period)[:period] * 1024)[:1024]


def counting(step: int, start: int = 5) -> bytes:
    return bytes(start + i * step & 0xFF for i in range(1024))


ANY_TEST = r"failed the (lag|adaptive proportion|repetition count) test"


@pytest.mark.parametrize("claim", [0.125, 0.5, 1, 4, 8])
@pytest.mark.parametrize("period", [2, 3, 4, 5, 7, 16, 17, 60, 64, 100, 125, 127, 128])
def test_periodic_sources_fail(device: Interpreter, period: int, claim: float) -> None:
    assert re.search(ANY_TEST, refusal(device, ("good", GOOD, 8), ("adc", periodic(period), claim)))


@pytest.mark.parametrize("claim", [0.125, 1, 4, 8])
@pytest.mark.parametrize("step", [1, 2, 3, 64, 127, 128, 251, 255])
def test_counters_fail(device: Interpreter, step: int, claim: float) -> None:
    assert re.search(ANY_TEST, refusal(device, ("good", GOOD, 8), ("adc", counting(step), claim)))


def test_what_changes_with_a_period_fails(device: Interpreter) -> None:
    changes = periodic(16)
    samples = bytes(sum(changes[:i]) & 0xFF for i in range(1024))
    text = refusal(device, ("adc", samples, 1))
    assert (
        "'adc' failed the lag test, 34 changes of samples are those of 16 before: it is periodic"
        in text
    )


def test_the_sentence_says_the_period(device: Interpreter) -> None:
    text = refusal(device, ("adc", periodic(16), 1))
    assert text == (
        "entropy source 'adc' failed the lag test, 34 samples are those of 16 before: it is"
        " periodic, or counts; check its wiring or lower its claim"
    )


@pytest.mark.parametrize(("claim", "length"), [(0.125, 272), (1, 34), (1.375, 25), (4, 9), (8, 5)])
@pytest.mark.parametrize("lag", [1, 2, 16, 125, 128])
def test_lag_test_fails_at_its_cutoff(
    device: Interpreter, claim: float, length: int, lag: int
) -> None:
    """Blocks lie 64 samples apart, or one behind the other, from the first that can be compared."""
    start = lag + max(length, 64)
    for size in (length - 1, length):
        row = bytearray(GOOD)
        row[start - 1] = row[start - 1 - lag] ^ 1
        for at in range(start, start + size):
            row[at] = row[at - lag]
        row[start + size] = row[start + size - lag] ^ 1
        samples = bytes(row)
        if lag == 1:  # of the changes, or they were equal samples in a row
            samples = bytes(sum(row[:at]) & 0xFF for at in range(1024))
        sources = ("good", GOOD, 8), ("adc", samples, claim)
        if size < length:
            collect(device, *sources)
        else:
            assert f"failed the lag test, {length} " in refusal(device, *sources)


def test_good_sources_fail_the_lag_test_in_one_of_four_million_starts() -> None:
    """At most, whatever they claim: four of them in one of a million."""
    lags, bits = entropy._LAGS, entropy._LAG_BITS
    for eighths in range(1, 65):
        length = ceil(bits * 8 / eighths)
        blocks = sum(
            len(range(lag, size - length + 1, max(length, entropy._APART)))
            for size in (1024, 1023)
            for lag in range(1, lags + 1)
        )
        assert blocks > 0
        assert log2(blocks) - eighths / 8 * length <= -22, eighths


@pytest.mark.parametrize("eighths", [1, 2, 4, 8, 16, 32, 64])
def test_sources_as_good_as_their_claim_pass(eighths: int) -> None:
    """The likeliest value comes with 2^-H, and the others as they please."""
    chance = random.Random(eighths)
    likeliest = 2 ** (-eighths / 8)
    for _ in range(60):
        samples = bytes(
            7 if chance.random() < likeliest else chance.randrange(8, 256) for _ in range(1024)
        )
        source = entropy.Source("adc", lambda count, samples=samples: samples, eighths / 8)
        good = entropy.Source("good", entropy.urandom, 4)
        entropy.collect((good, source))


def test_a_source_that_claims_nothing_is_taken_in_and_not_tested(device: Interpreter) -> None:
    args = (noise(3)[:64], [("adc", GOOD, 4), ("jitter", bytes(1024), 0)], b"id")
    assert device.call(ON_DEVICE + "collect_with_urandom", *args) == conditioned(*args)
    assert "claim 0 bits together" in refusal(device, ("jitter", GOOD, 0))
    assert "'jitter' gave 3 samples" in refusal(device, ("jitter", GOOD[:3], 0))


def test_a_source_that_cannot_be_read_is_named(device: Interpreter) -> None:
    with pytest.raises(DeviceError, match="entropy source 'adc' cannot be read") as caught:
        device.call(ON_DEVICE + "collect_from_a_source_that", "OSError")
    assert caught.value.name == "EntropyError"


@pytest.mark.parametrize("fault", ["nothing", "a number", "text", "a list"])
def test_a_source_that_gives_no_bytes_is_named(device: Interpreter, fault: str) -> None:
    with pytest.raises(DeviceError, match="'adc' gave 0 samples of 1024") as caught:
        device.call(ON_DEVICE + "collect_from_a_source_that", fault)
    assert caught.value.name == "EntropyError"


def test_a_source_may_give_any_kind_of_bytes(device: Interpreter) -> None:
    assert len(device.call(ON_DEVICE + "collect_bytes_of_another_kind", GOOD)) == 32


@pytest.mark.parametrize("function", ["collect", "source", "urandom"])
def test_a_chip_whose_generator_fails_is_told_of(device: Interpreter, function: str) -> None:
    with pytest.raises(DeviceError, match="random number generator of this board failed") as caught:
        device.call(ON_DEVICE + "without_random_numbers", function)
    assert caught.value.name == "EntropyError"


def test_output_changes_with_each_call_even_if_the_sources_repeat(device: Interpreter) -> None:
    assert len({collect(device, ("adc", GOOD, 8)) for _ in range(20)}) == 20


def conditioned(urandom: bytes, sources: list[tuple[str, bytes, float]], unique_id: bytes) -> bytes:
    parts = [b"birthkey/1 entropy"]
    for name, samples, _ in sources:
        parts += [name.encode(), samples]
    parts += [urandom, unique_id]
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()


def test_output_is_the_digest_of_all_that_was_collected(device: Interpreter) -> None:
    target = ON_DEVICE + "collect_with_urandom"
    urandom, other = noise(3)[:64], noise(4)[:64]
    sources = [("adc", GOOD, 4), ("jitter", noise(5), 0.5)]
    outputs = set()
    for args in (
        (urandom, sources, b"id"),
        (urandom, sources, b"ID"),
        (urandom, sources, b""),
        (other, sources, b"id"),
        (urandom, sources[::-1], b"id"),
        (urandom, sources[:1], b"id"),
        (urandom, [("ad", GOOD, 4), ("jitter", noise(5), 0.5)], b"id"),
        (urandom, [("adc", noise(6), 4), ("jitter", noise(5), 0.5)], b"id"),
    ):
        output = device.call(target, *args)
        assert output == conditioned(*args)
        outputs.add(output)
    assert len(outputs) == 8
