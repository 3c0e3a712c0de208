"""A board's module as `birthkey.factory` sees it; runs on the device."""

from birthkey.crypto import entropy


class Board:
    NAME = "bench"
    UNIQUE_ID = b"\x01\x02"
    ENTROPY = entropy.SOURCES

    def __init__(self, folder):
        self.STATE = folder
        self.mounted = 0

    def mount(self):
        self.mounted += 1


def stuck(folder):
    """A board whose noise is none."""
    board = Board(folder)
    board.ENTROPY = (entropy.Source("noise", lambda count: bytes(count), 4),)
    return board
