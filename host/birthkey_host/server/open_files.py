"""How many connections the system lets this process have: each of them is an open file."""

from __future__ import annotations

import resource

SPARE = 96
"""Open files for the database, the log, the certificate and the listeners, and for connections
that have just lost their place to another and are not closed yet."""


def allow(connections: int) -> int:
    """Raise the limit on open files as far as that many connections need, and it may be.

    Returns how many connections the limit then has room for, `connections` at most.
    """
    wanted = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
        if _suffices(soft, wanted):
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except (OSError, ValueError):
            continue  # only root may raise the hard limit, and not beyond the system's own
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if _suffices(soft, wanted) else max(soft - SPARE, 1)


def _suffices(soft: int, wanted: int) -> bool:
    return soft == resource.RLIM_INFINITY or soft >= wanted
