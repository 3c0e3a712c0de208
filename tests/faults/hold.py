"""Connections that strangers hold or make anew: `python hold.py PORT COUNT RATE SECONDS`.

Opens COUNT connections as fast as it can, each from an address of its own in 127.0.0.0/8, and
prints `held`; then RATE more a second for SECONDS, the oldest of its own closed for each once
there are twice COUNT; prints how many it made, and ends when its input does.
"""

from __future__ import annotations

import collections
import itertools
import resource
import socket
import sys
import time


def addresses() -> itertools.cycle[str]:
    return itertools.cycle(
        f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
        for number in range(125_000)
    )


def connect(address: str, port: int) -> socket.socket:
    stranger = socket.socket()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stranger.bind((address, 0))
    stranger.settimeout(30)
    stranger.connect(("127.0.0.1", port))
    return stranger


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    rate, seconds = float(sys.argv[3]), float(sys.argv[4])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = min(2 * count, hard - 100)
    source = addresses()
    held = collections.deque(connect(next(source), port) for _ in range(count))
    print("held", flush=True)
    began, made = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        while made < (now - began) * rate and time.monotonic() < began + seconds:
            if len(held) >= most:
                held.popleft().close()
            held.append(connect(next(source), port))
            made += 1
        time.sleep(0.001)
    print(f"made {made}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
