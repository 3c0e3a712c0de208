"""Whom to hold an address against: the networks that it is in, from the widest to the narrowest."""

from __future__ import annotations

import ipaddress

Origin = tuple[str, ...]
"""The networks of one address: only itself where it is one of IPv4, else its /48, /56 and /64."""

_PREFIXES = (48, 56, 64)
_SHARES = (4, 2, 1)


def origin(address: str) -> Origin:
    """The networks that `address` is in; what is no address stands for itself.

    A single subscriber of IPv6 has a /64 at least, and may have a /56 or a /48: more addresses,
    and more networks, than any table has places. So each level counts for itself.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return (address,)
    if isinstance(parsed, ipaddress.IPv4Address):
        return (address,)
    if parsed.ipv4_mapped is not None:
        return (str(parsed.ipv4_mapped),)
    number = int(parsed)
    return tuple(
        f"{ipaddress.IPv6Address(number >> 128 - prefix << 128 - prefix)}/{prefix}"
        for prefix in _PREFIXES
    )


def shares(origin: Origin) -> tuple[int, ...]:
    """How much each network of an origin may have, counted in what an address of IPv4 may."""
    return _SHARES[len(_SHARES) - len(origin) :]
