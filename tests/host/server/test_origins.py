from __future__ import annotations

import pytest

from birthkey_host.server.origins import origin, shares


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("2001:db8:1:2345:3:4:5:6",
         ("2001:db8:1::/48", "2001:db8:1:2300::/56", "2001:db8:1:2345::/64")),
        ("2001:db8:1:2:ffff::", ("2001:db8:1::/48", "2001:db8:1::/56", "2001:db8:1:2::/64")),
        ("fe80::1%eth0", ("fe80::/48", "fe80::/56", "fe80::/64")),
        ("::ffff:192.0.2.7", ("192.0.2.7",)),
        ("unknown", ("unknown",)),
    ],
)  # fmt: skip
def test_origin(address: str, expected: tuple[str, ...]) -> None:
    assert origin(address) == expected


def test_wider_networks_have_more_shares() -> None:
    assert shares(origin("2001:db8::1")) == (4, 2, 1)
    assert shares(origin("192.0.2.7")) == (1,)
    assert shares(()) == ()
