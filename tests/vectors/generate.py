"""Writes the JSON files beside this one: `python tests/vectors/generate.py [FOLDER]`.

The vectors come from public libraries and the norm alone; neither implementation is
imported. Keys and random bytes are fixed, so that every run gives the same files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import answer_vectors
import cbor_accepted
import cbor_refused
import frame_vectors
import replay_vectors


def _cbor() -> dict[str, Any]:
    return {
        "comment": "One CBOR item each; refusals hold one fault each.",
        "vectors": cbor_accepted.vectors() + cbor_refused.vectors(),
    }


FILES = {
    "cbor.json": _cbor,
    "frames.json": frame_vectors.make,
    "answers.json": answer_vectors.make,
    "replay.json": replay_vectors.make,
}


def main(folder: Path) -> None:
    for name, make in FILES.items():
        content = make()
        _check_names(content["vectors"])
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def _check_names(vectors: list[dict[str, Any]]) -> None:
    names = [vector["name"] for vector in vectors]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"names used twice: {sorted(repeated)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
