"""The stage of the attacks, and the mark that each of them carries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import birthkey.conversation
from attacks.stage import Board, Stage
from attacks.target import Target
from attacks.wire import Loop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "attack(what, layer, result=''): what is tried, the layer that refuses it, and what comes "
        "of it where that is more than silence; docs/attacks.md is made of these",
    )


@pytest.fixture
def layer(request: pytest.FixtureRequest) -> str:
    """The layer that refuses this attack, as its mark says."""
    mark = request.node.get_closest_marker("attack")
    return str(mark.kwargs["layer"])


@pytest.fixture
def layers(layer: str) -> set[str]:
    """The layers that refuse this attack, of which the mark names several."""
    return set(layer.split(", "))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards try again at once, and the network is quick: nobody has to be spared."""
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 1000)
    monkeypatch.setattr(birthkey.conversation, "_FIRST_RETRY_MS", 10)
    monkeypatch.setattr(birthkey.conversation, "_MOST_RETRY_MS", 20)
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", 100)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A server that lets everyone in, and nobody else yet."""
    with Loop() as loop, contextlib.ExitStack() as stack:
        yield Stage(loop, tmp_path, stack)


@pytest.fixture
def board(stage: Stage) -> Board:
    """A genuine board, enrolled, with one reading delivered."""
    return stage.board()


@pytest.fixture
def target(stage: Stage, board: Board) -> Target:
    """That board, which takes commands."""
    return Target(stage, board)
