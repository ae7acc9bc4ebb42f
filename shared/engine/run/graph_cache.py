"""Programs by workflow and version, and which version is published, remembered by this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from shared.domain.json.values import size_bytes
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.errors import QueueError, QueueUnavailableError
from shared.platform.bulkhead import BulkheadThreads
from shared.platform.lru_cache import LruCache
from shared.platform.slots import waiting_outside
from shared.queue.cache import ConfigCache
from shared.repositories.workflows import WorkflowRepository

logger = logging.getLogger(__name__)

# Of the graphs as JSON; a program takes up to thirteen times as much memory as its graph.
MAX_GRAPH_BYTES = 8_000_000
# A graph of so many takes a tenth of a second and more to be compiled: beside the loop, which others share.
LARGE_GRAPH_BYTES = 65_536
MAX_PUBLISHED = 10_000
# How long after a publication a drain may still start runs on the version before it.
PUBLISHED_SECONDS = 1.0

Key = tuple[str, str, int]
T = TypeVar("T")


class GraphCache:
    """Versions never change, so their programs are kept; which one is published is asked again each second."""

    def __init__(
        self,
        workflows: WorkflowRepository,
        config_cache: ConfigCache,
        guard: ExpressionEvaluator,
        max_graph_bytes: int = MAX_GRAPH_BYTES,
        max_published: int = MAX_PUBLISHED,
    ) -> None:
        """Graphs come from `workflows`; what is published from `config_cache`, or else from `workflows`. Of both, what
        was used last is kept: programs of so many bytes of graphs, and the versions of so many workflows."""
        self._workflows, self._config_cache, self._guard = workflows, config_cache, guard
        self._programs: LruCache[Key, CompiledWorkflow] = LruCache(max_graph_bytes)
        self._published: LruCache[tuple[str, str], tuple[float, int | None]] = LruCache(max_published)
        # One after the other: they share one interpreter with the loop.
        self._compiling = BulkheadThreads(1, 1, "compile")
        self._loading: dict[object, asyncio.Task[Any]] = {}

    async def program(self, tenant_id: str, workflow_id: str, version: int) -> CompiledWorkflow | None:
        """The program of a version; `None` when the tenant has none such. One that cannot run raises
        `InvalidGraphError`."""
        key = (tenant_id, workflow_id, version)
        program = self._programs.get(key)
        if program is None:
            with waiting_outside():  # others' large graphs may be compiled before it
                program = await self._once(key, lambda: self._load(key))
        return program

    async def published_version(self, tenant_id: str, workflow_id: str) -> int | None:
        """The version that new runs take; `None` when there is none."""
        key = (tenant_id, workflow_id)
        asked_at, version = self._published.get(key) or (0.0, None)
        if time.monotonic() - asked_at < PUBLISHED_SECONDS:
            return version
        return await self._once(key, lambda: self._ask(key))

    async def is_known(self, tenant_id: str, workflow_id: str) -> bool:
        """Whether the tenant has this workflow, published or not."""
        return await self._workflows.get(tenant_id, workflow_id) is not None

    async def _once(self, key: object, load: Callable[[], Awaitable[T]]) -> T:
        """Runs that want the same at the same time share one question, and its answer: what is kept of it may have
        gone again by the time that they look."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.ensure_future(load())
            task.add_done_callback(lambda _task: self._loading.pop(key, None))
        found: T = await asyncio.shield(task)
        return found

    async def _load(self, key: Key) -> CompiledWorkflow | None:
        row = await self._workflows.version(*key)
        if row is None:
            return None
        graph_bytes = size_bytes([row["nodes"], row["edges"]])
        if graph_bytes < LARGE_GRAPH_BYTES:
            program = CompiledWorkflow.from_row(row)
        else:
            program = await self._compiling.run(key[0], partial(CompiledWorkflow.from_row, row))
        for dropped in self._programs.put(key, program, graph_bytes):
            for template in dropped.root.templates():
                self._guard.drop(template)
        return program

    async def _ask(self, key: tuple[str, str]) -> int | None:
        version = await self._from_config_cache(key[1])
        if version is None:
            row = await self._workflows.get(*key)
            version = (row["published_version"] if row is not None else None) or 0
            if row is not None:
                await self._remember(key[1], version)
        self._published.put(key, (time.monotonic(), version or None))
        return version or None

    async def _from_config_cache(self, workflow_id: str) -> int | None:
        try:
            return (await self._config_cache.published_versions([workflow_id])).get(workflow_id)
        except (QueueUnavailableError, QueueError):
            return None

    async def _remember(self, workflow_id: str, version: int) -> None:
        try:
            await self._config_cache.refill_published(workflow_id, version)
        except (QueueUnavailableError, QueueError):
            logger.warning("published_version_not_remembered", extra={"workflow_id": workflow_id})
