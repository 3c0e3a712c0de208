"""Bad bits and lost blocks on real firmware: it is who it was, later than before, or stops."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from birthkey_host.keys import ServerKey
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2, Netduino2
from boards.emulated.rp2040 import Rp2040

DEVICE = r"^device (\w{32}), boot (\d+)(, new key)?$"
SAID = rf"{DEVICE}|^stopped: (.*)$"
STARTS = 3


def damages(board: Emulator, image: bytes) -> list[tuple[int, bytes]]:
    """(position, bytes) of each: half of each block in use is erased, and some bits are flipped."""
    area = board.flash_area
    half = b"\xff" * (area.block_size // 2)
    found = []
    for start in range(area.offset, area.end, area.block_size):
        block = image[start : start + area.block_size]
        used = [at for at, byte in enumerate(block) if byte != 0xFF]
        if not used:
            continue
        found.append((start, half))
        for at in {used[0], used[len(used) // 2], used[-1]}:
            found.append((start + at, bytes([block[at] ^ 4])))
    return found


@pytest.mark.parametrize("kind", [Mps2, Netduino2, Rp2040], ids=lambda kind: kind.name)
def test_damage_to_flash(kind: type[Emulator], tmp_path: Path) -> None:
    board = kind(tmp_path)
    modem = {"dialect": "esp_at", "ssid": "net", "password": "secret"}
    key = ServerKey.generate().public.hex()
    board.configure({"server": "127.0.0.1:7155", "server_key": key, "modem": modem, "spool": 20000})
    for _ in range(STARTS):
        with board:
            board.switch_on()
            found = board.says(DEVICE, 60)
    device_id, image = found[1], board.flash.read_bytes()
    assert int(found[2]) == STARTS
    outcomes: Counter[str] = Counter()
    for position, content in damages(board, image):
        board.flash.write_bytes(image[:position] + content + image[position + len(content) :])
        with board:
            board.switch_on()
            found = board.says(SAID, 60)
        if found[4]:
            outcomes["stopped: " + found[4][:40]] += 1
        else:
            assert found[1] == device_id
            assert int(found[2]) > STARTS
            outcomes["identity kept"] += 1
    print(json.dumps({"board": kind.name, **outcomes}))
    assert outcomes["identity kept"] >= outcomes.total() / 2
    assert outcomes.total() - outcomes["identity kept"] > 2
