"""Programs and published versions that a process keeps."""

from __future__ import annotations

import asyncio
import gc
import time

from shared.domain.expressions import expressions
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.graph_cache import GraphCache
from shared.platform.lru_cache import LruCache
from tests.integration.engine.harness import HOOK, EngineHarness, transform


async def test_programs_are_kept_by_the_size_of_their_graphs(harness: EngineHarness) -> None:
    """A large graph makes room for itself; small ones beside it stay, and what was dropped is loaded again."""
    small = [await harness.publish([HOOK, transform("a", "{% $input %}")], "hook>a") for _ in range(3)]
    large = await harness.publish([HOOK, transform("a", "x" * 20_000)], "hook>a")
    graphs = GraphCache(
        harness.services.workflows, harness.services.config_cache, harness.guard, max_graph_bytes=20_500
    )

    async def load(workflow_id: str) -> object:
        return await graphs.program(harness.tenant_id, workflow_id, 1)

    first = [await load(workflow_id) for workflow_id in small]
    assert [await load(workflow_id) for workflow_id in small] == first
    await load(large)
    again = [await load(workflow_id) for workflow_id in small]

    kept = [one is other for one, other in zip(first, again, strict=True)]
    assert None not in again
    assert kept == [False, False, False]


async def test_every_run_gets_its_answer_whatever_is_kept_of_it(harness: EngineHarness) -> None:
    """Runs of more workflows than are kept, all at once, each learn their program and what is published."""
    workflows = [await harness.publish([HOOK, transform("a", "{% $input %}")], "hook>a") for _ in range(12)]
    graphs = GraphCache(
        harness.services.workflows, harness.services.config_cache, harness.guard, max_graph_bytes=1, max_published=1
    )

    versions = await asyncio.gather(*(graphs.published_version(harness.tenant_id, one) for one in workflows))
    programs = await asyncio.gather(*(graphs.program(harness.tenant_id, one, 1) for one in workflows))

    assert versions == [1] * 12
    assert [program and program.workflow_id for program in programs] == workflows


async def test_a_large_graph_is_compiled_beside_the_loop(harness: EngineHarness) -> None:
    """The loop goes round meanwhile, whose thread does none of it; in processor time, for the machine may be busy."""
    count = 900
    nodes = [transform(f"n{number}", "{% $trigger.body." + f"a{number}" * 100 + " + 1 %}") for number in range(count)]
    workflow_id = await harness.publish([HOOK, *nodes], *(f"hook>n{number}" for number in range(count)))
    row = await harness.services.workflows.version(harness.tenant_id, workflow_id, 1)
    assert row is not None
    # A collection of all that the tests before this one have left takes longer than the compilation.
    gc.collect()
    gc.freeze()
    cold()
    began = time.thread_time()
    CompiledWorkflow.from_row(row)
    alone = time.thread_time() - began
    graphs = GraphCache(harness.services.workflows, harness.services.config_cache, harness.guard)
    cold()

    rounds, in_all, of_loop = 0, time.process_time(), time.thread_time()
    loading = asyncio.ensure_future(graphs.program(harness.tenant_id, workflow_id, 1))
    while not loading.done():
        await asyncio.sleep(0.001)
        rounds += 1
    in_all, of_loop = time.process_time() - in_all, time.thread_time() - of_loop

    gc.unfreeze()
    assert await loading is not None
    assert in_all - of_loop > alone / 2
    assert rounds > 1


def cold() -> None:
    """Forgets what is compiled."""
    expressions._kept = LruCache(expressions.MAX_KEPT_CHARACTERS)
