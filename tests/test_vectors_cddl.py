"""docs/protocol.cddl, executed over every vector: at every level that the vector shows.

A refused vector says `cddl: false` when the grammar sees its fault; all others conform. Both
are checked, so a rule that allows too much fails here, and so does one that allows too little.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cddl_verifier import Validator

TESTS = Path(__file__).parent
CDDL = TESTS.parent / "docs" / "protocol.cddl"

UP = {
    "frame": "sealed-frame",
    "signed_frame": "signed-frame",
    "message": "uplink",
    "external_aad": "uplink-aad",
    "info": "hpke-info",
}
DOWN = {"answer": "answer", "message": "downlink", "external_aad": "downlink-aad"}


def load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((TESTS / "vectors" / name).read_text())["vectors"]
    return vectors


def cases(name: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in load(name)]


@pytest.fixture(scope="module")
def grammar() -> Validator:
    return Validator(CDDL)


def faults(grammar: Validator, vector: dict[str, Any], rules: dict[str, str]) -> list[str]:
    """What the grammar has against the vector, over all levels that it shows."""
    found = []
    for level, rule in rules.items():
        if level in vector:
            result = grammar.validate(bytes.fromhex(vector[level]), root_type=rule)
            found += [f"{level}: {fault.message}" for fault in result.diagnostics]
            assert result.valid == (not result.diagnostics)
    return found


@pytest.mark.parametrize("vector", cases("frames.json"))
def test_frames(grammar: Validator, vector: dict[str, Any]) -> None:
    found = faults(grammar, vector, UP)
    assert (not found) == vector.get("cddl", True), found


@pytest.mark.parametrize("vector", cases("answers.json"))
def test_answers(grammar: Validator, vector: dict[str, Any]) -> None:
    found = faults(grammar, vector, DOWN)
    assert (not found) == vector.get("cddl", True), found


@pytest.mark.parametrize("vector", cases("replay.json"))
def test_every_frame_of_a_row(grammar: Validator, vector: dict[str, Any]) -> None:
    for step in vector["steps"]:
        assert not faults(grammar, step, UP)


@pytest.mark.parametrize(("name", "rules"), [("frames.json", UP), ("answers.json", DOWN)])
def test_accepted_vectors_show_every_level(name: str, rules: dict[str, str]) -> None:
    accepted = [vector for vector in load(name) if vector["expect"] == "accept"]
    assert accepted
    for vector in accepted:
        assert rules.keys() <= vector.keys()
        assert "cddl" not in vector


@pytest.mark.parametrize(
    ("level", "rule", "was", "becomes"),
    [
        ("frame", "sealed-header", "4 => server-id", "4 => bstr .size 15"),
        ("signed_frame", "signed-header", "1 => -7", "1 => -35"),
        ("message", "data", "data = [1,", "data = [5,"),
        ("external_aad", "uplink-aad", "birthkey/1 up", "birthkey/2 up"),
        ("info", "hpke-info", '"birthkey/1"', '"birthkey/2"'),
    ],
)
def test_another_grammar_refuses_every_accepted_reading(
    level: str, rule: str, was: str, becomes: str
) -> None:
    text = CDDL.read_text()
    start = text.index(f"\n{rule} = ")
    grammar = Validator(text[:start] + text[start:].replace(was, becomes, 1))
    for vector in load("frames.json"):
        if vector["name"].startswith("data-") and vector["expect"] == "accept":
            assert any(fault.startswith(level) for fault in faults(grammar, vector, UP))
