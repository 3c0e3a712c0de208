"""What happens to a frame, whatever it came over: verifier, registry, answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from birthkey_host.enrolment import Policy
from birthkey_host.errors import FrameError
from birthkey_host.registry import Registry, RegistryError
from birthkey_host.verifier import Verifier

log = logging.getLogger(__name__)


class Pipeline:
    """Takes frames one at a time, from one thread. `clock` returns Unix seconds."""

    def __init__(
        self,
        verifier: Verifier,
        registry: Registry,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._registry = registry
        self._policy = policy
        self._clock = clock

    def handle(self, frame: bytes, source: str) -> bytes | None:
        """The answer for `source`, or None for silence. What is acknowledged is on the disk."""
        now = self._clock()
        try:
            outcome = self._verifier.receive(frame, source=source, now=now)
        except FrameError as error:
            log.warning("refused %s from %s", error, source)
            return None
        except RegistryError as error:  # no key to verify with: nothing can be said to anyone
            log.error("dropped a frame from %s: %s", source, error)
            return None
        verdict = self._registry.record(outcome, policy=self._policy, now=now)
        name = outcome.device_id.hex()
        if verdict.reason is not None:
            what = f"{verdict.reason}: {outcome.detail}" if outcome.detail else verdict.reason
            log.warning("refused %s: %s from %s, device %s", verdict.layer, what, source, name)
        elif verdict.stored:
            boot, sequence = divmod(outcome.message.counter, 1 << 32)
            log.info("stored %d:%d from %s, device %s", boot, sequence, source, name)
        return outcome.answer(verdict)
