"""The states of long runs that a drain keeps while they wait."""

from __future__ import annotations

from shared.domain.execution.run_budget import RunBudget
from shared.engine.run.run_cache import BYTES_OF_A_FACT, LONG, RunCache
from shared.events.node import NodeSkipped
from shared.ids import new_id
from shared.platform.turns import ComputeTurns
from tests.integration.engine.harness import HOOK, EngineHarness, delay
from tests.integration.http.runs import append


async def test_states_are_kept_by_their_size(harness: EngineHarness) -> None:
    """What is kept of runs is bounded by the bytes of their facts, not by how many there are: the last at work stay."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=86_400)], "hook>pause")
    room_for_two = LONG * BYTES_OF_A_FACT * 5 // 2
    waiting = RunCache(harness.services.events, RunBudget(), ComputeTurns(), room_for_two)
    runs = []
    for _ in range(3):
        job = harness.delivery(workflow_id)
        await harness.execute(job)
        await append(harness.services, harness.tenant_id, job.execution_id, *[NodeSkipped(new_id())] * LONG)
        known = await waiting.load(harness.tenant_id, job.execution_id)
        assert known is not None
        waiting.keep(*known)
        runs.append((job, known[0]))

    loaded = [await waiting.load(harness.tenant_id, job.execution_id) for job, _ in reversed(runs)]

    states = [state for _, state in reversed(runs)]
    assert [found is not None and found[0] is state for found, state in zip(loaded, states, strict=True)] == [
        True,
        True,
        False,
    ]
