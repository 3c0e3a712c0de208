"""What the native P-256 stands on: its constants, and that its incomplete additions never meet a
case that they are wrong about. tests/emulated/test_p256.py runs it."""

from __future__ import annotations

import random

import pytest

import make_p256_native
from make_p256_native import BLOCKS, COLUMNS, SPACING, TEETH, N, entry, exponent

G = make_p256_native.NIST256p.generator
CHUNKS = TEETH * BLOCKS


def test_constants_are_what_their_generator_makes() -> None:
    assert make_p256_native.PATH.read_text() == make_p256_native.render()


def test_entries_are_multiples_of_the_base_point() -> None:
    for block, index in ((0, 0), (0, 15), (1, 7), (3, 8)):
        assert entry(block, index) == G * (exponent(block, index) % N)


def balanced(number: int) -> list[int] | None:
    """Digits of 13 bits from -2^12 to 2^12 - 1, lowest first; None if that many do not do."""
    digits = []
    for _ in range(CHUNKS):
        digit = (number + (1 << COLUMNS - 1)) % (1 << COLUMNS) - (1 << COLUMNS - 1)
        digits.append(digit)
        number = number - digit >> COLUMNS
    return None if number else digits


def may_be_difference(number: int, column: int, block: int) -> bool:
    """Whether a sum of the comb and the entry added to it there, or its negative, may differ so.

    In the sum, each sign of the columns above counts a power of two, from 2 to 2^(12 - column),
    and each of this column one: what a tooth of a block contributes is odd if the block had its
    turn in this column, or has it now, and even if not.
    """
    digits = balanced(number)
    most = (1 << COLUMNS - column) - 1
    return digits is not None and all(
        abs(digit) <= most and digit % 2 == (place % BLOCKS <= block)
        for place, digit in enumerate(digits)
    )


@pytest.mark.parametrize("column", range(1, COLUMNS))
def test_no_sum_meets_an_entry_before_the_last_column(column: int) -> None:
    """A sum and an entry, or its negative, are the same point if they differ by a multiple of N."""
    for block in range(BLOCKS):
        for factor in range(-16, 17):  # the comb is 2^260 long
            assert not may_be_difference(factor * N, column, block)


@pytest.mark.parametrize("column", range(1, COLUMNS - 1))
def test_differences_are_recognised(column: int) -> None:
    chance = random.Random(column)
    for block in range(BLOCKS):
        total = 0
        for above in range(COLUMNS - 1, column - 1, -1):
            total *= 2
            for other in range(BLOCKS if above > column else block):
                total += chance.choice((-1, 1)) * exponent(other, chance.randrange(16))
        for sign in (-1, 1):
            met = sign * exponent(block, chance.randrange(16))
            assert may_be_difference(total - met, column, block)
            assert not may_be_difference(total - met + (1 << SPACING), column, block)


def test_sums_of_the_windows_are_far_from_what_is_added() -> None:
    """16 times what the digits above make, which is from 1 to N / 256 + 1, but for the last digit.

    The digits are odd numbers from -15 to 15.
    """
    assert 16 * 1 > 15
    assert 16 * (N // 256 + 1) < N - 15
