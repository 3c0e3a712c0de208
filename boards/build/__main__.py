"""`make firmware`: builds the image for a board, and says what is in it and what is left."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boards.build import firmware
from boards.build.cache import BuildError
from boards.build.sizes import Sizes, sizes

console = Console(highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make firmware", description=__doc__)
    parser.add_argument("boards", nargs="+", choices=firmware.labels(), metavar="BOARD")
    parser.add_argument("--quiet", action="store_true", help="a line a board, no sizes")
    arguments = parser.parse_args()
    try:
        for board in arguments.boards:
            name, _, variant = board.partition("-")
            image = firmware.image(name, variant)
            if arguments.quiet:
                console.print(f"{board}: {image.flashable}", soft_wrap=True)
            else:
                _print(sizes(image.map, firmware.storage(name)), _copy(image))
    except BuildError as error:
        console.print("[bold red]Failed[/]:", escape(str(error)), soft_wrap=True)
        return 1
    return 0


def _copy(image: firmware.Image) -> Path:
    """What goes onto the board, in build/firmware/BOARD."""
    out = firmware.OUT / image.board
    out.mkdir(parents=True, exist_ok=True)
    for made in image.folder.glob("firmware.*"):
        shutil.copy(made, out)
    return out / image.flashable.name


def _print(found: Sizes, flashable: Path) -> None:
    table = Table("module", "bytes of flash", box=None)
    table.columns[1].justify = "right"
    for name, size in sorted(found.modules.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{size:,}")
    table.add_section()
    for name, size in sorted(found.parts.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{size:,}")
    console.print(table)
    console.print(f"birthkey without its constants: {found.birthkey:,} bytes")
    for region in found.regions:
        left = f"{region.left:,} left"
        console.print(f"{region.name}: {region.used:,} of {region.size:,} bytes used, {left}")
    console.print(f"{flashable} is what goes onto the board", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
