"""The error for a frame that is not believed, and the one for what a person asks in vain."""

from __future__ import annotations

from typing import Literal, TypeAlias

from birthkey_host.legible import excerpt

Layer: TypeAlias = Literal["framing", "cbor", "seal", "cose", "signature", "replay", "policy"]


class FrameError(ValueError):
    """A frame that gets silence.

    `layer` names the check that refused it, as in docs/protocol.md; `reason` is a sentence
    for a person: what was wrong, where, and what to do about it when something can be done. It is
    legible and at most SENTENCE characters, whatever was in the frame.
    """

    def __init__(self, layer: Layer, reason: str) -> None:
        self.layer: Layer = layer
        self.reason = excerpt(reason)
        super().__init__(f"{layer}: {self.reason}")


class Unable(Exception):
    """What cannot be done; the text is a sentence for the person who asked, and says what to do."""
