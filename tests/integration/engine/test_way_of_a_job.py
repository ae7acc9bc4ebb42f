"""How many files a reader opens to follow one job, from its claim to the commit of its run's events."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from shared.engine.drain.worker import Summary, Worker
from tests.integration.engine.harness import HOOK, EngineHarness, transform

ROOT = Path(__file__).parents[3]
# As few as the way has now. A module that is added to it is paid for by one that goes.
MAX_ENGINE_FILES = 18
MAX_FILES = 54
# How often the whole way comes back to a file that it has left, helpers included: 125, and some where a timer runs out.
MAX_RETURNS = 140


class Way:
    """The project's files in which functions are called, in order, until the journal's append of the run returns; for
    `sys.setprofile`."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.is_over = False
        # Held, so that no later frame has the same identity: a coroutine that is resumed is no further call.
        self._frames: dict[int, FrameType] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event != "call" or self.is_over or not code.co_filename.startswith(f"{ROOT}/shared/"):
            return
        name = code.co_filename.removeprefix(f"{ROOT}/")
        if id(frame) in self._frames:
            self.is_over = code.co_name == "append" and name == "shared/engine/run/journal.py"
            return
        self._frames[id(frame)] = frame
        if not self.files or self.files[-1] != name:
            self.files.append(name)

    @property
    def returns(self) -> int:
        """How often the way comes back to a file that it has left."""
        return len(self.files) - len(set(self.files))


async def test_a_job_passes_few_files(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second delivery of a workflow with one expression, when everything is warm, run by a drain's worker."""
    # However slow the machine is, which version is published is still known.
    monkeypatch.setattr("shared.engine.run.graph_cache.PUBLISHED_SECONDS", 3600.0)
    workflow_id = await harness.publish([HOOK, transform("one", "{% $input.body %}")], "hook>one")
    producer, consumer, way = harness.services.producer, harness.services.consumer, Way()
    for is_traced in (False, True):
        job = harness.delivery(workflow_id, {"n": 1})
        await producer.accept(job, "0")
        claimed = await consumer.claim("token")
        assert claimed is not None
        work = Worker(consumer, producer, harness.engine, lambda: False, Summary()).work(claimed)
        sys.setprofile(way if is_traced else None)
        try:
            await work
        finally:
            sys.setprofile(None)
        assert (await harness.state(job)).status == "succeeded"
    assert way.is_over, way.files
    passed = dict.fromkeys(way.files)
    engine_files = [name for name in passed if name.startswith("shared/engine/")]
    assert len(engine_files) <= MAX_ENGINE_FILES, engine_files
    assert len(passed) <= MAX_FILES, list(passed)
    assert way.returns <= MAX_RETURNS, way.files
