"""`make mutations`: takes each rule out of a copy of the tree, and shows the test that notices.

A rule that can be taken out without a red test is not tested, whatever the tests say. Prints a
table, writes docs/mutations.md, and exits 1 if a mutant lived.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from support import (
    command_mutations,
    limit_mutations,
    operator_mutations,
    protocol_mutations,
    registry_mutations,
    text_mutations,
    tls_mutations,
)

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("boards", "docs", "firmware", "host", "tests", "pyproject.toml")

PATIENCE = 900.0  # seconds, for the slowest file of tests on a machine that has other work


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands once in `path`, becomes `new`; one of `tests` must go red."""

    rule: str
    path: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation(*row)
    for table in (
        protocol_mutations,
        registry_mutations,
        command_mutations,
        limit_mutations,
        operator_mutations,
        tls_mutations,
        text_mutations,
    )
    for row in table.MUTATIONS
]


@dataclass(frozen=True)
class Result:
    mutation: Mutation
    red: str | None
    """The first test that went red; None when the mutant lived."""


def run(mutation: Mutation) -> Result:
    """Run the tests on a copy of the tree with the mutation made."""
    with tempfile.TemporaryDirectory(prefix="birthkey-mutant-") as folder:
        copy = Path(folder)
        copy_tree(copy)
        target = copy / mutation.path
        text = target.read_text()
        if text.count(mutation.old) != 1:
            raise ValueError(f"{mutation.path} does not hold once: {mutation.old!r}")
        target.write_text(text.replace(mutation.old, mutation.new))
        return Result(mutation, first_red(copy, mutation.tests))


def copy_tree(copy: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    (copy / "build").mkdir()
    (copy / "build" / "mpylib").symlink_to(ROOT / "build" / "mpylib")


def first_red(copy: Path, tests: str) -> str | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    try:
        ran = subprocess.run(
            [*command, *tests.split(" ", 2)],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "host")},  # `birthkey` is installed
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"{tests} does not end"  # as where the rule is one that ends something
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"{tests}: pytest did not run:\n{ran.stdout}{ran.stderr}")
    red = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", ran.stdout, re.MULTILINE)
    return red[1] if red else None


def check_unmutated(mutations: list[Mutation]) -> None:
    """Red tests prove nothing unless they are green without the mutation."""
    with tempfile.TemporaryDirectory(prefix="birthkey-unmutated-") as folder:
        copy_tree(Path(folder))
        with ThreadPoolExecutor(2) as pool:
            tests = sorted({mutation.tests for mutation in mutations})
            for red in pool.map(lambda tests: first_red(Path(folder), tests), tests):
                if red:
                    sys.exit(f"{red} is red without any mutation: mend it first")


def report(results: list[Result]) -> str:
    lines = [
        "# Rules, and the tests that notice when one is taken out",
        "",
        "Made by `make mutations`: each rule is taken out of a copy of the tree, one at a time.",
        "",
        "| rule | taken out of | the first test that went red |",
        "|---|---|---|",
    ]
    for result in results:
        red = f"`{result.red}`" if result.red else "**none**"
        lines.append(f"| {result.mutation.rule} | `{result.mutation.path}` | {red} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    console = Console()
    chosen = [mutation for mutation in MUTATIONS if all(w in mutation.rule for w in sys.argv[1:])]
    check_unmutated(chosen)
    with ThreadPoolExecutor(2) as pool:
        results = list(track(pool.map(run, chosen), total=len(chosen), console=console))
    table = Table("rule", "red")
    for result in results:
        table.add_row(
            result.mutation.rule, escape(result.red) if result.red else "[bold red]none[/]"
        )
    console.print(table)
    if chosen == MUTATIONS:
        (ROOT / "docs" / "mutations.md").write_text(report(results))
    return 0 if all(result.red for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
