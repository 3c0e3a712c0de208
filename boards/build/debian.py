"""Files of Debian's archive, pinned by their place in its pool and their SHA-256.

The mirror is the one that this machine's apt is set up with. No package list is read, so the
machine may be of any Debian release, and nothing is installed on it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import hashlib
import lzma
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from boards.build import cache
from boards.build.cache import BuildError

_PINS = Path(__file__).parent / "pins"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_HELPER = "/usr/lib/apt/apt-helper"
_OWN = "The other way: MICROPYTHON_DIR= names a checkout, and the tools are on PATH"


def available() -> bool:
    """Whether this machine has apt and a mirror of Debian's archive."""
    try:
        return bool(mirrors())
    except BuildError:
        return False


@functools.cache
def mirrors() -> tuple[str, ...]:
    """Addresses of the archive, and of the one with security updates, as apt knows them."""
    try:
        told = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE) $(LABEL)", "Created-By: Packages"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"sources come from Debian's archive through apt: {error}. {_OWN}"
        ) from None
    sites = {}
    for line in told.splitlines():
        site, _, label = line.partition(" ")
        if label in ("Debian", "Debian-Security"):
            sites[site.rstrip("/")] = label
    if "Debian" not in sites.values():
        raise BuildError(f"apt on this machine has no mirror of Debian's archive. {_OWN}")
    return tuple(sorted(sites, key=lambda site: sites[site]))


def pins(name: str) -> dict[str, str]:
    """{path in the pool: SHA-256} of `pins/NAME.sha256`."""
    lines = (_PINS / f"{name}.sha256").read_text().splitlines()
    return {path: sha256 for sha256, path in (line.split() for line in lines)}


def fetch_all(name: str) -> list[Path]:
    """The files that `pins/NAME.sha256` names, in its order."""
    return [fetch(path, sha256) for path, sha256 in pins(name).items()]


def fetch(pool_path: str, sha256: str) -> Path:
    """The file at `pool_path` ("pool/main/…") of the archive, out of the cache if it is there."""

    def download(folder: Path) -> None:
        target = folder / name
        said = ""
        for mirror in mirrors():
            ran = subprocess.run(
                [
                    _HELPER,
                    "download-file",
                    f"{mirror}/{pool_path}",
                    str(target),
                    f"SHA256:{sha256}",
                ],
                capture_output=True,
                text=True,
            )
            if ran.returncode == 0 and target.exists():
                break
            said += ran.stderr
        else:
            raise BuildError(
                f"Debian's archive does not give {name}, which is pinned in boards/build: {said}"
            )
        found = hashlib.sha256(target.read_bytes()).hexdigest()
        if found != sha256:
            raise BuildError(f"{name} has SHA-256 {found}, and {sha256} is pinned: not used")

    name = PurePosixPath(pool_path).name
    return cache.made("files", sha256, download) / name


def current(packages: Sequence[str], suite: str, architecture: str, folder: Path) -> list[Path]:
    """Packages as a suite has them today, put into `folder`; apt checks Debian's signatures.

    For what only has to run: nothing that becomes part of an image is taken by its name.
    """
    lists = folder / "apt"
    (lists / "lists/partial").mkdir(parents=True)
    (lists / "archives/partial").mkdir(parents=True)
    (lists / "status").touch()
    signed = f"[signed-by={_KEYRING}]"
    (lists / "sources.list").write_text(f"deb {signed} {mirrors()[0]} {suite} main\n")
    options = [f"-oDir::Etc::SourceList={lists}/sources.list", "-oDir::Etc::SourceParts=/dev/null"]
    options += [f"-oDir::State={lists}", f"-oDir::State::status={lists}/status"]
    options += [f"-oDir::Cache={lists}", f"-oAPT::Architecture={architecture}"]
    options += [f"-oAPT::Architectures={architecture}", "-oAPT::Sandbox::User=root", "-qq"]
    for command in (["update"], ["download", *packages]):
        ran = subprocess.run(
            ["apt-get", *options, *command], cwd=folder, capture_output=True, text=True
        )
        if ran.returncode:
            raise BuildError(f"apt-get {' '.join(command)} for {suite} failed: {ran.stderr}")
    found = sorted(folder.glob("*.deb"))
    if len(found) != len(packages):
        raise BuildError(f"{suite} has not all of {', '.join(packages)} for {architecture}")
    return found


def fetch_to_run(name: str, suite: str, architecture: str, folder: Path) -> list[Path]:
    """The files of `pins/NAME.sha256`; where a point release has taken one out of the archive, all
    of these packages as the suite has them today, in `folder`. As `current`, for what only runs.
    """
    try:
        return fetch_all(name)
    except BuildError:
        names = [PurePosixPath(path).name.partition("_")[0] for path in pins(name)]
        return current(names, suite, architecture, folder)


def unpack(archive: Path, into: Path, exclude: Sequence[str] = (), strip: int = 0) -> None:
    """Unpack a .deb or a .tar.* into a folder. Raises BuildError.

    What matches a pattern of `exclude`, or is in a folder that does, is left out; `strip` folders
    are taken off each path. (Python does it: `tar` would need programs that a small system lacks.)
    """
    try:
        with _tar(archive) as file, tarfile.open(fileobj=file) as content:
            # All that comes here is pinned or signed; where Python has a filter, it looks as well.
            content.extraction_filter = getattr(tarfile, "tar_filter", None)
            content.extractall(into, _wanted(content, exclude, strip))  # noqa: S202
    except OSError as error:
        raise BuildError(f"cannot unpack {archive} into {into}: {error}") from None
    except (EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise BuildError(
            f"cannot unpack {archive}: {error}. If it is damaged, delete {archive.parent}: it is"
            " fetched again"
        ) from None


@contextlib.contextmanager
def _tar(archive: Path) -> Iterator[IO[bytes]]:
    """The archive of tar that a .deb holds, or that the file is, compressed or not."""
    if archive.suffix != ".deb":
        with archive.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        ran = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True)
        if ran.returncode:
            raise tarfile.ReadError(ran.stderr.strip())
        file.seek(0)
        yield file


def _wanted(
    content: tarfile.TarFile, exclude: Sequence[str], strip: int
) -> Iterator[tarfile.TarInfo]:
    """The members to extract, renamed. Their owner will be whoever unpacks them."""
    for member in content:
        path = PurePosixPath(member.name)
        names = [str(above) for above in (path, *path.parents)]
        if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in exclude):
            continue
        kept = path.parts[strip:]
        if not kept:
            continue
        member.name = "/".join(kept)
        if member.islnk():  # it names another member
            member.linkname = "/".join(PurePosixPath(member.linkname).parts[strip:])
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def environment(prefix: Path) -> dict[str, str]:
    """The environment in which programs that were unpacked below `prefix` find their libraries."""
    libraries = f"{prefix}/usr/lib/x86_64-linux-gnu:{prefix}/lib/x86_64-linux-gnu"
    return {
        **os.environ,
        "PATH": f"{prefix}/usr/bin:{prefix}/usr/sbin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": libraries,
    }
