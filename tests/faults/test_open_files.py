"""Boards are served, and the log stays small, when the system has no more open files."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.served import Board, Server, limit_open_files

STRANGERS = 300
Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with contextlib.ExitStack() as servers:

        def serve(open_files: int) -> Server:
            server = Server(tmp_path / "home", open_files=open_files)
            servers.callback(server.close)
            return server

        yield serve


@pytest.fixture
def strangers() -> Iterator[Callable[[Server], None]]:
    """Connections from as many addresses, which say nothing."""
    with contextlib.ExitStack() as connections:

        def connect(server: Server) -> None:
            for number in range(STRANGERS):
                stranger = connections.enter_context(socket.socket())
                stranger.bind((f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
                stranger.settimeout(10)
                stranger.connect(("127.0.0.1", server.port))

        yield connect


def deliver(server: Server) -> None:
    """A board connects, and two messages of it are stored."""
    board = Board("127.0.0.9", server)

    async def story() -> None:
        try:
            await board.deliver(board.device.enrol("pico", "1.0"))
            await board.live(0.1)
        finally:
            board.hang_up()

    asyncio.run(story())
    stored = server.registry.messages(board.device.device_id)
    assert [row.counter for row in stored] == board.acknowledged


def test_server_with_few_open_files_says_so_and_serves(
    serve: Serve, strangers: Callable[[Server], None]
) -> None:
    server = serve(open_files=256)
    strangers(server)
    deliver(server)
    assert server.stop() == 0
    log = server.log()
    assert "there is room for 160 connections and not for 10000" in log[0]
    assert not [line for line in log if "cannot accept" in line]
    assert len(log) < 500


def test_server_that_runs_out_of_open_files_lets_strangers_go(
    serve: Serve, strangers: Callable[[Server], None]
) -> None:
    server = serve(open_files=256)
    deliver(server)
    limit_open_files(server.pid, 64)  # fewer than it thought it had
    strangers(server)
    deliver(server)
    assert server.stop() == 0
    log = server.log()
    assert any("cannot accept a connection: Too many open files" in line for line in log)
    assert not [line for line in log if "Traceback" in line]
    assert len(log) < 500
