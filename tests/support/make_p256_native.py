"""Writes firmware/native/p256/constants.c: the curve's parameters and its comb table, in C.

    python tests/support/make_p256_native.py

Stands on python-ecdsa's point arithmetic, so that the table does not come from the code that reads
it. A test compares the file with what this makes.
"""

from pathlib import Path

from ecdsa.curves import NIST256p
from ecdsa.ellipticcurve import INFINITY, PointJacobi

PATH = Path(__file__).resolve().parents[2] / "firmware/native/p256/constants.c"

# As in curve.h.
TEETH = 5
BLOCKS = 4
COLUMNS = 13
SPACING = BLOCKS * COLUMNS

P = int(NIST256p.curve.p())
N = int(NIST256p.order)
B = int(NIST256p.curve.b())
R = 1 << 256

_HEADER = """\
// P-256: its parameters and a comb table of the base point G.
//
// Made by tests/support/make_p256_native.py; do not edit. Numbers are eight words, lowest first.
//
// Entry i of block b is, times 2^256 modulo P, the point
//     2^(b * COLUMNS) * (2^(4 * SPACING) + d3 2^(3 * SPACING) + ... + d1 2^SPACING + d0) * G
// where dt is 1 if bit t of i is set and -1 if not.

#include "curve.h"

"""


def exponent(block: int, index: int) -> int:
    """What entry `index` of a block multiplies G by."""
    signs = [1 if index >> tooth & 1 else -1 for tooth in range(TEETH - 1)] + [1]
    return sum(sign << tooth * SPACING + block * COLUMNS for tooth, sign in enumerate(signs))


def entry(block: int, index: int) -> PointJacobi:
    """The point that the header describes, computed as it is written there."""
    total = INFINITY
    for tooth in range(TEETH):
        power = NIST256p.generator * (1 << tooth * SPACING + block * COLUMNS)
        plus = tooth == TEETH - 1 or index >> tooth & 1
        total = total + (power if plus else -power)
    return total


def words(number: int) -> str:
    """The eight words of a number, lowest first."""
    return ", ".join(f"0x{number >> 32 * i & 0xFFFFFFFF:08x}" for i in range(8))


def _number(name: str, value: int) -> str:
    row = words(value).split(", ")
    first, second = ", ".join(row[:4]), ", ".join(row[4:])
    return f"const number {name} = {{\n    {first},\n    {second},\n}};\n"


def _modulus(name: str, value: int) -> str:
    digits = ", ".join(f"0x{value >> 30 * i & (1 << 30) - 1:08x}" for i in range(9))
    inverse = pow(value, -1, 1 << 30)
    return f"const modulus30 {name} = {{{{{{\n    {digits},\n}}}}, 0x{inverse:08x}}};\n"


def render() -> str:
    """The whole text of the file."""
    text = _HEADER
    for name, value in (
        ("p256_P", P),
        ("p256_N", N),
        ("p256_B", B * R % P),
        ("p256_P_R1", R % P),
        ("p256_P_R2", R**2 % P),
        ("p256_P_R3", R**3 % P),
        ("p256_N_R2", R**2 % N),
    ):
        text += _number(name, value)
    text += f"const uint32_t p256_N_inverse = 0x{-pow(N, -1, 1 << 32) % (1 << 32):08x};\n"
    text += _modulus("p256_P_30", P) + _modulus("p256_N_30", N)
    text += "\nconst affine p256_comb[BLOCKS * ENTRIES] = {\n"
    for block in range(BLOCKS):
        for index in range(1 << TEETH - 1):
            point = entry(block, index)
            for opening, coordinate, closing in (("{", point.x(), ""), (" ", point.y(), "}")):
                value = words(int(coordinate) * R % P).split(", ")
                text += f"    {opening}{{{', '.join(value[:4])},\n"
                text += f"      {', '.join(value[4:])}}}{closing},\n"
    return text + "};\n"


if __name__ == "__main__":
    PATH.write_text(render())
