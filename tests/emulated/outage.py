"""Runs on a board in the place of the application: an outage until nothing fits, and back.

{..., "outage": {"outbox": BYTES} or {"spool": BYTES}, "free_blocks": N or null}
"""

import json
import os

import board

board.mount()

from birthkey import Device, OutboxFull, modem  # noqa: E402

_MOST = 2000


def fill(folder, blocks):
    """Leave so many blocks of flash free."""
    with open(folder + "/filler", "wb") as file:
        while os.statvfs(folder)[3] > blocks:
            file.write(b"\x55" * 2048)
            file.flush()


def main():
    with open(board.CONFIG) as file:
        settings = json.load(file)
    host, _, port = settings["server"].rpartition(":")
    device = Device(
        modem.open(board.uart(), **settings["modem"]),
        server=(host, int(port)),
        server_key=settings["server_key"],
        path=board.STATE,
        sources=board.ENTROPY,
        **settings["outage"],
    )
    if settings["free_blocks"]:
        fill(board.STATE.rpartition("/")[0], settings["free_blocks"])
    while not device.deliver(10_000):
        pass
    print("enrolled")  # and the network goes
    lost = []
    number = 0
    while len(lost) < 3 and number < _MOST:
        number += 1
        try:
            device.send({"n": number}, 20)
        except OutboxFull as full:
            lost.append(number)
            print("full:", full)
    print("waiting %d, lost %s" % (device.queued, lost))  # and it comes back
    for _ in range(5):
        number += 1
        if not device.send({"n": number}, 120_000):
            print("not stored: %d, %s" % (number, device.problem))
    print(
        "sent %d, waiting %d, lost %s, problem %s" % (number, device.queued, lost, device.problem)
    )


main()
