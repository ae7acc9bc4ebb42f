"""Programs by workflow and version, and which version is published, remembered by this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from shared.engine.expressions import ExpressionGuard
from shared.engine.program import Program
from shared.errors import QueueUnavailableError
from shared.queue.hints import Hints
from shared.repositories.workflows import WorkflowRepository

logger = logging.getLogger(__name__)

MAX_PROGRAMS = 256
# How long after a publication a drain may still start runs on the version before it.
PUBLISHED_SECONDS = 1.0

Key = tuple[str, str, int]


class GraphLoader:
    """Versions never change, so their programs are kept; which one is published is asked again each second."""

    def __init__(self, workflows: WorkflowRepository, hints: Hints, guard: ExpressionGuard) -> None:
        """Graphs come from `workflows`; what is published from `hints`, or else from `workflows`."""
        self._workflows, self._hints, self._guard = workflows, hints, guard
        self._programs: OrderedDict[Key, Program] = OrderedDict()
        self._published: dict[tuple[str, str], tuple[float, int | None]] = {}
        self._loading: dict[object, asyncio.Task[object]] = {}

    async def program(self, tenant_id: str, workflow_id: str, version: int) -> Program | None:
        """The program of a version; `None` when the tenant has none such. One that cannot run raises
        `InvalidGraphError`."""
        key = (tenant_id, workflow_id, version)
        found = self._programs.get(key)
        if found is not None:
            self._programs.move_to_end(key)
            return found
        await self._once(key, lambda: self._load(key))
        return self._programs.get(key)

    async def published_version(self, tenant_id: str, workflow_id: str) -> int | None:
        """The version that new runs take; `None` when there is none."""
        key = (tenant_id, workflow_id)
        asked_at, version = self._published.get(key, (0.0, None))
        if time.monotonic() - asked_at < PUBLISHED_SECONDS:
            return version
        await self._once(key, lambda: self._ask(key))
        return self._published[key][1]

    async def is_known(self, tenant_id: str, workflow_id: str) -> bool:
        """Whether the tenant has this workflow, published or not."""
        return await self._workflows.get(tenant_id, workflow_id) is not None

    async def _once(self, key: object, load: Callable[[], Awaitable[None]]) -> None:
        """Runs that want the same at the same time share one question."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.ensure_future(load())
            task.add_done_callback(lambda _task: self._loading.pop(key, None))
        await asyncio.shield(task)

    async def _load(self, key: Key) -> None:
        row = await self._workflows.version(*key)
        if row is None:
            return
        self._programs[key] = Program.from_row(row)
        if len(self._programs) > MAX_PROGRAMS:
            _, dropped = self._programs.popitem(last=False)
            for template in dropped.templates():
                self._guard.drop(template)

    async def _ask(self, key: tuple[str, str]) -> None:
        version = await self._hinted(key[1])
        if version is None:
            row = await self._workflows.get(*key)
            version = (row or {}).get("published_version") or 0
            if row is not None:
                await self._remember(key[1], version)
        if len(self._published) > 10_000:
            self._published.clear()
        self._published[key] = (time.monotonic(), version or None)

    async def _hinted(self, workflow_id: str) -> int | None:
        try:
            return (await self._hints.published_versions([workflow_id])).get(workflow_id)
        except QueueUnavailableError:
            return None

    async def _remember(self, workflow_id: str, version: int) -> None:
        try:
            await self._hints.remember_published(workflow_id, version, refill=True)
        except QueueUnavailableError:
            logger.warning("published_version_not_remembered", extra={"workflow_id": workflow_id})
