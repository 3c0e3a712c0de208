"""Every vector that is for the board's code, on 32-bit boards: there floats and integers differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import pytest

import board_vectors
import published_vectors
from board_vectors import ANSWERS, CBOR, FRAMES, Vector, accepted, refused
from device import Interpreter
from published_vectors import RFC_5869, RFC_8439, RFC_9180


def each(subjects: Any, check: Callable[..., None], vectors: Iterable[Vector], *rest: Any) -> None:
    """Run a check on all vectors, and name those that fail."""
    failures = []
    for vector in vectors:
        try:
            check(subjects, vector, *rest)
        except Exception as error:
            failures.append(f"{vector.get('name', vector)}: {error!r}")
    assert not failures, f"{check.__name__}: " + "\n".join(failures)


@pytest.mark.parametrize("board", ["UNIX_ARM", "QEMU_MPS2_AN385", "RPI_PICO"])
def test_board_is_right_about_every_vector(board: str) -> None:
    with closing(Interpreter(board)) as device:
        each(device, board_vectors.read_and_written, filter(accepted, CBOR["vectors"]))
        each(device, board_vectors.not_read, filter(refused, CBOR["vectors"]))
        each(device, board_vectors.message_written, filter(accepted, FRAMES["vectors"]))
        each(device, board_vectors.frame_made, filter(accepted, FRAMES["vectors"]), {})
        each(device, board_vectors.answer_opened, filter(accepted, ANSWERS["vectors"]))
        waiting = board_vectors.session(device)
        each(waiting, board_vectors.answer_refused, filter(refused, ANSWERS["vectors"]))
        board_vectors.opened(waiting, "acknowledge")
        board_vectors.opened(waiting, "command")

        each(device, published_vectors.hkdf, RFC_5869["vectors"])
        each(device, published_vectors.aead, RFC_8439["aead"])
        each(device, published_vectors.chacha20, RFC_8439["chacha20"])
        each(device, published_vectors.poly1305, RFC_8439["poly1305"])
        for end in published_vectors.hpke_ends(device):
            each(end, published_vectors.hpke_encryption, RFC_9180["encryptions"])
            each(end, published_vectors.hpke_export, RFC_9180["exports"])
