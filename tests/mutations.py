"""`make mutations`: takes each rule out of a copy of the tree, and shows the test that notices.

A rule that can be taken out without a red test is not tested, whatever the tests say. Prints a
table, writes docs/mutations.md, and exits 1 if a mutant lived.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from support import command_mutations

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("boards", "docs", "firmware", "host", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands once in `path`, becomes `new`; one of `tests` must go red."""

    rule: str
    path: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    # The board.
    Mutation(
        "boot record on flash before anything is sealed",
        "firmware/birthkey/identity.py",
        '        store.write(_BOOT, self.boot.to_bytes(4, "big"))\n',
        "",
        "tests/firmware/test_identity.py",
    ),
    Mutation(
        "first boot: boot record before key",
        "firmware/birthkey/identity.py",
        '            store.write(_BOOT, b"\\0\\0\\0\\0")\n            record = _generate(sources, personalisation)\n            store.write(_KEY, record)\n',
        '            record = _generate(sources, personalisation)\n            store.write(_KEY, record)\n            store.write(_BOOT, b"\\0\\0\\0\\0")\n',
        "tests/faults/test_power_cut.py",
    ),
    Mutation(
        "records are renamed into their place",
        "firmware/birthkey/keystore.py",
        "            os.rename(final + _FRESH, final)\n",
        '            with open(final, "wb") as file:\n                file.write(record)\n            os.remove(final + _FRESH)\n',
        "tests/faults/test_power_cut.py",
    ),
    Mutation(
        "a lost key is never replaced in silence",
        "firmware/birthkey/identity.py",
        '            if boot is not None and boot != b"\\0\\0\\0\\0":',
        "            if False:",
        "tests/firmware/test_identity.py",
    ),
    Mutation(
        "damaged flash is never formatted",
        "firmware/birthkey/keystore.py",
        "        if not _blank(device):",
        "        if False:",
        "tests/firmware/test_main.py -k damaged",
    ),
    Mutation(
        "the spool leaves room for the next boot number",
        "firmware/birthkey/outbox.py",
        "        if self._store.free_blocks() < _RESERVED_BLOCKS:",
        "        if False:",
        "tests/faults/test_power_cut.py",
    ),
    Mutation(
        "no key from a source that sticks",
        "firmware/birthkey/crypto/entropy.py",
        "        if run >= cutoff:",
        "        if False:",
        "tests/firmware/crypto/test_entropy.py",
    ),
    Mutation(
        "no key from a source that is biased",
        "firmware/birthkey/crypto/entropy.py",
        "        if matches >= cutoff:",
        "        if False:",
        "tests/firmware/crypto/test_entropy.py",
    ),
    Mutation(
        "signatures have the low s",
        "firmware/birthkey/crypto/p256_python.py",
        "min(s, N - s)",
        "s",
        "tests/firmware/crypto/test_p256.py",
    ),
    Mutation(
        "an answer belongs to a frame under way",
        "firmware/birthkey/session.py",
        "        if ticks_diff(now, sent.sealed_at) > _ANSWER_AGE:",
        "        if False:",
        "tests/firmware/test_session.py",
    ),
    Mutation(
        "each frame takes one answer",
        "firmware/birthkey/session.py",
        "            if sent.answered:",
        "            if False:",
        "tests/firmware/test_session.py",
    ),
    Mutation(
        "an answer is bound to the board's id",
        "firmware/birthkey/cose.py",
        'return cbor.dumps(["birthkey/1 down", device_id])',
        'return cbor.dumps(["birthkey/1 down", bytes(16)])',
        "tests/firmware/test_session.py",
    ),
    Mutation(
        "bounds before allocation, on the board",
        "firmware/birthkey/cbor.py",
        "    if argument > (len(data) - at) >> (major == _MAP):",
        "    if False:",
        "tests/test_vectors.py -k cbor",
    ),
    Mutation(
        "nesting is bounded, on the board",
        "firmware/birthkey/cbor.py",
        "    if depth >= _DEPTH:",
        "    if False:",
        "tests/test_vectors.py -k cbor",
    ),
    Mutation(
        "counted data of the modem is bounded",
        "firmware/birthkey/modem/at.py",
        "            if length is None or length > most or",
        "            if length is None or",
        "tests/firmware/modem",
    ),
    # The server.
    Mutation(
        "s of a signature is the lower one",
        "host/birthkey_host/cose.py",
        "        if not 0 < s <= N // 2:",
        "        if not 0 < s < N:",
        "tests/test_vectors.py",
    ),
    Mutation(
        "kid is the thumbprint of the key",
        "host/birthkey_host/verifier.py",
        "    if thumbprint[:16] != kid:",
        "    if False:",
        "tests/host/verifier",
    ),
    Mutation(
        "a bound key is never exchanged",
        "host/birthkey_host/verifier.py",
        "    if known is not None and known.thumbprint != thumbprint:",
        "    if False:",
        "tests/host/verifier",
    ),
    Mutation(
        "the signature covers server_id",
        "host/birthkey_host/cose.py",
        'return cbor.dumps(["birthkey/1 up", server_id, enc, boot])',
        'return cbor.dumps(["birthkey/1 up", bytes(16), enc, boot])',
        "tests/test_vectors.py",
    ),
    Mutation(
        "the signature covers enc",
        "host/birthkey_host/cose.py",
        'return cbor.dumps(["birthkey/1 up", server_id, enc, boot])',
        'return cbor.dumps(["birthkey/1 up", server_id, bytes(65), boot])',
        "tests/host/verifier",
    ),
    Mutation(
        "the signature covers boot",
        "host/birthkey_host/cose.py",
        'return cbor.dumps(["birthkey/1 up", server_id, enc, boot])',
        'return cbor.dumps(["birthkey/1 up", server_id, enc, 1])',
        "tests/host/verifier",
    ),
    Mutation(
        "the signature is verified",
        "host/birthkey_host/verifier.py",
        "        if not self._backend.verify(public, signed.to_be_signed(aad), signed.signature):",
        "        if False:",
        "tests/host/verifier",
    ),
    Mutation(
        "bounds before allocation, on the server",
        "host/birthkey_host/cose.py",
        "        if not 0 < len(frame) <= MAX_FRAME:",
        "        if not 0 < len(frame):",
        "tests/host/verifier",
    ),
    Mutation(
        "commit before acknowledge",
        "host/birthkey_host/registry.py",
        "            with sessions.begin() as session:",
        "            with sessions() as session:",
        "tests/host/test_registry.py",
    ),
    Mutation(
        "replay: a counter is stored once",
        "host/birthkey_host/recording.py",
        "    if seen is None:\n        session.add(",
        "    if True:\n        session.add(",
        "tests/host/test_registry_replay.py",
    ),
    Mutation(
        "clone proof (a): one counter, two messages",
        "host/birthkey_host/recording.py",
        "    if seen is not None and seen.sha256 != sha256:",
        "    if False:",
        "tests/host/test_registry_replay.py",
    ),
    Mutation(
        "clone proof (b): one boot, two enc",
        "host/birthkey_host/recording.py",
        "    if boot is not None and boot.enc != outcome.enc:",
        "    if False:",
        "tests/host/test_registry_replay.py",
    ),
    Mutation(
        "clone proof (c): a board was told of a boot above its own",
        "host/birthkey_host/recording.py",
        "        if told is not None:",
        "        if False:",
        "tests/host/test_registry_replay.py",
    ),
    Mutation(
        "clone proof (d): a boot below the newest is stale",
        "host/birthkey_host/recording.py",
        "    if outcome.boot < device.newest:",
        "    if False:",
        "tests/host/test_registry_replay.py",
    ),
    Mutation(
        "pruned messages stay old",
        "host/birthkey_host/recording.py",
        "    if seen is None and _is_old(session, device, outcome.message.counter):",
        "    if False:",
        "tests/host",
    ),
    Mutation(
        "a claim code is consumed",
        "host/birthkey_host/claims.py",
        "    claim.spent = now\n",
        "",
        "tests/host/test_claims.py",
    ),
    Mutation(
        "a claim code expires",
        "host/birthkey_host/claims.py",
        "(claim.expires is None or now < claim.expires)",
        "True",
        "tests/host/test_claims.py",
    ),
    Mutation(
        "known bad keys are refused",
        "host/birthkey_host/recording.py",
        "    if bad_keys.is_listed(session, whole):",
        "    if False:",
        "tests/host/test_bad_keys.py",
    ),
    Mutation(
        "those who wait for approval are capped",
        "host/birthkey_host/recording.py",
        "        if session.scalars(waiting).one() >= limits.pending:",
        "        if False:",
        "tests/host/test_enrolment.py",
    ),
    Mutation(
        "audit events are chained",
        "host/birthkey_host/events.py",
        "        if event.hash != digest(previous, event):",
        "        if False:",
        "tests/host/test_events.py",
    ),
    Mutation(
        "a device sends no more than its quota",
        "host/birthkey_host/server/quota.py",
        "        return self._left(account, now) < 1",
        "        return False",
        "tests/host/server",
    ),
    Mutation(
        "an origin in debt is served last",
        "host/birthkey_host/server/admission.py",
        "        if self._debts.owes(origin, now):",
        "        if False:",
        "tests/host/server",
    ),
    Mutation(
        "connections that proved nothing go first",
        "host/birthkey_host/server/places.py",
        "            victim = self._oldest(max(self._unproven, key=lambda each: len(self._unproven[each])))",
        '            raise Full("too many connections")',
        "tests/host/server",
    ),
    *(Mutation(*row) for row in command_mutations.MUTATIONS),
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
    ran = subprocess.run(
        [*command, *tests.split(" ", 2)], cwd=copy, capture_output=True, text=True, timeout=300
    )
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"{tests}: pytest did not run:\n{ran.stdout}{ran.stderr}")
    red = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
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
        table.add_row(result.mutation.rule, result.red or "[bold red]none[/]")
    console.print(table)
    if chosen == MUTATIONS:
        (ROOT / "docs" / "mutations.md").write_text(report(results))
    return 0 if all(result.red for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
