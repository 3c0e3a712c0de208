"""The package that `pip install .` makes: a wheel and an sdist build, install and run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    path.relative_to(ROOT / "host").as_posix()
    for path in (ROOT / "host" / "birthkey_host").rglob("*.py")
}


def run(*command: str | Path, where: Path) -> str:
    ran = subprocess.run(command, cwd=where, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def pip(*arguments: str | Path, where: Path) -> None:
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, where=where)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("packages")
    project = folder / "my bïrthkey"
    shutil.copytree(ROOT / "host", project / "host", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    build = f"import setuptools.build_meta as made; made.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build, where=project)
    [sdist] = folder.glob("*.tar.gz")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, sdist, where=folder)
    return folder


def test_sdist_has_all_modules(packages: Path) -> None:
    [sdist] = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {f"host/{name}" for name in MODULES} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_wheel_has_all_modules_and_nothing_else(packages: Path) -> None:
    [wheel] = packages.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == MODULES
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_command_works_where_the_wheel_is_installed(packages: Path, tmp_path: Path) -> None:
    [wheel] = packages.glob("*.whl")
    own = tmp_path / "own"
    run(sys.executable, "-m", "venv", "--without-pip", own, where=tmp_path)
    pip("--python", own / "bin/python", "install", "--no-deps", wheel, where=tmp_path)
    # What it depends on is there already: beside the package that is tested from its sources.
    paths = {name: Path(sysconfig.get_path(name)) for name in ("data", "purelib")}
    site = own / paths["purelib"].relative_to(paths["data"])
    (site / "dependencies.pth").write_text(f"{paths['purelib']}\n")
    told = run(own / "bin/birthkey", "init", where=tmp_path)
    assert "public key" in told
    assert (tmp_path / "birthkey-data/server.key").is_file()
    where = "import birthkey_host; print(birthkey_host.__file__)"
    assert run(own / "bin/python", "-c", where, where=tmp_path).startswith(str(own))
