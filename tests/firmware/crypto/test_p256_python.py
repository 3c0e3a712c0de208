"""The arithmetic under P-256 against python-ecdsa's, the exceptional cases above all."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from ecdsa import NIST256p
from ecdsa.ellipticcurve import AbstractPoint

from device import Interpreter

G = NIST256p.generator
N = int(NIST256p.order)
P = int(NIST256p.curve.p())
G_AFFINE = (int(G.x()), int(G.y()))

# What windows, combs and digits with carries go wrong on.
SCALARS = [
    *range(1, 36),
    *range(N - 35, N),
    *(2**i + j for i in (4, 5, 22, 43, 44, 88, 132, 176, 220, 252, 255) for j in (-1, 0, 1)),
    int("5" * 64, 16),
    int("a" * 64, 16),
    int("f0" * 16, 16),
    (N - 1) // 2,
    (N + 1) // 2,
]


def affine(point: AbstractPoint) -> tuple[int, int]:
    return int(point.x()), int(point.y())


def jacobian(k: int, z: int) -> list[int]:
    """k * G with a Z of the test's choice; any Z != 0 stands for the same point."""
    if k % N == 0:
        return [z * z % P, z * z * z % P, 0]
    x, y = affine(G * (k % N))
    return [x * z * z % P, y * z * z * z % P, z]


def check(device: Interpreter, point: list[int], k: int) -> None:
    """Fail unless a Jacobian point is k * G."""
    if k % N == 0:
        assert point[2] == 0
    else:
        assert device.call("birthkey.crypto.p256_python:to_affine", [point]) == [
            list(affine(G * (k % N)))
        ]


def test_is_the_only_back_end_where_there_is_no_cortex_m(device: Interpreter) -> None:
    assert device.get("birthkey.crypto.p256:BACKENDS") == ["python"]


@pytest.mark.parametrize("z", [1, 2, P - 1, 0xBEEF << 200])
@pytest.mark.parametrize("k", [0, 1, 2, N - 1, 0xC0FFEE])
def test_doubling(device: Interpreter, k: int, z: int) -> None:
    check(device, device.call("birthkey.crypto.p256_python:double", jacobian(k, z)), 2 * k)


@pytest.mark.parametrize("z", [1, P - 1, 0xBEEF << 200])
@pytest.mark.parametrize(
    ("k", "m"),
    [(0, 5), (5, 5), (5, N - 5), (1, 1), (N - 1, 1), (2, 1), (N - 2, 1), (6, 5), (1 << 250, 3)],
    ids=str,
)
def test_addition_with_its_exceptional_cases(device: Interpreter, k: int, m: int, z: int) -> None:
    x, y = affine(G * m)
    check(device, device.call("birthkey.crypto.p256_python:add", jacobian(k, z), x, y), k + m)


def test_points_become_affine_together(device: Interpreter) -> None:
    points = [jacobian(k, 3**k) for k in range(1, 9)]
    expected = [list(affine(G * k)) for k in range(1, 9)]
    assert device.call("birthkey.crypto.p256_python:to_affine", points) == expected


@pytest.mark.parametrize("modulus", [P, N])
def test_inverses(device: Interpreter, modulus: int) -> None:
    chance = random.Random(4)
    values = [1, 2, modulus - 1, modulus + 2, *(chance.randrange(1, modulus) for _ in range(20))]
    for value in values:
        inverse = device.call("birthkey.crypto.p256_python:invert", value, modulus)
        assert inverse == pow(value, -1, modulus)
    assert device.call("birthkey.crypto.p256_python:invert", 0, modulus) == 0


@pytest.mark.parametrize("modulus", [P, N])
def test_inversion_runs_on_a_number_that_is_not_its_operand(
    device: Interpreter, modulus: int
) -> None:
    value = 0xC0FFEE << 200
    for random_number in (2, 3, modulus - 1, 2**256 - 1):
        inverse, ran_on = device.call(
            "p256_probe:inverse_with", random_number.to_bytes(32, "big"), value, modulus
        )
        assert inverse == pow(value, -1, modulus)
        assert ran_on == value * random_number % modulus != value


@pytest.mark.parametrize("random_number", [0, N])
def test_inversion_survives_a_blind_of_zero(device: Interpreter, random_number: int) -> None:
    blind = random_number.to_bytes(32, "big")
    assert device.call("p256_probe:inverse_with", blind, 7, N)[0] == pow(7, -1, N)


@pytest.mark.parametrize(
    ("function", "point", "doublings", "additions"),
    [("base_multiply", (), 11, 44), ("multiply", G_AFFINE, 256 + 1, 64 + 7)],
)
def test_every_secret_takes_the_same_row_of_point_operations(
    device: Interpreter, function: str, point: tuple[int, ...], doublings: int, additions: int
) -> None:
    rows = {
        device.call("p256_probe:point_operations", function, k, *point)
        for k in (1, 2, 3, N - 1, 1 << 255, (1 << 128) - 1, 0xABCDEF << 100)
    }
    (row,) = rows
    assert (row.count("d"), row.count("a")) == (doublings, additions)


def test_multiples_of_the_base_point(device: Interpreter) -> None:
    for k in SCALARS:
        found = device.call("birthkey.crypto.p256_python:base_multiply", k)
        assert found == list(affine(G * k)), k


def test_multiples_of_another_point(device: Interpreter) -> None:
    for k in SCALARS:
        m = 0xDECADE + k
        x, y = affine(G * m)
        found = device.call("birthkey.crypto.p256_python:multiply", k, x, y)
        assert found == list(affine(G * (k * m % N))), k


def test_sums_of_two_multiples_with_every_kind_of_collision(device: Interpreter) -> None:
    # Small multiples of G as the other point make the two sums meet and cancel on the way.
    scalars = [1, 2, 3, 15, 16, 17, N - 1, N - 2, N - 15, 2**255, (N + 1) // 2]
    for m in (1, 2, N - 1, N // 2):
        x, y = affine(G * m)
        for v in scalars:
            for u in (0, v, N - v, v * m % N, -v * m % N, 1):
                total = (u + v * m) % N
                found = device.call("birthkey.crypto.p256_python:multiply_add", u, v, x, y)
                assert found == (int((G * total).x()) if total else None), (u, v, m)


def test_width_5_digits_make_the_scalar_and_stand_apart(device: Interpreter) -> None:
    for k in SCALARS:
        digits = device.call("p256_probe:non_adjacent_form", k)
        assert sum(digit << i for i, digit in enumerate(digits)) == k
        places = [i for i, digit in enumerate(digits) if digit]
        assert all(digits[i] % 2 and abs(digits[i]) < 16 for i in places)
        assert all(after - before >= 5 for before, after in pairwise(places))
