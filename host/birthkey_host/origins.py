"""Whom to hold it against where frames come from: an address, or the networks that it is one of.

A subscriber of IPv6 has a /64 at least, often a /56 or a /48, and so more addresses than any table
has places. Names of networks are made so that each is the beginning of all that are within it.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

Origin = tuple[str, ...]
"""The names of the networks of one address, from the widest to the narrowest."""

LENGTH = 64
"""Characters of a name, at most."""

_SHARES = (4, 2, 1)  # of a /48, a /56 and a /64


class Network(NamedTuple):
    """A level at which addresses are counted together."""

    name: str
    share: int
    """How many times as much as a single address it may take."""


def networks(source: str) -> tuple[Network, ...]:
    """The networks of an address, the narrowest first; of what is no address, it alone."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return (Network(source[:LENGTH], 1),)  # the port that a board is on
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return (Network(str(address.ipv4_mapped), 1),)
        groups = ipaddress.IPv6Address(int(address)).exploded
        return (
            Network(f"{groups[:19]}::/64", _SHARES[2]),
            Network(groups[:17], _SHARES[1]),  # /56
            Network(groups[:15], _SHARES[0]),  # /48
        )
    return (Network(str(address), 1),)


def origin(address: str) -> Origin:
    """The names of its networks: of itself alone, or of its /48, /56 and /64 in IPv6."""
    return tuple(network.name for network in reversed(networks(address)))


def shares(origin: Origin) -> tuple[int, ...]:
    """How much each network of an origin may have, counted in what an address of IPv4 may."""
    return _SHARES[len(_SHARES) - len(origin) :]


def within(name: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether the narrowest network of an address, by its name, lies in another one."""
    try:
        inner = ipaddress.ip_network(name)
    except ValueError:
        return False
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(network, ipaddress.IPv4Network) and inner.subnet_of(network)
    return isinstance(network, ipaddress.IPv6Network) and inner.overlaps(network)
