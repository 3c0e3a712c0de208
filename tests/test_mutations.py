"""What `make mutations` takes out is there to be taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.rule))
def test_rule_stands_once_and_its_tests_are_there(mutation: Mutation) -> None:
    assert (ROOT / mutation.path).read_text().count(mutation.old) == 1
    [tests, *_] = mutation.tests.split("::")[0].split(" ")
    assert (ROOT / tests).exists()
