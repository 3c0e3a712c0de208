"""Power cut at each operation of each step of the CA, and in what completes it; failing disks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509

from authorities import NAMES, bundle, contents, make, never, password
from birthkey_host.ca import Authority, CaError, KeyFile, Phase, Role
from birthkey_host.certificates import certificate_pem, is_signed_by, parse_names
from disk import Disk

LOSSES = [(), (".",), ("ca",), (".", "ca")]
"""Of which folders what was not synced is lost."""


@dataclass(frozen=True)
class Step:
    """What is done to a CA in phase `before`, so that it is in phase `after`."""

    name: str
    before: Phase | None
    after: Phase
    do: Callable[[Authority], object]
    server: bool = True


def issue(ca: Authority) -> None:
    ca.issue(parse_names(NAMES), password)


STEPS = [
    Step("create", None, Phase.ONE, lambda ca: ca.create(password)),
    Step("issue, first", Phase.ONE, Phase.ONE, issue, server=False),
    Step("issue", Phase.ONE, Phase.ONE, issue),
    Step("issue while rotating", Phase.BEGUN, Phase.BEGUN, issue),
    Step("begin", Phase.ONE, Phase.BEGUN, lambda ca: ca.begin(password)),
    Step("switch", Phase.BEGUN, Phase.SWITCHED, lambda ca: ca.switch(password)),
    Step("switch, no server", Phase.BEGUN, Phase.SWITCHED, lambda ca: ca.switch(never), False),
    Step("finish", Phase.SWITCHED, Phase.ONE, lambda ca: ca.finish()),
]


@pytest.fixture(params=STEPS, ids=lambda step: step.name)
def step(request: pytest.FixtureRequest) -> Step:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def homes(step: Step, tmp_path: Path) -> Iterator[Path]:
    """Copies of a CA before that step."""
    original = tmp_path / "original"
    if step.before is None:
        original.mkdir(mode=0o700)
    else:
        make(original, step.before, server=step.server, encrypted=True)

    def copies() -> Iterator[Path]:
        for number in count():
            home = tmp_path / f"home{number}"
            shutil.copytree(original, home)
            yield home
            shutil.rmtree(home)

    return copies()


def run(step: Step, home: Path) -> None:
    if step.before is None:
        step.do(Authority(home))
        return
    with Authority(home) as ca:
        step.do(ca)


def trusted(home: Path, step: Step) -> list[x509.Certificate]:
    """What every board had been given before the step."""
    return [] if step.before is None else bundle(Authority(home))


def check_instant(home: Path, boards: list[x509.Certificate], step: Step) -> None:
    """What boards and a running server see, whatever is or is not completed later."""
    tls = home / "tls.pem"
    if step.server and step.before is not None:
        assert tls.exists()
    if tls.exists():
        file = KeyFile.load(tls)
        file.unlock(never)
        assert any(is_signed_by(file.certificate, each) for each in boards)
    if step.before is not None:
        whole = b"".join(map(certificate_pem, bundle(Authority(home))))
        assert (home / "ca.pem").read_bytes() == whole


def check_whole(ca: Authority, boards: list[x509.Certificate], step: Step) -> None:
    """Nothing is missing, left over, half or lost."""
    assert ca.phase in (step.before, step.after)
    roles = ca.roles()
    assert bundle(ca) == [each.certificate for each in roles.values()]
    for each in roles.values():
        each.unlock(password)
    expected = {"ca.pem", *(f"ca/{role}.pem" for role in roles)}
    assert set(contents(ca.folder.parent)) - {"tls.pem"} == expected
    assert ca.bundle.stat().st_mode & 0o777 == 0o644
    assert ca.open_to_others() == []
    if step.name != "finish":  # no CA that boards trust is lost
        assert set(boards) <= set(bundle(ca))
    if step.server and step.before is not None:
        server = ca.server()
        assert server is not None
        assert server.refusal is None
        assert server.signed_by is Role.CURRENT
        assert ca.server_path.stat().st_mode & 0o777 == 0o600


def check_repeated(step: Step, home: Path, boards: list[x509.Certificate]) -> None:
    """Doing it again ends where it should, or says that it is there."""
    said = refused(step, home)
    with Authority(home) as ca:
        assert ca.phase is step.after
        assert ca.completed == []
        check_whole(ca, boards, step)
    assert said in ("", step.after.value) or re.match("there is a CA in .* already", said)


def refused(step: Step, home: Path) -> str:
    """Does the step; why it was refused, if it was."""
    try:
        run(step, home)
    except CaError as error:
        return str(error)
    return ""


def check_completed(step: Step, home: Path, boards: list[x509.Certificate]) -> None:
    ca = enter(home, step)
    if ca is not None:
        check_whole(ca, boards, step)
    check_repeated(step, home, boards)


def enter(home: Path, step: Step) -> Authority | None:
    """The CA after what was left undone is done; None if there is none yet."""
    ca = Authority(home)
    if step.before is None and not ca.path(Role.CURRENT).exists():
        with pytest.raises(CaError, match=r"there is no CA in .*; `birthkey ca init`"), ca:
            pass
        assert not ca.bundle.exists()
        return None
    with ca:
        return ca


@pytest.mark.parametrize("lost", LOSSES, ids=lambda lost: " and ".join(lost) or "nothing")
def test_power_cut(step: Step, homes: Iterator[Path], lost: tuple[str, ...]) -> None:
    for at in count(1):
        home = next(homes)
        boards = trusted(home, step)
        with Disk(home).cut(at) as disk:
            run(step, home)
        disk.lose(*(home / name for name in lost))
        check_instant(home, boards, step)
        check_completed(step, home, boards)
        if not disk.failed:
            break
    assert at > 4
    home = next(homes)  # whole, all is on the disk when the step returns
    with Disk(home).cut(0) as disk:
        run(step, home)
    before = contents(home)
    disk.lose(home, home / "ca")
    assert contents(home) == before


def test_power_cut_again_while_it_is_completed(step: Step, homes: Iterator[Path]) -> None:
    cuts = 0
    for at in count(1):
        for again in count(1):
            home = next(homes)
            boards = trusted(home, step)
            with Disk(home).cut(at) as first:
                run(step, home)
            with Disk(home).cut(again) as second:
                enter(home, step)
            second.lose(home, home / "ca")
            check_instant(home, boards, step)
            if not second.failed:
                break
            cuts += 1
            check_completed(step, home, boards)
        if not first.failed:
            break
    assert cuts > 0


def test_failing_disk(step: Step, homes: Iterator[Path]) -> None:
    for at in count(1):
        home = next(homes)
        boards = trusted(home, step)
        with Disk(home).failing(at) as disk:
            said = refused(step, home)
        assert (
            re.match("cannot write .*: No space left on device", said) if disk.failed else not said
        )
        check_instant(home, boards, step)
        assert not [name for name in contents(home) if name.endswith(".new")]
        check_completed(step, home, boards)
        if not disk.failed:
            break


def test_what_was_completed_is_told(tmp_path: Path) -> None:
    """Once the certificate is renamed, the switch is decided, and nobody is asked again."""
    for at in count(1):
        home = tmp_path / str(at)
        ca = make(home, Phase.BEGUN, encrypted=True)
        with Disk(home).cut(at), ca:
            ca.switch(password)
        with ca:
            if ca.phase is Phase.SWITCHED:
                break
            assert ca.completed == []
    assert ca.completed == ["the switch to the new CA was interrupted; it is complete now"]
    made = ca.switch(never)
    assert made is not None
    assert is_signed_by(made, ca.load(Role.CURRENT).certificate)


def test_finish_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    ca = make(tmp_path, Phase.SWITCHED)
    ca.path(Role.PREVIOUS).unlink()  # which decides it
    with ca:
        assert ca.completed == [
            f"{tmp_path}/ca.pem was not what belongs to {tmp_path}/ca; it is now"
        ]
        ca.finish()
        assert ca.phase is Phase.ONE


def test_one_that_was_given_up_is_not(tmp_path: Path) -> None:
    ca = make(tmp_path, Phase.BEGUN)
    ca.path(Role.NEXT).unlink()
    with ca, pytest.raises(CaError, match="no rotation has begun"):
        ca.finish()
