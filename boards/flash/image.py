"""Firmware images: which addresses they fill, and where they expect the board's file system."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# UF2: https://github.com/microsoft/uf2
_UF2_BLOCK = 512
_UF2_MAGIC = (0x0A324655, 0x9E5D5157)
_UF2_MAGIC_END = 0x0AB16F30
_UF2_NOT_MAIN_FLASH = 0x00000001
_UF2_FAMILY = 0x00002000

# Binary info of the Pico SDK (pico/binary_info/structure.h): what picotool shows.
_PICO_FLASH = 0x10000000
_INFO_START, _INFO_END = 0x7188EBF2, 0xE71AA390
_INFO_WITHIN = 320  # words from the start of flash
_MOST_INFO = 4096
_BLOCK_DEVICE = 7 | 0x504D << 16  # its type, and MicroPython's tag, "MP"

# Where STM32 have their flash, for images that do not say where they go.
_STM32_FLASH = 0x08000000
_DFU_PREFIX = struct.Struct("<5sBIB")
_DFU_TARGET = struct.Struct("<6sBI255s2I")
_DFU_ELEMENT = struct.Struct("<2I")
_DFU_SUFFIX = 16


Words = Callable[[int, int], Sequence[int]]
"""(address, count) -> so many words of 32 bits from there; none where nothing is known."""


class ImageError(Exception):
    """A file that is no image for the board; the text says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at an address of the processor."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True, slots=True)
class Image:
    """A firmware image; `segments` in the order of their addresses, none touching another."""

    path: Path
    segments: tuple[Segment, ...]
    file_system: tuple[int, int] | None = None
    """(address, bytes) of the file system as the image says it, if it does."""

    @property
    def size(self) -> int:
        return sum(len(segment.data) for segment in self.segments)

    def touches(self, address: int, size: int) -> bool:
        """Whether flashing it writes or erases anything in that area.

        What is erased are sectors of 4096 bytes at least.
        """
        return any(
            segment.address & -4096 < address + size and address < (segment.end + 4095) & -4096
            for segment in self.segments
        )


def load(path: Path) -> Image:
    """Read a .uf2, .dfu or .bin. Raises ImageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None
    if path.suffix == ".uf2":
        segments = _joined(_uf2(path, data))
        return Image(path, segments, pico_file_system(_words_of(segments)))
    if path.suffix == ".dfu":
        return Image(path, _joined(_dfu(path, data)))
    if path.suffix == ".bin":
        return Image(path, (Segment(_STM32_FLASH, data),))
    raise ImageError(f"{path} is no .uf2, .dfu or .bin")


def _uf2(path: Path, data: bytes) -> Iterator[Segment]:
    if not data or len(data) % _UF2_BLOCK:
        raise ImageError(f"{path} is no whole UF2 file: {len(data)} bytes")
    for start in range(0, len(data), _UF2_BLOCK):
        block = data[start : start + _UF2_BLOCK]
        first, second, flags, address, size, _, _, _ = struct.unpack_from("<8I", block)
        (last,) = struct.unpack_from("<I", block, _UF2_BLOCK - 4)
        if (first, second) != _UF2_MAGIC or last != _UF2_MAGIC_END or size > 476:
            raise ImageError(f"{path} is no UF2 file: block {start // _UF2_BLOCK} is malformed")
        if not flags & _UF2_NOT_MAIN_FLASH:
            yield Segment(address, block[32 : 32 + size])


def _dfu(path: Path, data: bytes) -> Iterator[Segment]:
    """DfuSe, ST's extension: UM0391."""
    (crc,) = struct.unpack("<I", data[-4:].rjust(4, b"\0"))
    if crc != ~zlib.crc32(data[:-4]) & 0xFFFFFFFF:
        raise ImageError(f"{path} is damaged or cut short: its check sum is another")
    try:
        signature, version, _, targets = _DFU_PREFIX.unpack_from(data)
        at = _DFU_PREFIX.size
        if (signature, version) != (b"DfuSe", 1):
            raise struct.error
        for _ in range(targets):
            *_, elements = _DFU_TARGET.unpack_from(data, at)
            at += _DFU_TARGET.size
            for _ in range(elements):
                address, size = _DFU_ELEMENT.unpack_from(data, at)
                at += _DFU_ELEMENT.size + size
                if at > len(data) - _DFU_SUFFIX:
                    raise struct.error
                yield Segment(address, data[at - size : at])
    except struct.error:
        raise ImageError(f"{path} is no DfuSe file") from None


def _joined(pieces: Iterator[Segment]) -> tuple[Segment, ...]:
    segments: list[tuple[int, bytearray]] = []
    for piece in sorted(pieces, key=lambda piece: piece.address):
        if segments and segments[-1][0] + len(segments[-1][1]) == piece.address:
            segments[-1][1].extend(piece.data)
        else:
            segments.append((piece.address, bytearray(piece.data)))
    return tuple(Segment(address, bytes(data)) for address, data in segments)


def pico_file_system(words: Words) -> tuple[int, int] | None:
    """(address, bytes) of MicroPython's block device, as the binary info in flash says it."""
    head = words(_PICO_FLASH, _INFO_WITHIN)
    for at in range(len(head) - 4):
        if head[at] == _INFO_START and head[at + 4] == _INFO_END:
            break
    else:
        return None
    first, last = head[at + 1], head[at + 2]
    if not 0 < last - first <= _MOST_INFO:
        return None
    for pointer in words(first, (last - first) // 4):
        entry = words(pointer, 4)
        if entry and entry[0] == _BLOCK_DEVICE:
            return entry[2], entry[3]
    return None


def _words_of(segments: tuple[Segment, ...]) -> Words:
    def words(address: int, count: int) -> tuple[int, ...]:
        for segment in segments:
            at = address - segment.address
            if 0 <= at <= len(segment.data) - 4 * count:
                return struct.unpack_from(f"<{count}I", segment.data, at)
        return ()

    return words
