"""One run of `make flash`: look, firmware, application, configuration, look again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from birthkey_host.cli.printing import fitting
from birthkey_host.legible import legible
from birthkey_host.repl import Repl
from boards.build import firmware as builder
from boards.flash import application, firmware, identity, image
from boards.flash.configuration import Changes, ConfigurationError, dialect_of
from boards.flash.files import Files
from boards.flash.firmware import METHODS, FirmwareError
from boards.flash.probe import Found, probe

# What a firmware comes in, for each way to write it.
_IMAGES = {"uf2": ".uf2", "dfu": ".dfu", "pyocd": ".bin"}
_BYTECODE = 6


class Session:
    """Works on the board `board` at `port`, and says on `console` what it does."""

    def __init__(self, board: str, port: str, console: Console, method: str | None = None) -> None:
        """`method` is how the firmware is written; None is what is usual for the board."""
        self._board, self._port, self._console = board, port, console
        self._folder = builder.BOARDS / board
        self._platform = builder.port(board)
        self._dialect = dialect_of(self._folder / "board.py")
        self._method = method or ("uf2" if self._platform == "rp2" else None)
        self._written = 0

    def run(
        self,
        changes: Changes,
        *,
        image: Path | None,
        application_only: bool,
        erase_identity: bool,
        confirm: Callable[[str], str] | None,
    ) -> None:
        """All of it. Raises what is to be told to the person, with the identity as it was."""
        in_boot_loader = firmware.is_boot_loader(self._port)
        if in_boot_loader:
            self._say(f"{self._port} is the drive of a board in its boot loader")
            if erase_identity:
                raise FirmwareError("an identity is erased over the serial port: reset the board")
            if application_only:
                raise FirmwareError("the application goes over the serial port: reset the board")
            self._flash(self._image(image))
        repl = firmware.wait_for(self._port) if in_boot_loader else Repl(self._port)
        try:
            found = self._look(repl)
            self._show(found)
            self._check_board(found)
            if changes:
                # Nothing is begun that a wrong configuration would leave half done.
                changes.apply(Files(repl).read(found.config), self._dialect)
            if erase_identity:
                found = self._erase(repl, found, confirm)
            before = found.identity
            if not application_only and not in_boot_loader:
                chosen = self._image(image)
                if chosen is not None:
                    repl, found = self._update(repl, found, chosen)
            if not found.frozen:
                self._copy(repl, found)
                repl.reset()
                found = self._look(repl)
            elif application_only:
                raise FirmwareError(
                    "birthkey is part of this board's firmware, which comes before what is copied"
                    " beside it: flash the firmware, without APP=1 or --app"
                )
            self._complain(found)
            self._configure(repl, found, changes)
            repl.reset()
            kept = identity.check_kept(before, self._look(repl))
            if kept:
                self._say(kept)
        finally:
            repl.close()
        if not self._written:
            self._say("everything was there already: nothing was written")

    def _say(self, sentence: str) -> None:
        shown = fitting(legible(sentence), self._console.encoding)  # a board has said some of it
        self._console.print(shown, markup=False)

    def _look(self, repl: Repl) -> Found:
        return probe(repl, self._folder / "board.py")

    def _show(self, found: Found) -> None:
        rows = {
            "board": f"{found.machine or found.platform} on {found.port}",
            "firmware": f"{found.family} {found.version}, {found.build or 'build without a name'}",
            "code": f"bytecode {found.mpy}, {found.arch}; TLS: {'yes' if found.tls else 'no'}",
            "birthkey": "none",
            "device": "none yet: the key is made at the first start",
        }
        if found.birthkey:
            rows["birthkey"] = found.birthkey + (", part of the firmware" if found.frozen else "")
        if found.identity is not None:
            who = "damaged" if found.identity.damaged else found.identity.device_id.hex(" ", 2)
            rows["device"] = f"{who}, boot {found.identity.boot}"
        for name, value in rows.items():
            self._say(f"{name:9} {value}")

    def _check_board(self, found: Found) -> None:
        """Refuse a board of another kind, and a firmware that cannot carry birthkey."""
        if found.family != "micropython":
            raise FirmwareError(f"the board runs {found.family}, and birthkey needs MicroPython")
        mcu = json.loads((self._folder / "board.json").read_text())["mcu"]
        if found.build != self._board and mcu.lower() not in found.machine.lower():
            raise FirmwareError(
                f"on {self._port} is {found.machine}, and {self._board} is a board with {mcu}: say"
                " the right BOARD or PORT"
            )

    def _complain(self, found: Found) -> None:
        if found.trouble:
            raise FirmwareError(f"the board says: {found.trouble}")
        if found.birthkey is None or found.board is None:
            raise FirmwareError("the board does not find the package that was written to it")

    def _erase(self, repl: Repl, found: Found, confirm: Callable[[str], str] | None) -> Found:
        if found.identity is None:
            if found.trouble:
                raise FirmwareError(f"the board says: {found.trouble}")
            self._say("there is no identity to erase")
            return found
        erased = identity.erase(repl, found, confirm)
        self._written += 1
        self._say(f"identity {erased} is erased: the next start makes a new birth key")
        repl.reset()
        return self._look(repl)

    def _image(self, given: Path | None) -> image.Image | None:
        """The firmware for the board; None for one that is only emulated."""
        if given is not None:
            return image.load(given)
        if self._platform == "qemu":
            self._say("firmware: it comes with the emulator")
            return None
        suffix = _IMAGES[self._method or "pyocd"]
        return image.load(builder.image(self._board).folder / f"firmware{suffix}")

    def _update(self, repl: Repl, found: Found, chosen: image.Image) -> tuple[Repl, Found]:
        if firmware.same(repl, chosen):
            self._say(f"firmware: the same {chosen.size} bytes are in flash already")
            return repl, found
        if found.identity is not None:
            self._say(firmware.check(chosen, firmware.file_system(repl, found)))
        repl.close()
        self._flash(chosen)
        again = firmware.wait_for(self._port)
        try:
            if not firmware.same(again, chosen):
                raise FirmwareError("what is in flash is not the image: repeat the command")
            self._say(f"firmware: {chosen.size} bytes written, and read back the same")
            found = self._look(again)
        except BaseException:
            again.close()
            raise
        return again, found

    def _flash(self, chosen: image.Image | None) -> None:
        if chosen is None:
            raise FirmwareError(f"{self._board} is emulated: there is nothing to flash")
        if self._method is None:
            raise FirmwareError(
                f"boards/{self._board}/README.md says how its firmware, {chosen.path}, is written;"
                f" --method {' or '.join(METHODS)} lets mpflash do it. Then repeat the command"
            )
        self._say(f"firmware: writing {chosen.path.name}, {chosen.size} bytes")
        self._port = firmware.write(
            chosen.path, self._port, self._platform, self._board, self._method
        )
        self._written += 1

    def _copy(self, repl: Repl, found: Found) -> None:
        """The application beside a firmware that knows nothing of birthkey."""
        if found.lacks:
            raise FirmwareError(
                f"this firmware cannot carry birthkey, it has no {', no '.join(found.lacks)}: flash"
                f" birthkey's own, make flash BOARD={self._board} without APP=1"
            )
        if found.mpy != _BYTECODE:
            raise FirmwareError(
                f"this MicroPython, {found.version}, loads bytecode {found.mpy} and not"
                f" {_BYTECODE}: install a newer one"
            )
        if "Lfs2" not in found.file_system:
            raise FirmwareError(
                f"the board's files are on {found.file_system or 'no file system'}, and an identity"
                " needs littlefs, where a file is replaced whole or not at all: flash birthkey's"
                " own firmware"
            )
        files = Files(repl)
        wanted = application.files(self._board, found)
        self._keep_programs(repl, files, wanted)
        differing = files.differing(wanted)
        for path in application.stale(repl, found, wanted):
            repl.run(f"os.remove({path!r})")
            self._written += 1
        self._write(files, differing)
        self._say(
            f"application: {len(differing)} files written, {len(wanted) - len(differing)} the same"
        )

    def _keep_programs(self, repl: Repl, files: Files, wanted: dict[str, bytes]) -> None:
        """Keep a person's own main.py and board.py under another name."""
        for path, ours in wanted.items():
            if path.endswith(("/main.py", "/board.py")):
                present = files.read(path)
                if present is not None and application.foreign(ours, present):
                    repl.run(f"os.rename({path!r}, {path + '.old'!r})")
                    self._say(f"the board's own {path} is kept as {path}.old")

    def _configure(self, repl: Repl, found: Found, changes: Changes) -> None:
        files = Files(repl)
        present = files.read(found.config)
        if not changes:
            if present is None:
                self._say(
                    f"there is no {found.config} yet: repeat with SERVER=, SERVER_KEY= and CONFIG="
                )
                return
            try:
                changes.apply(present)
            except ConfigurationError as error:
                self._say(f"{found.config} is as it was, but: {error}")
            return
        wanted = {found.config: changes.apply(present, self._dialect)}
        differing = files.differing(wanted)
        self._write(files, differing)
        self._say(f"{found.config}: {'written' if differing else 'the same'}")

    def _write(self, files: Files, differing: dict[str, bytes]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        size = sum(len(data) for data in differing.values())
        quiet = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=quiet) as progress:
            task = progress.add_task("", total=size)
            for path, data in differing.items():
                progress.update(task, description=path)
                files.write(path, data, lambda count: progress.advance(task, count))
        self._written += len(differing)
