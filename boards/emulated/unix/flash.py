"""Flash in a file: a block device for littlefs, with the two operations that real flash has."""

_BLOCK_SIZE = 4096
_ERASED = b"\xff"


class FileFlash:
    """Erasable blocks of 4096 bytes: the file at `path`, made with 64 of them if missing."""

    def __init__(self, path):
        try:
            self._file = open(path, "r+b")
        except OSError:
            with open(path, "wb") as fresh:
                for _ in range(64):
                    fresh.write(_ERASED * _BLOCK_SIZE)
            self._file = open(path, "r+b")
        self._blocks = self._file.seek(0, 2) // _BLOCK_SIZE

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * _BLOCK_SIZE + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self._erase(block)
            offset = 0
        self._file.seek(block * _BLOCK_SIZE + offset)
        self._file.write(buffer)
        self._file.flush()

    def ioctl(self, operation, argument):
        if operation == 4:  # number of blocks
            return self._blocks
        if operation == 5:  # size of a block
            return _BLOCK_SIZE
        if operation == 6:
            self._erase(argument)
        return 0

    def _erase(self, block):
        self._file.seek(block * _BLOCK_SIZE)
        self._file.write(_ERASED * _BLOCK_SIZE)
        self._file.flush()
