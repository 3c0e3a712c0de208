"""What happens to a frame, whatever it came over: verifier, registry, answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from birthkey_host.enrolment import Policy
from birthkey_host.errors import FrameError
from birthkey_host.message import Reason
from birthkey_host.origins import networks
from birthkey_host.registry import Registry, RegistryError, Terms
from birthkey_host.room import Room
from birthkey_host.server.lines import Lines
from birthkey_host.server.newcomers import NewcomerLimits, Newcomers
from birthkey_host.server.quota import Quota, QuotaLimits
from birthkey_host.server.reserve import Reserve, ReserveLimits
from birthkey_host.verifier import Outcome, Verdict, Verifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of a frame's sender before the frame is opened."""

    source: str
    """Its address, or the port that it is on."""
    tls: bool = False
    """Whether the frame came over TLS."""
    device_id: bytes | None = None
    """The device whose birth key it has proven to TLS: nobody else may speak there."""


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a frame."""

    answer: bytes | None
    """For the sender; None for silence."""
    device_id: bytes | None = None
    """The active device that has sealed and signed it; None if there is none."""
    charged: bool = False
    """Whether it came to nothing by the sender's fault."""
    stored: bool = False
    """Whether it was new and is on the disk."""
    command: bytes | None = None
    """What follows the answer, at once."""

    @property
    def frames(self) -> list[bytes]:
        """All that goes to the sender, in order."""
        return [frame for frame in (self.answer, self.command) if frame is not None]


class Pipeline:
    """Takes frames one at a time, from one thread. `clock` returns Unix seconds.

    `require_tls`: what came without TLS is refused as `tls-required`, and leaves no trace.
    """

    def __init__(
        self,
        verifier: Verifier,
        registry: Registry,
        policy: Policy,
        *,
        quota: QuotaLimits | None = None,
        newcomers: NewcomerLimits | None = None,
        reserve: ReserveLimits | None = None,
        require_tls: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._registry = registry
        self._policy = policy
        self._quota = Quota(quota)
        self._newcomers = Newcomers(newcomers)
        self._reserve = Reserve(self._room, reserve)
        self._require_tls = require_tls
        self._clock = clock
        self.lines = Lines(log)
        """Where it logs what frames cause."""

    @property
    def server_ids(self) -> Collection[bytes]:
        """The keys that frames may be sealed to."""
        return self._verifier.server_ids

    def boots(self, limit: int) -> Iterable[tuple[bytes, bytes]]:
        """See `Registry.newest_boots`; none when the registry cannot be read."""
        try:
            return self._registry.newest_boots(limit)
        except RegistryError as error:
            log.error("takes every board for a stranger at first: %s", error)
            return ()

    def begin(self) -> None:
        """Log now what would be in the way of the first frame: too little room on the disk."""
        self._look_for_room(self._clock())

    def handle(self, frame: bytes, source: str) -> bytes | None:
        """The answer for `source`, or None for silence. What is acknowledged is on the disk."""
        return self.serve(frame, Sender(source)).answer

    def frames(self, frame: bytes, source: str) -> list[bytes]:
        """All that goes back to `source`: nothing, an answer, or an answer and a command."""
        return self.serve(frame, Sender(source)).frames

    def serve(self, frame: bytes, sender: Sender) -> Served:
        """As `handle`, and who sent it."""
        now, source = self._clock(), sender.source
        self._look_for_room(now)
        try:
            outcome = self._verifier.receive(frame, source=source, now=now)
        except FrameError as error:
            self.lines.write(
                logging.WARNING, source, error.layer, "refused %s from %s", error, source
            )
            return Served(None, charged=True)
        except RegistryError as error:  # no key to verify with: nothing can be said to anyone
            self.lines.write(
                logging.ERROR, source, "registry", "dropped a frame from %s: %s", source, error
            )
            return Served(None)
        if sender.device_id not in (None, outcome.device_id):
            self._refuse("policy: the TLS connection is another device's", "", outcome)
            return Served(None, charged=True)
        verdict, detail = self._decide(outcome, sender, now)
        if verdict.fault is not None:  # the database's, and nobody else's
            device = outcome.device_id.hex()
            line = "not recorded, from %s, device %s: %s"
            self.lines.write(logging.ERROR, source, "registry", line, source, device, verdict.fault)
            return Served(outcome.answer(verdict))
        if verdict.reason is not None:
            self._refuse(f"{verdict.layer}: {verdict.reason}", detail, outcome)
            answer, enrols = outcome.answer(verdict), outcome.enrol is not None
            full = self._reserve.no_strangers if enrols else self._reserve.no_growth
            if verdict.reason is not Reason.BUSY or (enrols and full is None):
                return Served(answer, charged=True)
            if full is not None:  # the disk, which is nobody's fault
                return Served(answer)
            return Served(answer, outcome.device_id)  # an active device, beyond what it may have
        self._tell(outcome, verdict)
        answer, command = outcome.answer(verdict), outcome.command(verdict)
        return Served(answer, outcome.device_id, stored=verdict.stored, command=command)

    def _tell(self, outcome: Outcome, verdict: Verdict) -> None:
        """Log what was stored and sent, as far as it does not become too much for a log.

        What is stored, the registry has; what is sent, anyone causes who repeats a frame.
        """
        name = outcome.device_id.hex()
        if verdict.stored:
            boot, sequence = divmod(outcome.message.counter, 1 << 32)
            line = "stored %d:%d from %s, device %s"
            self.lines.write(
                logging.INFO, name, "stored", line, boot, sequence, outcome.source, name
            )
        if verdict.command is not None:
            line = "sent command %d to device %s"
            self.lines.write(logging.INFO, name, "commands", line, verdict.command.id, name)

    def _refuse(self, what: str, detail: str, outcome: Outcome) -> None:
        """Log that a frame is refused."""
        self.lines.write(
            logging.WARNING,
            outcome.source,
            what,
            "refused %s from %s, device %s",
            f"{what}: {detail}" if detail else what,
            outcome.source,
            outcome.device_id.hex(),
        )

    def _decide(self, outcome: Outcome, sender: Sender, now: float) -> tuple[Verdict, str]:
        """The verdict, and why in a sentence, if there is more to say than its reason."""
        device_id, counter = outcome.device_id, outcome.message.counter
        if outcome.refusal is Reason.UNKNOWN_DEVICE:  # the registry has just said so
            return Verdict(outcome.refusal, newest=0, stored=False), outcome.detail
        if outcome.refusal is None and self._require_tls and not sender.tls:
            newest = self._quota.newest(device_id)
            return Verdict(Reason.TLS_REQUIRED, newest, stored=False), "it came without TLS"
        if outcome.refusal is None:
            excess = self._quota.refuses(device_id, counter, outcome.boot, now)
            if excess is not None:
                newest = self._quota.newest(device_id)
                return Verdict(Reason.BUSY, newest, stored=False), excess
        terms = self._terms(outcome, sender, now)
        verdict = self._registry.record(outcome, policy=self._policy, terms=terms, now=now)
        if verdict.stranger:
            self._newcomers.spend(terms.networks, now)
        if verdict.stored or verdict.booted:
            self._quota.spend(
                device_id,
                counter,
                verdict.newest,
                now,
                stored=verdict.stored,
                booted=verdict.booted,
            )
        return verdict, outcome.detail or verdict.detail

    def _terms(self, outcome: Outcome, sender: Sender, now: float) -> Terms:
        """What may be taken of this frame just now."""
        reserve = self._reserve
        if outcome.enrol is None:  # of no new device
            return Terms(no_growth=reserve.no_growth)
        where = networks(sender.source)
        no_strangers = reserve.no_strangers or self._newcomers.refuses(where, now)
        return Terms(where, no_strangers=no_strangers, no_growth=reserve.no_growth)

    def _look_for_room(self, now: float) -> None:
        if (notice := self._reserve.look(now)) is not None:
            log.error("%s", notice)

    def _room(self) -> Room | None:
        try:
            return self._registry.room()
        except RegistryError:  # what comes next says so
            return None
