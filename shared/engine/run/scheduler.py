"""The run of one execution: whatever is ready runs at once, and what is decided is recorded, until nothing is left.

Pure nodes never wait for storage: a run without effects is one append, unless it is a long one. An effect waits until
everything before it is durable; meanwhile the rest of the run goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from shared.domain.execution.node_readiness import outcome
from shared.domain.timestamps import unix_seconds
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.completion import RunCompletion
from shared.engine.run.due_nodes import DueNodes
from shared.engine.run.journal import MAX_BYTES
from shared.engine.run.node_runner import NodeRunner
from shared.engine.run.ready_nodes import ReadyNodes
from shared.engine.run.recorder import Recorder

# So many facts of nodes that need no storage are stored at once, so that a crash costs no more than these.
MAX_UNSAVED = 500
# Where storage is slower than the nodes, they wait for it before it is given more than these at once.
LONGEST_APPEND = 4_000


class NodeScheduler:
    """One execution, driven from where its facts leave off."""

    def __init__(
        self, recorder: Recorder, program: CompiledWorkflow, runner: NodeRunner, completion: RunCompletion
    ) -> None:
        """`recorder` holds the facts so far, the start included."""
        self._recorder, self._program, self._runner, self._completion = recorder, program, runner, completion
        self._state, self._scopes, self._calls = recorder.state, runner.scopes, runner.calls
        self._ready_nodes = ReadyNodes(self._state, self._scopes, recorder.record, runner.end_map)
        # By path, numbered in the order in which they were started; `_finished` are the paths of those that have ended.
        self._tasks: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._started = 0
        self._finished: list[str] = []
        self._woken = asyncio.Event()
        self._due = DueNodes(self._state, self._calls, self._tasks)
        self._is_cut_off = False
        self._saving: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        recorder.watch(self._scopes.timeout_seconds)

    async def run_until_blocked(self) -> float | None:
        """The seconds until the run's next timer, infinity when it waits for somebody else, `None` when it has ended.
        All of it is durable.

        Facts of somebody else raise `StreamConflictError`: whoever wrote them has the run now.
        """
        try:
            if self._state.signals.is_any_open:
                from shared.engine.run.signal_matching import match_signals  # most runs wait for no signal

                await match_signals(self._state.signals)
            await self._calls.find_ended()
            running = self._state.running
            started = [path for path in self._state.nodes if path in running] if running else []
            await self._nodes([*started, *self._due_now(), *self._ready_nodes.begun()])
            while self._state.waiting and not self._is_late():
                await self._recorder.durable()
                await self._calls.find_ended()
                due = self._due_now()
                if not due:
                    break
                # While that was being stored, a signal came, a timer ran out, or a called run ended.
                await self._nodes(due)
        finally:
            await self._abandon()
        if self._is_late():
            await self._completion.time_out()
            return None
        if self._state.waiting:
            await self._recorder.park()
            if self._state.calls or self._state.signals.is_awaited:
                # No delayed job may stand in the way of the one that a signal or a called run adds; the row's time is
                # enough.
                return math.inf
            first = unix_seconds(self._state.next_timer or "")
            return max(0.0, min(first, self._state.deadline_at or first) - self._recorder.clock())
        await self._completion.end(outcome(self._program.graph, self._state))
        return None

    async def _nodes(self, ready: list[str]) -> None:
        self._recorder.is_busy = True
        while ready or self._tasks:
            await self._recorder.room()
            if self._completion.is_overdue:
                self._is_cut_off = True
                break
            if len(ready) == 1 and not self._tasks and self._needs_no_task(ready[0]):
                await self._runner.run_to_completion(ready[0])
                done = ready
            else:
                for path in ready:
                    self._started += 1
                    self._tasks[path] = self._started, asyncio.create_task(self._settle(path))
                done = await self._next_done()
            self._due.offer(done)
            ready = [*self._ready_nodes.following(done), *self._due_now()]
            if self._recorder.unsaved >= LONGEST_APPEND or self._recorder.unsaved_bytes >= MAX_BYTES:
                await self._recorder.durable()
            elif self._recorder.unsaved >= MAX_UNSAVED:
                await self._save()
            if self._answering is None and self._recorder.owes_answer:
                # Whoever waits for the answer has it as soon as it is durable; the run goes on meanwhile.
                self._answering = asyncio.create_task(self._recorder.durable())
        self._recorder.is_busy = False

    def _needs_no_task(self, path: str) -> bool:
        """The common case, a chain of pure nodes; a run that may run out of time has to be able to stop them."""
        return self._state.deadline_at is None and not self._scopes.step(path).one.is_effect

    async def _settle(self, path: str) -> None:
        try:
            await self._runner.run_to_completion(path)
        finally:
            self._finished.append(path)
            # In the loop's next turn: what else ends in this one is followed together.
            asyncio.get_running_loop().call_soon(self._woken.set)

    async def _next_done(self) -> list[str]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_to_timer()):
                while not self._finished:
                    self._woken.clear()
                    await self._woken.wait()
        # In the order in which they were started, so that what follows does not depend on who was faster by a hair.
        paths = sorted(self._finished, key=self._tasks.__getitem__)
        self._finished = []
        for path in paths:
            self._tasks.pop(path)[1].result()
        if self._tasks and any(self._scopes.step(path).one.is_effect for path in paths):
            # Others are still busy, perhaps for minutes: what an effect has done should not wait for them.
            await self._save()
        return paths

    async def _save(self) -> None:
        if self._saving is not None and self._saving.done():
            self._saving.result()  # a conflict ends the run here
            self._saving = None
        if self._saving is None:
            self._saving = asyncio.create_task(self._recorder.durable())

    def _due_now(self) -> list[str]:
        return self._due.paths(self._recorder.clock())

    def _seconds_to_timer(self) -> float | None:
        """How long until a waiting node wants to be looked at; the others' work does not make it late."""
        now, deadline = self._recorder.clock(), self._state.deadline_at
        found = self._due.seconds_to_next(now)
        if deadline is None:
            return found
        left = max(0.0, deadline - now)
        return left if found is None else min(found, left)

    def _is_late(self) -> bool:
        """Whether the run's time is up with something left to do."""
        return self._is_cut_off or (bool(self._state.waiting) and self._completion.is_overdue)

    async def _abandon(self) -> None:
        """Stops what is still under way; after a normal end that is nothing but a save."""
        tasks = [task for _number, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        under_way = [*tasks, *filter(None, [self._saving, self._answering])]
        # Their errors are the run's own, which is ending with one.
        await asyncio.gather(*under_way, return_exceptions=True)
