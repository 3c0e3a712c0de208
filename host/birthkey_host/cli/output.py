"""Standard output that says so when it is lost: on a full disk, behind a pipe that nobody reads.

`guard` makes every such loss raise `OutputLost`, whoever prints. Standard error is where it would
be told; what cannot be told there cannot be told, and stops nothing.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys

SIGPIPE_EXIT = 141
"""What a shell reports of a program that a closed pipe ended."""


class OutputLost(Exception):
    """What was printed did not get where it should."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {error.strerror}")
        self.broken_pipe = error.errno == errno.EPIPE
        """Its reader went away, which is no reason to say anything."""


class _Output(io.FileIO):
    def write(self, data: object) -> int:
        try:
            # None: it would have to wait, because someone else has made it non-blocking.
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])
            return written
        except OSError as error:
            raise OutputLost(error) from error


class _Errors(io.FileIO):
    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return len(data)  # type: ignore[arg-type]


def guard() -> None:
    """Put guarded files in the place of `sys.stdout` and `sys.stderr`."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: or the next file that is opened would be taken for it
            os.open(os.devnull, os.O_RDONLY)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Errors(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: object) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    # A label that the terminal has no letters for is shown all the same.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True
    )


def confirm() -> None:
    """Return when what was printed has left this program, and is on the disk if it went there.

    Raises `OutputLost`.
    """
    try:
        sys.stdout.flush()
        os.fsync(sys.stdout.fileno())
    except io.UnsupportedOperation:
        pass  # not a file of the system
    except OSError as error:
        # A terminal or a pipe has nothing to put on a disk, nor has every file system.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS):
            raise OutputLost(error) from error


def give_up() -> None:
    """Let what is still to be written vanish: nothing fails a second time on the way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
