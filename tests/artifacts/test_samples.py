"""Every sample event, given to the built function as it is, over what `local/tools/sample_world.py` makes: each is
answered as `events/answers.json` has it. `sam local invoke` would answer the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.http.openapi import document
from tests.artifacts.world import FOLDER, SAMPLES, World, running

# Of an answer, what is the same whenever it is asked for: ids that are drawn and moments are left out.
ANSWERS = json.loads((FOLDER / "answers.json").read_text())
DOCUMENTED = {
    operation["operationId"]: set(operation["responses"])
    for operations in document()["paths"].values()
    for operation in operations.values()
}


@pytest.fixture(scope="module")
def world(build: Path, postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A stack of the samples' own, without schedules."""
    folder = tmp_path_factory.mktemp("samples")
    with running(folder, postgres_template, build) as made:
        yield made
    shutil.rmtree(folder / "postgres", ignore_errors=True)


@pytest.mark.parametrize("sample", SAMPLES)
def test_sample_is_answered_as_recorded(world: World, sample: str) -> None:
    """With the status that is written down, which its operation documents, and what else is written down."""
    world.restore()
    answer = world.invoke(sample)
    assert ANSWERS.get(sample) == common(ANSWERS.get(sample), answer), json.dumps(answer)
    if sample.partition("/")[2] in DOCUMENTED:
        assert str(answer["statusCode"]) in DOCUMENTED[sample.partition("/")[2]]


def common(recorded: Any, answer: Any) -> Any:
    """What of the answer was written down: of an object, the keys that the record has."""
    if isinstance(recorded, dict) and isinstance(answer, dict):
        return {key: common(value, answer.get(key)) for key, value in recorded.items() if key in answer}
    if isinstance(recorded, list) and isinstance(answer, list) and len(recorded) == len(answer):
        return [common(*pair) for pair in zip(recorded, answer, strict=True)]
    return answer
