"""Who may become a device: the policies that decide about a first contact.

A policy is asked after proof of possession, and only about ids that the registry does not know and
that nobody approved beforehand.
"""

from __future__ import annotations

from typing import Protocol

from birthkey_host.schema import State
from birthkey_host.verifier import Outcome


class Policy(Protocol):
    """Decides in which state a new device starts."""

    @property
    def name(self) -> str:
        """What the command line and the audit events call it."""

    def admit(self, outcome: Outcome) -> State:
        """The first state of the device that `outcome.enrol` presents."""


class Approve:
    """Waits for a person, who approves by the whole id."""

    name = "approve"

    def admit(self, outcome: Outcome) -> State:
        """Pending, whoever it is."""
        return State.PENDING


class Open:
    """Trust on first use: anyone who can reach the server becomes a device."""

    name = "open"

    def admit(self, outcome: Outcome) -> State:
        """Active, whoever it is."""
        return State.ACTIVE


POLICIES: dict[str, Policy] = {policy.name: policy for policy in (Approve(), Open())}


def policy(name: str) -> Policy:
    """The policy of that name; `ValueError` names those there are."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ValueError(f"no policy {name!r}; there are: {', '.join(POLICIES)}") from None
