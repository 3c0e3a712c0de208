"""The command `birthkey`, called in this process."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from typer.testing import CliRunner, Result

from birthkey_host.cli import app

ADA = f"ada (uid {os.getuid()})"
"""Who runs it, in the tests of the command line."""


class Command:
    """`birthkey --home HOME`, in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, **options: object) -> Result:
        return CliRunner().invoke(app, ["--home", str(self.home), *arguments], **options)  # type: ignore[arg-type]

    def __call__(self, *arguments: str, **options: object) -> str:
        """What it prints, when all is well."""
        result = self.run(*arguments, **options)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def fails(self, *arguments: str, code: int = 1) -> str:
        """Its one sentence, when something is wrong; the commands in it without this home."""
        result = self.run(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        home = shlex.quote(str(self.home))
        return line.removeprefix("birthkey: ").replace(f"`birthkey --home {home} ", "`birthkey ")


def grouped(identity: bytes) -> str:
    digits = identity.hex()
    return " ".join(digits[at : at + 4] for at in range(0, 32, 4))
