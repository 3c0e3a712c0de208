"""Flash in a file: a block device for littlefs, with the two operations that real flash has."""

_BLOCK_SIZE = 4096
_ERASED = b"\xff"


class FileFlash:
    """`blocks` erasable blocks of 4096 bytes in the file at `path`, which is made if missing."""

    def __init__(self, path, blocks=64):
        self._blocks = blocks
        try:
            self._file = open(path, "r+b")
        except OSError:
            with open(path, "wb") as fresh:
                for _ in range(blocks):
                    fresh.write(_ERASED * _BLOCK_SIZE)
            self._file = open(path, "r+b")

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
