"""Histories that runs left in the past: today's code folds them to the same end, and derives every fact again.

They are recorded once, by `python -m tests.replay.record`, and never written again to please a change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.execution.fold import fold
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.verification import first_difference
from shared.events.envelope import RecordedEvent
from shared.events.facts import ExecutionFact
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.replay.stories import STORIES

HISTORIES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.fixture(scope="module")
def guard() -> Iterator[ExpressionEvaluator]:
    """A child process for expressions, for all histories."""
    guard = ExpressionEvaluator()
    yield guard
    run(guard.close())


def _loaded(path: Path) -> tuple[JsonObject, list[RecordedEvent]]:
    history = json.loads(path.read_text(encoding="utf-8"))
    return history, [RecordedEvent.from_row({"tenant_id": "tenant", **event}) for event in history["events"]]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_history_is_derived_again(guard: ExpressionEvaluator, path: Path) -> None:
    """Each recorded fact is the one that today's code would record there, and the run ends as it did."""
    history, events = _loaded(path)
    difference = run(first_difference(events, CompiledWorkflow.from_row(history["workflow"]), guard))
    assert difference is None, difference.as_json()
    state = fold(events)
    assert state is not None
    assert state.status == history["status"]


def test_every_story_has_its_history() -> None:
    """What is told in `stories` has been recorded."""
    assert {path.stem for path in HISTORIES} == set(STORIES)


def test_every_kind_of_fact_is_in_a_history() -> None:
    """A change of any fact's form is noticed here."""
    recorded = {event.event_type for path in HISTORIES for event in _loaded(path)[1]}
    assert {fact.__name__ for fact in ExecutionFact.__args__} == recorded
