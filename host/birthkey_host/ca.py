"""The CA of a fleet: its keys on disk, what boards trust, and the way from one CA to the next.

In `home`:

    ca/current.pem   the CA that signs: its certificate and private key, perhaps encrypted
    ca/next.pem      the CA that will sign, once a rotation has begun
    ca/previous.pem  the CA that signed, until the rotation is finished
    ca.pem           the certificates of all these, oldest first: what boards trust
    tls.pem          the server's certificate and private key

There is no other record: these files say how far a rotation is, and one file that appears, is
renamed or goes decides each step. What a power cut leaves undone after that is completed by who
enters the CA next, without a password.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from types import TracebackType

from cryptography import x509

from birthkey_host import files
from birthkey_host.certificates import (
    CaError,
    Name,
    allowed_by,
    certificate_pem,
    is_from_birthkey,
    is_signed_by,
    listed,
    make_authority,
    make_server,
    names_of,
    outside_of,
    why_refused,
)
from birthkey_host.key_files import KeyFile, Secret, read

__all__ = ["Authority", "CaError", "KeyFile", "Phase", "Role", "Secret", "ServerState"]


class Role(StrEnum):
    """What a CA is there for, oldest first."""

    PREVIOUS = "previous"
    CURRENT = "current"
    NEXT = "next"


class Phase(Enum):
    """How far the way to another CA is; the value says what comes next."""

    ONE = "no rotation has begun; `birthkey ca rotate` begins one"
    BEGUN = (
        "a rotation has begun, and the current CA still signs; when every board has the ca.pem"
        " with both CAs: `birthkey ca rotate --switch`"
    )
    SWITCHED = (
        "the new CA signs already, and ca.pem still has the previous one; when every server has"
        " its new certificate: `birthkey ca rotate --finish`"
    )


_PHASES = {
    frozenset({Role.CURRENT}): Phase.ONE,
    frozenset({Role.CURRENT, Role.NEXT}): Phase.BEGUN,
    frozenset({Role.PREVIOUS, Role.CURRENT}): Phase.SWITCHED,
}


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server's certificate, beside the CAs that there are."""

    certificate: x509.Certificate
    signed_by: Role | None
    """None for a CA that is not here."""
    refusal: str | None
    """Why boards with ca.pem would not take it, or the server itself; None if they do."""


class Authority:
    """The CA in `home`, which one process at a time may have entered (`with`).

    Everything raises CaError. `completed` tells what was found undone, and is done.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "ca"
        self.bundle = home / "ca.pem"
        self.server_path = home / "tls.pem"
        self.completed: list[str] = []
        self._lock: int | None = None
        self._switched = self._finished = False

    def __enter__(self) -> Authority:
        self._acquire()
        try:
            self._complete()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def create(self, secret: Secret, allowed: Sequence[Name] = ()) -> KeyFile:
        """Make the first CA and ca.pem; not to be entered before.

        `secret` gives None for a key that is not encrypted; `allowed` is as for
        `certificates.make_authority`. Refuses when there is anything that
        it could overwrite.
        """
        if self._present():
            with self:
                raise CaError(
                    f"there is a CA in {self.folder} already, and it was left as it is;"
                    " `birthkey ca show` tells about it"
                )
        if os.path.lexists(self.bundle):
            raise CaError(self._nothing())
        path = self.path(Role.CURRENT)
        data = make_authority(allowed).pem(
            secret(path)
        )  # nothing is written yet: Ctrl-C is harmless
        with _saving(self.folder):
            files.make_folder(self.folder)
        self._acquire()
        try:
            self._refuse_readers()
            with _saving(path):
                files.write(path, data, replace=False)
            self._derive_bundle()
        finally:
            self._release()
        return self.load(Role.CURRENT)

    # What there is.

    def path(self, role: Role) -> Path:
        """Where the CA of that role is, if there is one."""
        return self.folder / f"{role}.pem"

    def load(self, role: Role) -> KeyFile:
        """The CA of that role."""
        return KeyFile.load(self.path(role))

    def roles(self) -> dict[Role, KeyFile]:
        """The CAs that there are, oldest first."""
        return {role: self.load(role) for role in self._present()}

    @property
    def phase(self) -> Phase:
        """How far a rotation is."""
        present = self._present()
        if not present:
            raise CaError(self._nothing())
        try:
            return _PHASES[frozenset(present)]
        except KeyError:
            raise CaError(
                f"{self.folder} has {' and '.join(f'{role}.pem' for role in present)}, which no"
                " command leaves behind: put it back from a copy"
            ) from None

    def server(self) -> ServerState | None:
        """The server's certificate; None if there is none."""
        if (file := self._server_file()) is None:
            return None
        roles = {role: each.certificate for role, each in self.roles().items()}
        signers = [role for role, each in roles.items() if is_signed_by(file.certificate, each)]
        refusal = why_refused(file.certificate, list(roles.values()))
        if refusal is None:
            try:
                file.unlock(lambda _: None)
            except CaError as error:
                refusal = str(error)
        return ServerState(file.certificate, signers[0] if signers else None, refusal)

    def open_to_others(self) -> list[Path]:
        """What of the folder and its files others than the owner may use, by their modes."""
        held = [self.folder, *(self.path(role) for role in self._present())]
        return [path for path in held if path.stat().st_mode & 0o077]

    # What people do.

    def issue(self, names: Sequence[Name], secret: Secret) -> x509.Certificate:
        """Sign a certificate for these names with the current CA, and put it into tls.pem."""
        try:
            file = self._server_file()
        except CaError as error:
            raise CaError(f"{error}, or move it out of the way") from None
        if file is not None and not is_from_birthkey(file.certificate):
            raise CaError(
                f"{self.server_path} is not from a CA of birthkey and would be overwritten; move"
                " it out of the way first"
            )
        return self._issue(Role.CURRENT, names, secret)

    def begin(self, secret: Secret, allowed: Sequence[Name] | None = None) -> KeyFile:
        """Begin a rotation: make the next CA and put it into ca.pem.

        `secret` gives None for a key that is not encrypted; `allowed` is as for
        `certificates.make_authority`, and None for what the current CA signs for.
        """
        self._need(Phase.ONE)
        self._refuse_readers()
        if allowed is None:
            allowed = allowed_by(self.load(Role.CURRENT).certificate)
        file = self._server_file()
        if file is not None and (lost := outside_of(allowed, names_of(file.certificate))):
            raise CaError(
                f"the next CA would not sign for {listed(lost)}, which {self.server_path} is for:"
                " name them, or their domain, too"
            )
        path = self.path(Role.NEXT)
        data = make_authority(allowed).pem(secret(path))
        with _saving(path):
            files.write(path, data, replace=False)
        self._derive_bundle()
        return self.load(Role.NEXT)

    def switch(self, secret: Secret) -> x509.Certificate | None:
        """Let the next CA sign: tls.pem is made again for its names, and the roles move on.

        Returns the server's certificate, if there is one. Boards that trust both CAs take what is
        in tls.pem at every instant.
        """
        if self._switched:  # it was interrupted, and completed on entering
            file = self._server_file()
            return None if file is None else file.certificate
        self._need(Phase.BEGUN)
        file, certificate = self._server_file(), None
        if file is not None:
            if not is_signed_by(file.certificate, self.load(Role.CURRENT).certificate):
                raise CaError(
                    f"{self.server_path} was not signed by the current CA and would be"
                    " overwritten; `birthkey ca issue NAME` makes one that is"
                )
            # This decides it: `_complete` sees who signed.
            certificate = self._issue(Role.NEXT, names_of(file.certificate), secret)
        self._move_on()
        return certificate

    def finish(self) -> None:
        """End a rotation: delete the previous CA with its key, and take it out of ca.pem.

        Its bytes may stay on the disk until they are overwritten, and in copies of the folder.
        """
        if self._finished:  # as above
            return
        self._need(Phase.SWITCHED)
        file, previous = self._server_file(), self.load(Role.PREVIOUS)
        if file is not None and is_signed_by(file.certificate, previous.certificate):
            raise CaError(
                f"{self.server_path} was signed by the previous CA, so boards would refuse it;"
                " `birthkey ca issue NAME` makes one that they take"
            )
        with _saving(previous.path):
            files.remove(previous.path)
        self._derive_bundle()

    # How it is done.

    def _complete(self) -> None:
        """Do what is left to do after a power cut."""
        with _saving(self.folder):
            for path in (*map(self.path, Role), self.bundle, self.server_path):
                files.sweep(path)
        present = self._present()
        if present == [Role.PREVIOUS, Role.NEXT] or (
            present == [Role.CURRENT, Role.NEXT] and self._next_has_signed()
        ):
            self._move_on()
            self._switched = True
            self.completed.append("the switch to the new CA was interrupted; it is complete now")
        phase, before = self.phase, read(self.bundle) if self.bundle.exists() else b""
        if (after := self._derive_bundle()) != before:
            self._finished = phase is Phase.ONE and before.endswith(after)  # oldest first
            self.completed.append(f"{self.bundle} was not what belongs to {self.folder}; it is now")

    def _derive_bundle(self) -> bytes:
        data = b"".join(certificate_pem(each.certificate) for each in self.roles().values())
        if not self.bundle.exists() or read(self.bundle) != data:
            with _saving(self.bundle):
                files.write(self.bundle, data, mode=0o644)
        return data

    def _move_on(self) -> None:
        current = self.path(Role.CURRENT)
        with _saving(current):
            if current.exists():
                files.rename(current, self.path(Role.PREVIOUS))
            files.rename(self.path(Role.NEXT), current)

    def _next_has_signed(self) -> bool:
        try:
            file = self._server_file()
        except CaError:  # damaged, and nothing that `switch` leaves behind
            return False
        following = self.load(Role.NEXT).certificate
        return file is not None and is_signed_by(file.certificate, following)

    def _issue(self, role: Role, names: Sequence[Name], secret: Secret) -> x509.Certificate:
        self._refuse_readers()
        server = make_server(self.load(role).unlock(secret), names)
        with _saving(self.server_path):
            files.write(self.server_path, server.pem())
        return server.certificate

    def _server_file(self) -> KeyFile | None:
        return KeyFile.load(self.server_path) if os.path.lexists(self.server_path) else None

    def _present(self) -> list[Role]:
        return [role for role in Role if os.path.lexists(self.path(role))]

    def _need(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise CaError(self.phase.value)

    def _refuse_readers(self) -> None:
        if paths := self.open_to_others():
            raise CaError(
                f"others than the owner may use {' and '.join(map(str, paths))}: chmod -R go="
                f" {shlex.quote(str(self.folder))}; and if someone had a key, go to a new CA"
            )

    def _nothing(self) -> str:
        if os.path.lexists(self.bundle):
            return (
                f"there is no CA in {self.folder}, but a {self.bundle} that boards may trust: put"
                " the folder back from a copy, or move ca.pem out of the way"
            )
        return f"there is no CA in {self.folder}; `birthkey ca init` makes one"

    def _acquire(self) -> None:
        try:
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            raise CaError(self._nothing()) from None
        except BlockingIOError:
            self._release()
            raise CaError(f"another `birthkey ca` is at work in {self.folder}") from None
        except OSError as error:
            raise CaError(f"cannot open {self.folder}: {error.strerror}") from None

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CaError(f"cannot write {path}: {error.strerror}") from None
