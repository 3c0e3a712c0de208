"""Who may become a device: the policies that decide about a first contact.

A policy is asked after proof of possession, about ids that the registry does not know, and again
whenever one that waits enrols once more. It is not asked about ids that a person approved: those
are active whatever the policy. That is what the allow-list consists of.
"""

from __future__ import annotations

from typing import Protocol

from birthkey_host.schema import State


class Policy(Protocol):
    """Decides in which state a new device starts."""

    @property
    def name(self) -> str:
        """What the command line and the audit events call it."""

    def admit(self, *, claimed: bool) -> State | None:
        """The first state of a device; None: it is told `pending`, and nothing is kept of it.

        `claimed`: its enrol carries a claim code that is valid now.
        """


class Approve:
    """Waits for a person, who approves by the whole id."""

    name = "approve"

    def admit(self, *, claimed: bool) -> State | None:
        """Pending, whoever it is."""
        return State.PENDING


class Open:
    """Trust on first use: anyone who can reach the server becomes a device."""

    name = "open"

    def admit(self, *, claimed: bool) -> State | None:
        """Active, whoever it is."""
        return State.ACTIVE


class Claim:
    """Lets in who has a claim code, once for each code."""

    name = "claim"

    def admit(self, *, claimed: bool) -> State | None:
        """Active with a valid code; strangers leave no trace, so that they can fill nothing."""
        return State.ACTIVE if claimed else None


class Allowlist:
    """Lets in those alone whose ids were approved beforehand, as they are on a factory's bench."""

    name = "allowlist"

    def admit(self, *, claimed: bool) -> State | None:
        """Nobody: whoever is on the list was approved, and needs no policy."""
        return None


POLICIES: dict[str, Policy] = {
    policy.name: policy for policy in (Approve(), Open(), Claim(), Allowlist())
}


def policy(name: str) -> Policy:
    """The policy of that name; `ValueError` names those there are."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ValueError(f"no policy {name!r}; there are: {', '.join(POLICIES)}") from None
