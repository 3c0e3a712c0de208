"""`make flash`, in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from boards.flash.__main__ import app


class Flash:
    """`make flash BOARD=…`."""

    def __init__(self, board: str) -> None:
        self._board = board

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, [self._board, *arguments], input=answer)

    def __call__(self, *arguments: str, answer: str | None = None) -> str:
        """What it says, when all is well."""
        result = self.run(*arguments, answer=answer)
        assert result.exit_code == 0, result.output
        return result.stdout

    def fails(self, *arguments: str, code: int = 1, answer: str | None = None) -> str:
        """The sentence that it ends with."""
        result = self.run(*arguments, answer=answer)
        assert result.exit_code == code, result.output
        return result.stderr.splitlines()[-1].removeprefix("flash: ")
