"""What the protocol of a modem asks of the one who owns the UART and the sockets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """Bytes for the board."""

    data: bytes


@dataclass(frozen=True)
class Join:
    """Join an access point; report with `joined`."""

    ssid: str
    password: str


@dataclass(frozen=True)
class Open:
    """Open a connection; report with `opened` or `failed`."""

    link: int
    kind: str  # "TCP" or "UDP"
    host: str
    port: int
    keep_alive: int = 0  # seconds between probes of an idle TCP connection; 0: none


@dataclass(frozen=True)
class Send:
    """Send on a connection; report with `sent`."""

    link: int
    data: bytes


@dataclass(frozen=True)
class Close:
    """Forget a connection and all that is under way on it. There is nothing to report."""

    link: int


Action = Output | Join | Open | Send | Close
