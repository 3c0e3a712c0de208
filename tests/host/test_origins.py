"""Which addresses are counted together."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from birthkey_host.origins import LENGTH, Network, networks, origin, shares, within


@pytest.mark.parametrize("source", ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"])
def test_ipv4(source: str) -> None:
    assert networks(source) == (Network("192.0.2.1", 1),)


def test_ipv6_is_a_subscriber_of_64_56_or_48_bits() -> None:
    assert networks("2001:db8:1:203::42") == (
        Network("2001:0db8:0001:0203::/64", 1),
        Network("2001:0db8:0001:02", 2),
        Network("2001:0db8:0001:", 4),
    )
    assert networks("2001:db8:1:203:ffff::") == networks("2001:db8:1:203::1")
    assert networks("2001:db8:1:2ff::")[1:] == networks("2001:db8:1:203::1")[1:]
    assert networks("2001:db8:1:303::")[2:] == networks("2001:db8:1:203::1")[2:]
    assert networks("2001:db8:1:303::")[1] != networks("2001:db8:1:203::1")[1]
    assert networks("2001:db8:10:203::")[2] != networks("2001:db8:1:203::1")[2]


def test_wider_networks_come_first_and_have_more_shares() -> None:
    assert origin("2001:db8:1:203::42") == (
        "2001:0db8:0001:",
        "2001:0db8:0001:02",
        "2001:0db8:0001:0203::/64",
    )
    assert shares(origin("2001:db8::1")) == (4, 2, 1)
    assert origin("::ffff:192.0.2.7") == ("192.0.2.7",)
    assert shares(origin("192.0.2.7")) == (1,)
    assert shares(()) == ()


def test_interface_of_an_address_does_not_matter() -> None:
    assert networks("fe80::1%eth0") == networks("fe80::1%eth1")


def test_port_is_an_origin() -> None:
    assert networks("/dev/ttyACM0") == (Network("/dev/ttyACM0", 1),)
    [network] = networks("/dev/" + "x" * 100)
    assert len(network.name) == LENGTH


@pytest.mark.parametrize("source", ["192.0.2.1", "2001:db8:1:203::42", "fe80::1%eth0"])
def test_names_fit(source: str) -> None:
    assert all(len(network.name) <= LENGTH for network in networks(source))


@pytest.mark.parametrize(
    ("source", "network", "inside"),
    [
        ("192.0.2.1", "192.0.2.0/24", True),
        ("192.0.2.1", "192.0.2.1/32", True),
        ("192.0.2.1", "192.0.2.16/32", False),
        ("192.0.2.1", "::/0", False),
        ("2001:db8:1:203::42", "2001:db8:1::/48", True),
        ("2001:db8:1:203::42", "2001:db8:1:203::42/128", True),
        ("2001:db8:1:203::42", "2001:db8:2::/48", False),
        ("2001:db8:1:203::42", "0.0.0.0/0", False),
        ("/dev/ttyACM0", "0.0.0.0/0", False),
        ("", "::/0", False),
    ],
)
def test_within(source: str, network: str, inside: bool) -> None:
    assert within(networks(source)[0].name, ip_network(network)) is inside
