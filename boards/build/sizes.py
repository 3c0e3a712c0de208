"""What an image is made of, read from the linker's map: bytes a module, and what is left."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"

# An input section in the map; a long name stands on a line of its own.
_INPUT = re.compile(r"^ (\.[\w.$*]+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S.*)$", re.MULTILINE)
_OUTPUT = re.compile(
    r"^(\.[\w.$]+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: load address 0x([0-9a-f]+))?$", re.MULTILINE
)
_REGION = re.compile(r"^(\w+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)", re.MULTILINE)
_FROZEN = re.compile(r"^\.rodata\.frozen_module_(\w+)$")
_FROZEN_KIND = re.compile(
    r"^\.\w+\.(?:frozen_module|const_obj_table_data|const_obj|const_qstr_table_data|proto_fun"
    r"|children|fun_data|raw_code)_"
)
_NOT_LOADED = (".comment", ".ARM.attributes", ".debug", ".stab", ".stack_dummy", ".stack1_dummy")
_IN_RAM_ALONE = (".bss", ".noinit", ".heap", ".stack", "COMMON")

# The first pattern that the path of an object file has names its part of the firmware.
_PARTS = (
    ("/firmware/native/p256", "P-256 in assembly and C"),
    ("/lib/mbedtls", "mbed TLS"),
    ("modtls", "mbed TLS"),
    ("/lib/littlefs", "littlefs"),
    ("vfs_lfs", "littlefs"),
    ("/lib/tinyusb", "TinyUSB"),
    ("/lib/pico-sdk", "Pico SDK"),
    ("pico-sdk", "Pico SDK"),
    ("/lib/", "other libraries"),
    ("frozen_content", "constants of frozen Python"),
    (".a(", "C library and compiler"),
    ("crt", "C library and compiler"),
)


@dataclass(frozen=True)
class Region:
    """A memory of the board, in bytes."""

    name: str
    size: int
    used: int

    @property
    def left(self) -> int:
        return self.size - self.used


@dataclass(frozen=True)
class Sizes:
    """Bytes of flash a part of the firmware, and of each memory."""

    parts: dict[str, int]  # MicroPython and its libraries
    modules: dict[str, int]  # frozen Python
    regions: list[Region]

    @property
    def birthkey(self) -> int:
        return sum(size for name, size in self.modules.items() if name.startswith("birthkey"))


def sizes(map_file: Path, storage: int = 0) -> Sizes:
    """Read a map of GNU ld; `storage` are the bytes at the end of FLASH that files are kept in."""
    _, _, text = map_file.read_text().partition("\nMemory Configuration\n")
    memory, _, text = text.partition("\nLinker script and memory map\n")
    text = re.sub(r"^( ?[.\w$*]+)\n\s+0x", r"\1 0x", text, flags=re.MULTILINE)
    return Sizes(*_inputs(text), _regions(memory, text, storage))


def _inputs(text: str) -> tuple[dict[str, int], dict[str, int]]:
    found = [
        (name, int(size, 16), path)
        for name, address, size, path in _INPUT.findall(text)
        if not name.startswith(_NOT_LOADED + _IN_RAM_ALONE) and int(size, 16)
    ]
    dotted = {path.replace("/", "_"): path.replace("/", ".") for path in _paths()}
    names = {match[1] for name, _, _ in found if (match := _FROZEN.match(name))}
    parts: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for name, size, path in found:
        module = _module(name, names) if "frozen_content" in path else None
        if module:
            modules[dotted.get(module, module)] += size
        else:
            part = next((part for pattern, part in _PARTS if pattern in path), "MicroPython")
            parts[part] += size
    return dict(parts), dict(modules)


def _paths() -> list[str]:
    """The modules of the firmware folder, such as birthkey/crypto/hkdf."""
    found = FIRMWARE.rglob("*.py")
    return [path.relative_to(FIRMWARE).with_suffix("").as_posix() for path in found]


def _module(section: str, names: set[str]) -> str | None:
    """The frozen module that a section belongs to: the longest name that fits."""
    kind = _FROZEN_KIND.match(section)
    if not kind:
        return None
    rest = section[kind.end() :]
    fits = [name for name in names if rest == name or rest.startswith(name + "_")]
    return max(fits, key=len, default=None)


def _regions(memory: str, text: str, storage: int) -> list[Region]:
    found = {
        name: (int(origin, 16), int(length, 16))
        for name, origin, length in _REGION.findall(memory)
        if int(length, 16)
    }
    used: Counter[str] = Counter()
    for name, address, size, load_address in _OUTPUT.findall(text):
        if name.startswith(_NOT_LOADED):
            continue
        places = {int(address, 16)}
        if load_address and not name.startswith(_IN_RAM_ALONE):
            places.add(int(load_address, 16))
        for place in places:
            for region, (origin, length) in found.items():
                if origin <= place < origin + length:
                    used[region] += int(size, 16)
    return [
        Region(name, length - (storage if name == "FLASH" else 0), used[name])
        for name, (_, length) in found.items()
        if used[name]
    ]
