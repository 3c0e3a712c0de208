"""`make fresh`: the README's commands on Debian systems on which nobody has worked before.

For each release a small system is made by debootstrap in a folder, and thrown away at the end. In
it, an ordinary user has this project in a folder whose name has blanks and a letter that is not
ASCII, installs what the README names, no more, and types what the README says: `make demo` at a
terminal, `make test` from a script in the background, `pip install .` in an environment of his own.

It takes root, debootstrap, and a mirror of Debian's archive and PyPI within reach; proxies, pip's
settings and certificates of this machine are used.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from boards.build import debian
from tools.prerequisites import needs, packages

ROOT = Path(__file__).resolve().parents[1]

USER = "ann"
HOME = Path("home") / USER
CHECKOUT = "my bïrthkey"

# What this machine needs to reach the registries, a fresh system on it needs too.
_SETTINGS = re.compile(
    "PIP_(.*INDEX.*|PROXY|CERT|TRUSTED_HOST|.*TIMEOUT)|(https?|no|all)_proxy"
    "|(SSL|NODE)_.*CERT.*|.*_CA_BUNDLE",
    re.IGNORECASE,
)
_CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")

_INSTALL = "apt-get -qq update && apt-get -qq install --no-install-recommends"
_QUIETLY = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

# In a mount and process namespace of its own: what is mounted and started ends with it.
_ENTER = """
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" || exit 126
exec chroot "$@"
"""


class Failed(Exception):
    """A command did not do what was expected; the text is what it said."""


class Step(NamedTuple):
    """A line of the table at the end."""

    release: str
    name: str
    result: str
    seconds: float


class System:
    """A fresh system in a folder."""

    def __init__(self, folder: Path, release: str) -> None:
        self.folder, self.release = folder, release

    def install(self) -> None:
        """Debian's essential packages, and the user with a copy of this project."""
        mirror = debian.mirrors()[0]
        _run("debootstrap", "--variant=minbase", self.release, self.folder, mirror)
        # Debian's installer writes it, debootstrap does not.
        (self.folder / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        self.as_root(f"useradd --create-home --shell /bin/bash {USER}")
        checkout = self.folder / HOME / CHECKOUT
        git = ("git", "-c", "safe.directory=*", "-C", ROOT)  # root is seldom whose it is
        listed = _run(*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():  # and not deleted since it was committed
                (checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, checkout / name)
        self.as_root(f"chown -R {USER}: '/{HOME}'")

    def add(self, *names: str) -> None:
        """Install packages, and nothing that they only recommend."""
        self.as_root(f"{_INSTALL} {' '.join(names)}")
        certificates = self.folder / _CERTIFICATES
        if certificates.exists():
            shutil.copy("/" / _CERTIFICATES, certificates)

    def as_root(self, command: str) -> str:
        return self._do(command, "0:0", "/", _QUIETLY)

    def as_user(self, command: str) -> str:
        """What the command prints, typed by the user in his copy of the project."""
        return self._do(command, f"{USER}:{USER}", f"/{HOME}/{CHECKOUT}", {})

    def _do(self, command: str, user: str, where: str, variables: dict[str, str]) -> str:
        settings = {name: value for name, value in os.environ.items() if _SETTINGS.fullmatch(name)}
        settings |= {"PATH": _PATH, "HOME": f"/{HOME}", "TERM": "xterm", **variables}
        return _run(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER),
            *(self.folder, f"--userspec={user}", self.folder, "env", "-i"),
            *(f"{name}={value}" for name, value in settings.items()),
            *("sh", "-c", f"cd {shlex.quote(where)} && {command}"),
        )


@contextlib.contextmanager
def fresh(release: str, keep: bool) -> Iterator[System]:
    """A fresh system of that release of Debian, until the end of the block or for good."""
    folder = Path(tempfile.mkdtemp(prefix=f"birthkey-{release}-", dir="/var/tmp"))
    folder.chmod(0o755)  # mkdtemp lets only root in
    try:
        yield System(folder, release)
    finally:
        if keep:
            print(f"{folder} is kept", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> str:
    ran = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if ran.returncode:
        raise Failed(f"{shlex.join(map(str, command))[-300:]}\n{ran.stdout[-6000:]}")
    return ran.stdout


def without_prerequisites(system: System) -> None:
    """With make alone, it is said what else it takes, and nothing is done."""
    system.add("make")
    told = system.as_user("make demo 2>&1 && false || ls -A")
    if "sudo apt install python3-venv" not in told or re.search(r"^(\.venv|build)$", told, re.M):
        raise Failed(told)


def demo(system: System) -> None:
    """At a terminal."""
    system.add(*packages(needs("demo")))
    told = system.as_user("script --quiet --return --command 'make demo' /dev/null")
    if "Every step went as told" not in told:
        raise Failed(told[-6000:])


def installed(system: System) -> None:
    """pip install . in an environment of its own, and the first commands of a server."""
    told = system.as_user(
        "python3 -m venv ../own && ../own/bin/pip install --quiet ."
        " && cd .. && own/bin/birthkey init && own/bin/birthkey server-key"
    )
    if not re.search("^[0-9a-f]{128}$", told, re.M):
        raise Failed(told)


def tests(system: System, paths: str) -> None:
    """From a script, in the background: so SIGINT is ignored, and there is no terminal."""
    system.add(*packages(needs("test")))
    command = "make test" + (f" TESTS={shlex.quote(paths)}" if paths else "")
    told = system.as_user(
        f"sh -c {shlex.quote(command + ' </dev/null >test.log 2>&1 & wait $!')}"
        " || { tail -n 100 test.log; exit 1; }; tail -n 5 test.log"
    )
    print(told, flush=True)


def try_out(release: str, paths: str, keep: bool) -> Iterator[Step]:
    """The steps on one release, as they are done; the last one failed, or all went well."""
    with fresh(release, keep) as system:
        for name, step in (
            ("a system made by debootstrap", system.install),
            ("what is missing is named", lambda: without_prerequisites(system)),
            ("make demo", lambda: demo(system)),
            ("pip install .", lambda: installed(system)),
            (f"make test {paths}".strip(), lambda: tests(system, paths)),
        ):
            began = time.monotonic()
            try:
                step()
            except Failed as error:
                print(error, flush=True)
                yield Step(release, name, "FAILED", time.monotonic() - began)
                return
            yield Step(release, name, "ok", time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fresh", description=__doc__)
    parser.add_argument("--tests", default="", help="folders to test; all of it without")
    parser.add_argument("--keep", action="store_true", help="leave the systems where they are")
    parser.add_argument("releases", metavar="RELEASE", nargs="+")
    given = parser.parse_args()
    for program in ("debootstrap", "unshare", "git"):
        if shutil.which(program) is None:
            parser.error(f"there is no {program}. On Debian: sudo apt install {program}")
    if os.geteuid() != 0:
        parser.error("only root can make a system in a folder: sudo make fresh")
    steps = []
    for release in given.releases:
        for step in try_out(release, given.tests, given.keep):
            steps.append(step)
            print(_line(step), flush=True)
    print("", *[_line(step) for step in steps], sep="\n")
    return 0 if all(step.result == "ok" for step in steps) else 1


def _line(step: Step) -> str:
    return f"{step.release:10} {step.name:40} {step.result:8} {step.seconds:6.0f} s"


if __name__ == "__main__":
    sys.exit(main())
