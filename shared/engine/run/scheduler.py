"""Which nodes of a run are worked on: whatever is ready runs at once, until the run is blocked or has ended.

Pure nodes never wait for storage: a run without effects is one append, unless it is a long one. An effect waits until
everything before it is durable; meanwhile the rest of the run goes on.

Nodes come from two sources: `ReadyNodes` names those that follow from nodes that were settled, and `DueNodes` those
that wait and whose timer, signal or child run has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Container, Iterable
from heapq import heappop, heappush

from shared.domain.execution.node_readiness import outcome
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import unix_seconds
from shared.domain.workflow.graph import Graph
from shared.engine.run.child_runs import RunCalls
from shared.engine.run.completion import RunCompletion
from shared.engine.run.journal import MAX_BYTES
from shared.engine.run.node_runner import NodeRunner
from shared.engine.run.ready_nodes import ReadyNodes
from shared.engine.run.recorder import Recorder, match_signals
from shared.engine.run.scopes import Scopes
from shared.engine.run.timers import LONGEST_WAIT_SECONDS

# After so many facts of nodes that need no storage, they are stored, so that a crash costs no more than these.
MAX_UNSAVED = 500
# Where storage is slower than the nodes, the nodes wait for it before one append has more facts than this.
LONGEST_APPEND = 4_000


class NodeScheduler:
    """Drives one run from where its facts leave off, for one job."""

    def __init__(
        self,
        recorder: Recorder,
        graph: Graph,
        scopes: Scopes,
        runner: NodeRunner,
        calls: RunCalls,
        completion: RunCompletion,
    ) -> None:
        """`recorder` holds the facts so far, the start included; `graph` and `scopes` are those of the program."""
        self._recorder, self._state = recorder, recorder.state
        self._graph, self._scopes = graph, scopes
        self._runner, self._calls, self._completion = runner, calls, completion
        self._ready = ReadyNodes(self._state, scopes, recorder.record, runner.end_map)
        # By path, numbered in the order in which they were started; `_finished` are the paths of those that have ended.
        self._tasks: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._started = 0
        self._finished: list[str] = []
        self._woken = asyncio.Event()
        self._due = DueNodes(self._state, calls, self._tasks)
        self._is_cut_off = False
        # Appends beside the nodes' work: of facts so far, and of those that a waiting client's reply needs.
        self._saving: asyncio.Task[None] | None = None
        self._replying: asyncio.Task[None] | None = None
        recorder.watch(scopes.timeout_seconds)

    async def run_until_blocked(self) -> float | None:
        """The seconds until the run's next timer, infinity when it waits for a signal or another run, `None` when it
        has ended. All of it is durable.

        Raises `StreamConflictError` where another process has written to the run: that process has it now.
        """
        try:
            if self._state.signals.is_any_unchecked:
                await match_signals(self._state.signals)
            await self._calls.find_ended()
            running = self._state.running
            # Attempts that were begun and not ended: their drain died, and they are made again first.
            interrupted = [path for path in self._state.nodes if path in running] if running else []
            await self._work([*interrupted, *self._due_now(), *self._ready.begun()])
            while self._state.waiting and not self._is_late():
                await self._recorder.durable()
                # During that append a signal may have come, a timer run out, or a child run ended.
                await self._calls.find_ended()
                due = self._due_now()
                if not due:
                    break
                await self._work(due)
        finally:
            await self._abandon()
        if self._is_late():
            await self._completion.time_out()
            return None
        if self._state.waiting:
            await self._recorder.park()
            return self._seconds_to_wake()
        await self._completion.end(outcome(self._graph, self._state))
        return None

    def _seconds_to_wake(self) -> float:
        """How long the parked run needs nobody, unless it is signalled."""
        if self._state.calls or self._state.signals.is_awaited:
            # A delayed job would stand in the way of the one that a signal or a child run's end adds, which has the
            # same id. The time in the run's row is enough: the sweep reads it.
            return math.inf
        first = unix_seconds(self._state.next_timer or "")
        return max(0.0, min(first, self._state.deadline_at or first) - self._recorder.clock())

    async def _work(self, ready: list[str]) -> None:
        """Returns when nothing is ready or under way any more, or when the run's time is up."""
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
                    self._tasks[path] = self._started, asyncio.create_task(self._run_node(path))
                done = await self._next_done()
            self._due.offer(done)
            ready = [*self._ready.following(done), *self._due_now()]
            await self._save_in_time()
        self._recorder.is_busy = False

    async def _save_in_time(self) -> None:
        if self._recorder.unsaved >= LONGEST_APPEND or self._recorder.unsaved_bytes >= MAX_BYTES:
            await self._recorder.durable()
        elif self._recorder.unsaved >= MAX_UNSAVED:
            self._save()
        if self._replying is None and self._recorder.owes_reply:
            # The waiting client gets its reply as soon as it is durable; the run goes on meanwhile.
            self._replying = asyncio.create_task(self._recorder.durable())

    def _needs_no_task(self, path: str) -> bool:
        """The common case, a chain of pure nodes; a run with a deadline needs tasks, which can be cancelled."""
        return self._state.deadline_at is None and not self._scopes.step(path).compiled.is_effect

    async def _run_node(self, path: str) -> None:
        try:
            await self._runner.run_to_completion(path)
        finally:
            self._finished.append(path)
            # In the loop's next turn: nodes that end in the same turn are followed together.
            asyncio.get_running_loop().call_soon(self._woken.set)

    async def _next_done(self) -> list[str]:
        """The nodes that have ended since; none when a waiting node is due first. A node's internal error is raised."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_to_timer()):
                while not self._finished:
                    self._woken.clear()
                    await self._woken.wait()
        # In the order in which they were started, so that what follows does not depend on which was faster by a hair.
        paths = sorted(self._finished, key=self._tasks.__getitem__)
        self._finished = []
        for path in paths:
            self._tasks.pop(path)[1].result()
        if self._tasks and any(self._scopes.step(path).compiled.is_effect for path in paths):
            # Others are still busy, perhaps for minutes: an effect's result is not kept unsaved for so long.
            self._save()
        return paths

    def _save(self) -> None:
        """Starts an append beside the nodes' work, unless one is under way."""
        if self._saving is not None and self._saving.done():
            self._saving.result()  # a conflict ends the run here
            self._saving = None
        if self._saving is None:
            self._saving = asyncio.create_task(self._recorder.durable())

    def _due_now(self) -> list[str]:
        return self._due.paths(self._recorder.clock())

    def _seconds_to_timer(self) -> float | None:
        """How long until a waiting node is due or the run's time is up; other nodes' work makes neither late."""
        now, deadline = self._recorder.clock(), self._state.deadline_at
        to_timer = self._due.seconds_to_next(now)
        if deadline is None:
            return to_timer
        to_deadline = max(0.0, deadline - now)
        return to_deadline if to_timer is None else min(to_timer, to_deadline)

    def _is_late(self) -> bool:
        """Whether the run's time is up with something left to do."""
        return self._is_cut_off or (bool(self._state.waiting) and self._completion.is_overdue)

    async def _abandon(self) -> None:
        """Cancels the nodes that are still at work, and lets appends end; after a normal end only an append is left."""
        tasks = [task for _number, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        under_way = [*tasks, *filter(None, [self._saving, self._replying])]
        # Their errors are the run's own, which is ending with one.
        await asyncio.gather(*under_way, return_exceptions=True)


class DueNodes:
    """Which waiting nodes of one run are due. Each is named when its timer, signal or child run comes, so that a step
    of one node does not ask all the others."""

    def __init__(self, state: ExecutionState, calls: RunCalls, busy: Container[str]) -> None:
        """`busy` are the paths of nodes that are being worked on: they are never due."""
        self._state, self._calls, self._busy = state, calls, busy
        state.newly_waiting()  # all that wait so far are offered here
        # A heap of (Unix seconds, path, the timer's text). An entry is stale where the node has another timer by now.
        self._timers: list[tuple[float, str, str]] = []
        # Nodes whose signal or child run came while they were busy.
        self._early: set[str] = set()
        self.offer(state.waiting)

    def offer(self, paths: Iterable[str]) -> None:
        """Takes in that these nodes are no longer worked on: those that wait become due when their time comes."""
        for path in paths:
            if path in self._state.waiting:
                self._add_timer(path)
                if self._state.signals.is_due(path) or self._calls.has_ended(path):
                    self._early.add(path)

    def paths(self, now: float) -> list[str]:
        """The nodes whose timer is due, or nearly, whose signal is there, or whose child run has ended. Each is named
        once; `now` is Unix time."""
        if not self._state.waiting:
            return []
        due, self._early = self._early, set()
        due.update(self._state.signals.newly_due(), self._calls.newly_ended())
        self._take_new()
        while self._timers and self._timers[0][0] <= now + LONGEST_WAIT_SECONDS:
            _, path, text = heappop(self._timers)
            if self._is_current(path, text):
                due.add(path)
        return sorted(path for path in due if path in self._state.waiting and path not in self._busy)

    def seconds_to_next(self, now: float) -> float | None:
        """How long until a node that is not worked on is due by its timer; `None` where there is no such node."""
        self._take_new()
        while self._timers:
            due_at, path, text = self._timers[0]
            if self._is_current(path, text) and path not in self._busy:
                return max(0.0, due_at - LONGEST_WAIT_SECONDS - now)
            heappop(self._timers)
        return None

    def _take_new(self) -> None:
        for path in self._state.newly_waiting():
            if path in self._state.waiting:
                self._add_timer(path)

    def _add_timer(self, path: str) -> None:
        text = self._state.nodes[path].timer or ""
        heappush(self._timers, (unix_seconds(text), path, text))

    def _is_current(self, path: str, text: str) -> bool:
        return path in self._state.waiting and self._state.nodes[path].timer == text
