"""Writes firmware/birthkey/crypto/p256_table.py: the curve's parameters and comb table.

    python tests/support/make_p256_table.py

Stands on python-ecdsa's point arithmetic, so that the table does not come from the code
that reads it. A test compares the file with what this makes.
"""

from pathlib import Path

from ecdsa.curves import NIST256p
from ecdsa.ellipticcurve import INFINITY, PointJacobi

PATH = Path(__file__).resolve().parents[2] / "firmware/birthkey/crypto/p256_table.py"

TEETH = 6
BLOCKS = 4
COLUMNS = 11
SPACING = BLOCKS * COLUMNS

_LINE = 23  # bytes in a line of text

HEADER = '''\
"""P-256: its parameters (SP 800-186, section 3.2.1.3) and a comb table of the base point G.

Made by tests/support/make_p256_table.py; do not edit.

Entry i of block b, 64 bytes x || y, big-endian, is the point
    2^(b * COLUMNS) * (2^(5 * SPACING) + d4 2^(4 * SPACING) + ... + d1 2^SPACING + d0) * G
where dt is 1 if bit t of i is set and -1 if not.
"""

# y^2 = x^3 - 3 x + B modulo the prime P; the group has the prime order N.
P = 0x{p:064X}
N = 0x{n:064X}
B = 0x{b:064X}

TEETH = {TEETH}
BLOCKS = {BLOCKS}
COLUMNS = {COLUMNS}
SPACING = {SPACING}

# One bytes literal stays in flash when the module is frozen.
TABLE = (
'''


def entry(block: int, index: int) -> PointJacobi:
    """The point that the header describes, computed as it is written there."""
    total = INFINITY
    for tooth in range(TEETH):
        power = NIST256p.generator * (1 << tooth * SPACING + block * COLUMNS)
        plus = tooth == TEETH - 1 or index >> tooth & 1
        total = total + (power if plus else -power)
    return total


def escaped(data: bytes) -> str:
    return '    b"' + "".join(f"\\x{byte:02x}" for byte in data) + '"\n'


def render() -> str:
    """The whole text of the module."""
    lines = [
        HEADER.format(
            p=NIST256p.curve.p(),
            n=NIST256p.order,
            b=NIST256p.curve.b(),
            TEETH=TEETH,
            BLOCKS=BLOCKS,
            COLUMNS=COLUMNS,
            SPACING=SPACING,
        )
    ]
    points = [entry(block, i) for block in range(BLOCKS) for i in range(1 << TEETH - 1)]
    data = b"".join(int(c).to_bytes(32, "big") for p in points for c in (p.x(), p.y()))
    lines += [escaped(data[i : i + _LINE]) for i in range(0, len(data), _LINE)]
    return "".join([*lines, ")\n"])


if __name__ == "__main__":
    PATH.write_text(render())
