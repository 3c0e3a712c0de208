"""Firmware images: read strictly, and refused when they would touch a board's file system."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from boards.flash.firmware import FirmwareError, check
from boards.flash.image import Image, ImageError, Segment, load, pico_file_system

FLASH = 0x10000000
AREA = (0x100A0000, 0x160000)


def uf2_block(address: int, data: bytes, number: int = 0, flags: int = 0x2000) -> bytes:
    head = struct.pack(
        "<8I", 0x0A324655, 0x9E5D5157, flags, address, len(data), number, 1, 0xE48BFF56
    )
    return head + data.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30)


def program(
    area: tuple[int, int] | None = AREA, size: int = 4096, markers: int = 0x110
) -> bytearray:
    """The start of a program for the RP2040, with binary info as the Pico SDK lays it out."""
    flash = bytearray(size)
    table, other, device = 0x400, 0x440, 0x480
    struct.pack_into(
        "<5I", flash, markers, 0x7188EBF2, FLASH + table, FLASH + table + 8, 0, 0xE71AA390
    )
    struct.pack_into("<2I", flash, table, FLASH + other, FLASH + device)
    struct.pack_into("<HHIII", flash, other, 5, 0x5052, 0x02031C86, 0, 0)  # a program's version
    kind = 7 if area else 6
    struct.pack_into("<HHIIIII", flash, device, kind, 0x504D, 0, *(area or (0, 0)), 0, 3)
    return flash


def words_of(memory: bytes):
    def words(address: int, count: int) -> Sequence[int]:
        at = address - FLASH
        if not 0 <= at <= len(memory) - 4 * count:
            return ()
        return struct.unpack_from(f"<{count}I", memory, at)

    return words


def write_uf2(path: Path, flash: bytes, start: int = FLASH) -> Path:
    blocks = [
        uf2_block(start + at, flash[at : at + 256], at // 256) for at in range(0, len(flash), 256)
    ]
    path.write_bytes(b"".join(reversed(blocks)))  # their order is of no meaning
    return path


def dfu(*segments: tuple[int, bytes]) -> bytes:
    elements = b"".join(struct.pack("<2I", at, len(data)) + data for at, data in segments)
    name = b"ST..."
    target = struct.pack("<6sBI255s2I", b"Target", 0, 1, name, len(elements), len(segments))
    target += elements
    file = struct.pack("<5sBIB", b"DfuSe", 1, 11 + len(target), 1) + target
    file += struct.pack("<4H3sB", 0, 0xDF11, 0x0483, 0x011A, b"UFD", 16)
    return file + struct.pack("<I", ~zlib.crc32(file) & 0xFFFFFFFF)


class TestUf2:
    def test_segments_are_joined(self, tmp_path: Path) -> None:
        flash = bytes(range(256)) * 5
        image = load(write_uf2(tmp_path / "a.uf2", flash))
        assert image.segments == (Segment(FLASH, flash),)
        assert image.size == 1280
        gap = uf2_block(FLASH, b"a" * 256) + uf2_block(FLASH + 512, b"b" * 256)
        (tmp_path / "b.uf2").write_bytes(gap)
        addresses = [segment.address for segment in load(tmp_path / "b.uf2").segments]
        assert addresses == [FLASH, FLASH + 512]

    def test_blocks_for_elsewhere_are_left_out(self, tmp_path: Path) -> None:
        blocks = uf2_block(FLASH, b"a" * 256) + uf2_block(0x1234, b"b" * 256, flags=0x2001)
        (tmp_path / "a.uf2").write_bytes(blocks)
        assert load(tmp_path / "a.uf2").segments == (Segment(FLASH, b"a" * 256),)

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            (b"", "is no whole UF2 file: 0 bytes"),
            (uf2_block(FLASH, b"a")[:-1], "is no whole UF2 file: 511 bytes"),
            (b"\0" + uf2_block(FLASH, b"a")[1:], "block 0 is malformed"),
            (uf2_block(FLASH, b"a") + uf2_block(FLASH, b"a")[:-1] + b"\0", "block 1 is malformed"),
            (
                uf2_block(FLASH, b"a")[:16] + b"\xdd\x01" + uf2_block(FLASH, b"a")[18:],
                "block 0 is malformed",
            ),
        ],
    )
    def test_malformed(self, tmp_path: Path, data: bytes, sentence: str) -> None:
        (tmp_path / "a.uf2").write_bytes(data)
        with pytest.raises(ImageError, match=sentence):
            load(tmp_path / "a.uf2")

    def test_file_system_is_in_the_binary_info(self, tmp_path: Path) -> None:
        image = load(write_uf2(tmp_path / "a.uf2", bytes(program())))
        assert image.file_system == AREA
        assert load(write_uf2(tmp_path / "b.uf2", bytes(program(None)))).file_system is None
        assert load(write_uf2(tmp_path / "c.uf2", bytes(4096))).file_system is None

    @pytest.mark.parametrize("markers", [0x100, 0x110, 0x1F0])
    def test_markers_are_looked_for(self, markers: int) -> None:
        assert pico_file_system(words_of(program(markers=markers))) == AREA

    def test_nonsense_in_the_binary_info(self) -> None:
        """Pointers that lead nowhere, and a table without end."""
        for at, value in ((0x114, 0), (0x118, 0x20000000), (0x118, 0), (0x404, 0xFFFFFFF0)):
            flash = program()
            struct.pack_into("<I", flash, at, value)
            assert pico_file_system(words_of(flash)) in (None, AREA)


class TestDfu:
    def test_segments(self, tmp_path: Path) -> None:
        path = tmp_path / "a.dfu"
        path.write_bytes(dfu((0x08000000, b"vectors"), (0x08004000, b"text")))
        assert load(path).segments == (
            Segment(0x08000000, b"vectors"),
            Segment(0x08004000, b"text"),
        )

    @pytest.mark.parametrize("keep", [0, 3, 20, 290, 300, 315])
    def test_cut_short(self, tmp_path: Path, keep: int) -> None:
        path = tmp_path / "a.dfu"
        path.write_bytes(dfu((0x08000000, b"vectors"))[:keep])
        with pytest.raises(ImageError, match="is damaged or cut short"):
            load(path)

    @pytest.mark.parametrize("at", [0, 7, 20, 290, 300, 312])
    def test_byte_that_is_another(self, tmp_path: Path, at: int) -> None:
        path = tmp_path / "a.dfu"
        damaged = bytearray(dfu((0x08000000, b"vectors")))
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match="is damaged or cut short"):
            load(path)

    def test_lengths_that_lead_out_of_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a.dfu"
        file = bytearray(dfu((0x08000000, b"vectors"))[:-4])
        struct.pack_into("<I", file, 11 + 274 + 4, 0x7FFFFFFF)
        path.write_bytes(file + struct.pack("<I", ~zlib.crc32(file) & 0xFFFFFFFF))
        with pytest.raises(ImageError, match="is no DfuSe file"):
            load(path)


def test_raw_image_is_for_the_start_of_flash(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert load(tmp_path / "a.bin").segments == (Segment(0x08000000, b"abc"),)


@pytest.mark.parametrize(
    ("name", "sentence"), [("none.uf2", "cannot read"), ("a.elf", "is no .uf2, .dfu or .bin")]
)
def test_no_image(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "a.elf").write_bytes(b"\x7fELF")
    with pytest.raises(ImageError, match=re.escape(sentence)):
        load(tmp_path / name)


class TestCheck:
    """Whether an image leaves a board's file system alone."""

    def image(self, size: int, file_system: tuple[int, int] | None = AREA) -> Image:
        return Image(Path("a.uf2"), (Segment(FLASH, bytes(size)),), file_system)

    def test_image_that_ends_before_it(self) -> None:
        said = check(self.image(0xA0000), AREA)
        assert said.endswith("the file system at 0x100a0000 stays as it is")

    @pytest.mark.parametrize("size", [0xA0001, 0x200000])
    def test_image_that_reaches_into_it(self, size: int) -> None:
        with pytest.raises(FirmwareError, match="would overwrite the file system at 0x100a0000"):
            check(self.image(size), AREA)

    def test_sector_is_erased_whole(self) -> None:
        """A file system that began in the middle of a sector would lose its beginning."""
        assert self.image(0x1001).touches(FLASH + 0x1800, 16)
        assert not self.image(0x1000).touches(FLASH + 0x1800, 16)

    @pytest.mark.parametrize("area", [(0x100B0000, 0x150000), (0x100A0000, 0x100000)])
    def test_image_that_looks_elsewhere(self, area: tuple[int, int]) -> None:
        with pytest.raises(FirmwareError, match="the identity would not be found there"):
            check(self.image(0x1000, area), AREA)

    def test_board_that_does_not_say(self) -> None:
        with pytest.raises(FirmwareError, match="nobody can tell"):
            check(self.image(0x1000), None)

    def test_image_that_does_not_say(self) -> None:
        assert check(self.image(0x1000, None), AREA).startswith("the image ends at 0x10001000")
