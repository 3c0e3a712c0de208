"""A board whose spool is as full as it gets starts at once, and in as little memory as others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mpremote.transport_serial import SerialTransport

from birthkey_host.cose import thumbprint
from birthkey_host.keys import ServerKey
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2, Netduino2
from boards.emulated.rp2040 import Rp2040
from device import TESTS, device_environment, micropython

LIMIT = 100_000
FREE = 28 * 1024  # of heap, for all of it

ON_BOARD = """
import gc, json, board, vfs
from time import ticks_diff, ticks_ms
from birthkey import Device, keystore
try:
    from rp2 import Flash
except ImportError:
    from qemu import Flash
class Link:
    def receive(self):
        pass
vfs.umount("/")
gc.collect()
ballast = bytearray(gc.mem_free() - {free})
used = gc.mem_alloc()
began = ticks_ms()
keystore.mount(Flash(), "/", {progsize})
mounted = ticks_ms()
device = Device(Link(), server_key={key!r}, sources=board.ENTROPY, spool={limit})
ended = ticks_ms()
gc.collect()
kept = gc.mem_alloc() - used
outbox = device._outbox
given = []
for _ in range(3):
    item = outbox.oldest()
    given.append(item.counter & 0xFFFFFFFF)
    outbox.remove(item)
print(json.dumps({{"mount_ms": ticks_diff(mounted, began), "device_ms": ticks_diff(ended, mounted),
    "heap": kept, "boot": device.boot, "given": given, "left": device.queued}}))
"""


def fill(board: Emulator, progsize: int, server: ServerKey) -> int:
    """Give the board a flash that holds a full spool; how many readings they are."""
    area = board.flash_area
    image = board.folder / "image"
    arguments = [area.blocks, progsize, LIMIT, thumbprint(server.public)[:16].hex()]
    ran = subprocess.run(
        [micropython(), "-X", "heapsize=32M", str(TESTS / "support" / "full_spool.py"), str(image)]
        + [str(argument) for argument in arguments],
        env=device_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    board.flash.write_bytes(b"\xff" * area.offset + image.read_bytes())
    return int(ran.stdout)


def run(board: Emulator, code: str) -> dict[str, Any]:
    board.switch_on()
    board.says("^>>> ", 60)
    transport = SerialTransport(board.repl, timeout=60)
    try:
        transport.enter_raw_repl(soft_reset=False)
        said, error = transport.exec_raw(code, timeout=120)
    finally:
        transport.serial.close()
    assert not error, error.decode()
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize(
    ("kind", "progsize", "least"),
    [(Mps2, 32, 400), (Netduino2, 32, 400), (Rp2040, 256, 2500)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_board_with_a_full_spool(
    kind: type[Emulator], progsize: int, least: int, tmp_path: Path
) -> None:
    server = ServerKey.generate()
    with kind(tmp_path / "board") as board:
        count = fill(board, progsize, server)
        code = ON_BOARD.format(free=FREE, progsize=progsize, key=server.public.hex(), limit=LIMIT)
        found = run(board, code)
    print(json.dumps({"board": kind.name, "readings": count, **found}))
    assert count > least
    assert (found["boot"], found["given"], found["left"]) == (2, [0, 1, 2], count - 3)
    assert found["mount_ms"] + found["device_ms"] <= 3000
    assert found["heap"] < 8 * 1024
