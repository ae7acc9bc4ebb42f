"""Caches compiled workflows ("programs") by version, and which version of each workflow is published."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import TypeVar

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

# Of the kept programs' graphs as JSON; a program takes up to thirteen times as much memory as its graph.
MAX_GRAPH_BYTES = 8_000_000
# A graph of this size takes a tenth of a second and more to compile: that is done in a thread, beside the event loop.
LARGE_GRAPH_BYTES = 65_536
MAX_PUBLISHED = 10_000
# How long after a publication a drain may still start runs on the version before it.
PUBLISHED_SECONDS = 1.0

Key = tuple[str, str, int]
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class GraphCache:
    """One process's cache. Versions never change, so their programs are kept; which one is published is asked again
    after a second."""

    def __init__(
        self,
        workflows: WorkflowRepository,
        config_cache: ConfigCache,
        evaluator: ExpressionEvaluator,
        max_graph_bytes: int = MAX_GRAPH_BYTES,
        max_published: int = MAX_PUBLISHED,
    ) -> None:
        """Graphs come from `workflows`; published versions from `config_cache`, or else from `workflows`. `evaluator`
        is told of templates that are evicted. The least recently used are evicted: programs whose graphs have more than
        `max_graph_bytes` together, and versions of more than `max_published` workflows."""
        self._workflows, self._config_cache, self._evaluator = workflows, config_cache, evaluator
        self._programs: LruCache[Key, CompiledWorkflow] = LruCache(max_graph_bytes)
        self._published: LruCache[tuple[str, str], tuple[float, int | None]] = LruCache(max_published)
        # One thread: several would not compile faster, since they share the interpreter's lock with the loop.
        self._compiling = BulkheadThreads(1, 1, "compile")
        self._loading_programs: dict[Key, asyncio.Task[CompiledWorkflow | None]] = {}
        self._loading_published: dict[tuple[str, str], asyncio.Task[int | None]] = {}

    async def program(self, tenant_id: str, workflow_id: str, version: int) -> CompiledWorkflow | None:
        """The program of a version; `None` when the tenant has no such version. Raises `InvalidGraphError` for one that
        cannot run, and `StorageUnavailableError`."""
        key = (tenant_id, workflow_id, version)
        program = self._programs.get(key)
        if program is None:
            with waiting_outside():  # other tenants' large graphs may be compiled before it
                program = await _shared(self._loading_programs, key, self._load)
        return program

    async def published_version(self, tenant_id: str, workflow_id: str) -> int | None:
        """The version on which new runs start; `None` when there is none. Raises `StorageUnavailableError`."""
        key = (tenant_id, workflow_id)
        asked_at, version = self._published.get(key) or (0.0, None)
        if time.monotonic() - asked_at < PUBLISHED_SECONDS:
            return version
        return await _shared(self._loading_published, key, self._load_published)

    async def is_known(self, tenant_id: str, workflow_id: str) -> bool:
        """Whether the tenant has this workflow, published or not."""
        return await self._workflows.get(tenant_id, workflow_id) is not None

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
                self._evaluator.drop(template)
        return program

    async def _load_published(self, key: tuple[str, str]) -> int | None:
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


async def _shared(loading: dict[K, asyncio.Task[T]], key: K, load: Callable[[K], Coroutine[object, object, T]]) -> T:
    """The result of `load`, which runs that need the same at the same time share. They do not look into the cache for
    it: there it may have been evicted by then."""
    task = loading.get(key)
    if task is None:
        task = loading[key] = asyncio.create_task(load(key))
        task.add_done_callback(lambda _task: loading.pop(key, None))
    # Shielded: one run that is cancelled must not cancel it for the others.
    return await asyncio.shield(task)
