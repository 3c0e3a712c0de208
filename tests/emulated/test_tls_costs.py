"""What a server that nobody has checked yet can make a board compute in one step of a handshake.

Nothing else runs on the board meanwhile, and an RP2040's watchdog waits for 8.3 s at the most.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import tls_bench
from certificates import Key, authority, issue, p256, p384, rsa2048
from tls_bench import ALWAYS, HOST, Bench
from tls_servers import context, echo

# The Pico's clock goes by the cycles of its processor, so these are times of the real one.
LONGEST_MS = 500
LONGEST_CHAIN_MS = 2500

OTHER_KEYS: dict[str, Callable[[], Key]] = {
    "P-384": p384,
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA 2048": rsa2048,
    "RSA 4096": lambda: rsa.generate_private_key(public_exponent=65537, key_size=4096),
}


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    bench = tls_bench.lend(request)
    bench.trust()
    return bench


@pytest.mark.parametrize("bench", ["QEMU_MPS2_AN385", "RPI_PICO"], indirect=True)
def test_a_board_computes_with_no_key_but_those_on_p256(bench: Bench) -> None:
    for name, make in OTHER_KEYS.items():
        ca = authority("CA one", begins=ALWAYS, key=make())
        between = authority("between", issuer=ca, begins=ALWAYS, key=make())
        found = bench.attempt(echo(context(issue(between, HOST, begins=ALWAYS), bench.folder)))
        print(bench.name, name, bench.client.longest(), found)
        assert found.startswith("TlsError"), name
        assert bench.client.longest() < LONGEST_MS, name
    bench.works()


@pytest.mark.parametrize("bench", ["QEMU_MPS2_AN385", "RPI_PICO"], indirect=True)
def test_the_longest_chain_that_fits(bench: Bench) -> None:
    """All have the same name, so that each might have signed the first one, and none has.

    The heap ends before the Pico has taken sixteen.
    """
    for count in (8, 16):
        first = issue(authority("CA one", begins=ALWAYS), HOST, begins=ALWAYS)
        others = tuple(
            authority("CA one", begins=ALWAYS, key=p256()).certificate for _ in range(count)
        )
        chained = type(first)(first.certificate, first.key, others)
        found = bench.attempt(echo(context(chained, bench.folder)))
        print(bench.name, count, bench.client.longest(), found)
        assert found.startswith("TlsError")
        assert bench.client.longest() < LONGEST_CHAIN_MS
    bench.works()
