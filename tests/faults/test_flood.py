"""Boards go on working while strangers send all that one core can.

Prints how long the boards waited for their acknowledgements, with and without the flood.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from faults.served import REBOOT_S, Board, Server

CALM_S, FLOOD_S, BOARDS = 2.0, 5.0, 3
FLOODER = Path(__file__).with_name("flooder.py")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "home", ["--connections", "500"])  # as many as flooders hold on to
    yield server
    server.close()


@contextlib.asynccontextmanager
async def flooding(server: Server, recorded: list[bytes], folder: Path) -> AsyncIterator[list[str]]:
    """A flood in a process of its own; what it did is in the list in the end."""
    file, did = folder / "recorded", list[str]()
    file.write_text("\n".join(frame.hex() for frame in recorded))
    arguments = [FLOODER, str(server.port), server.key.public.hex(), file]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=subprocess.PIPE
    )
    try:
        await asyncio.sleep(1)  # until all its connections are made
        yield did
        process.terminate()
        output, _ = await process.communicate()
        did.append(output.decode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def times(boards: list[Board]) -> tuple[float, float, float]:
    """Median, 95th percentile and maximum of what they have waited since the last call, in s."""
    waits = sorted(wait for board in boards for wait in board.waits)
    for board in boards:
        board.waits.clear()
    return statistics.median(waits), waits[int(0.95 * len(waits))], waits[-1]


def told(name: str, figures: tuple[float, float, float]) -> str:
    return f"{name:14}" + "".join(f"{1000 * figure:9.1f}" for figure in figures)


@pytest.mark.alone
def test_boards_are_served_while_strangers_flood(server: Server, tmp_path: Path) -> None:
    boards = [Board(f"127.0.0.{2 + number}", server) for number in range(BOARDS)]

    async def calm() -> tuple[float, float, float]:
        for board in boards:
            await board.deliver(board.device.enrol("pico", "1.0"))
            board.waits.clear()
        await asyncio.gather(*(board.live(CALM_S) for board in boards))
        return times(boards)

    async def restless() -> None:
        await boards[0].live(FLOOD_S / 2 - REBOOT_S)
        await boards[0].reboot()
        reboots.append(boards[0].waits[-1])
        await boards[0].live(FLOOD_S / 2)

    async def flooded() -> tuple[float, float, float]:
        recorded = [frame for board in boards for frame in board.recorded]
        async with flooding(server, recorded, tmp_path) as did:
            await asyncio.gather(restless(), *(board.live(FLOOD_S) for board in boards[1:]))
            figures = times(boards)
        strangers.update(json.loads(did[0]))
        return figures

    async def story() -> list[tuple[float, float, float]]:
        try:
            return [await calm(), await flooded()]
        finally:
            for board in boards:
                board.hang_up()

    reboots: list[float] = []
    strangers: dict[str, int] = {}
    before, during = asyncio.run(story())
    code = server.stop()
    log = server.log()
    summed_up = [line for line in log if " more in the last " in line]
    held = sum(int(re.findall(r"(\d+) more in the last", line)[0]) for line in summed_up)

    print(f"\n{'ms':14}{'median':>9}{'95 %':>9}{'max':>9}")
    print(told("without", before), told("with the flood", during), sep="\n")
    print(f"first acknowledgement after a reboot in the flood: {1000 * reboots[0]:.0f} ms")
    print(f"strangers: {strangers}; log: {len(log)} lines, {held} more counted")

    assert code == 0
    for board in boards:
        stored = server.registry.messages(board.device.device_id)
        assert [row.counter for row in stored] == board.acknowledged
    assert during[0] < 1.0
    # It was a flood, and the log is none.
    assert min(strangers[kind] for kind in ("rubbish", "forged", "unknown", "replayed")) > 1000
    assert strangers["connections"] > 1000
    assert held > 100
    assert len([line for line in log if " INFO " not in line]) < 500
