"""The guard of tenants' expressions: warm child processes that evaluate them and are killed when they must be.

All tenants share one child, and evaluations take microseconds. A tenant who holds it while others wait goes to a second
one, with all who did so lately, and stays there for as long as it keeps that one busy: nobody waits behind expressions
that take a second each.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import cache

from shared.engine.expressions.evaluator_process import MAX_RESIDENT_BYTES
from shared.engine.expressions.request_queue import RequestQueue
from shared.engine.expressions.requests import EvaluatedTemplate, Filled, Request, RunData, Waiting
from shared.platform.slots import waiting_outside
from shared.platform.turns import LARGE_BYTES, ComputeTurns

# How long a request may wait for its answer, others' turns included. What holds a child is ended after two seconds;
# this is for whatever else there may be.
LONGEST_SECONDS = 300.0
# So long one tenant may hold the child that all share while others wait.
SHARED_SECONDS = 0.1
# How long a tenant stays apart, counted from when it was last seen to hold a child.
APART_SECONDS = 10.0
# To replace the shared child costs what hundreds of evaluations do: on a machine without time for anybody, it would be
# replaced for each tenant in turn.
PEACE_SECONDS = 1.0


class ExpressionEvaluator:
    """Two lanes and who is in which. Belongs to one event loop."""

    def __init__(self, longest_seconds: float = LONGEST_SECONDS, max_resident_bytes: int = MAX_RESIDENT_BYTES) -> None:
        """A request is answered within `longest_seconds`, others' turns included, or fails with `timeout`. A child that
        holds more than `max_resident_bytes` is replaced."""
        self._longest_seconds = longest_seconds
        self._shared, self._apart = RequestQueue(self, max_resident_bytes), RequestQueue(self, max_resident_bytes)
        self._waiting: dict[int, Waiting] = {}
        # Large requests that are to be sent once more.
        self._turning: set[asyncio.Task[None]] = set()
        # Those of the drain, as far as it has any: a run's other long computations take theirs among these.
        self.turns, self._numbers = ComputeTurns(), itertools.count(1)
        self._deadline: asyncio.TimerHandle | None = None
        # Until when a tenant is apart, and when the shared child was last replaced, by the loop's clock.
        self._apart_until: dict[str, float] = {}
        self._replaced_at = -PEACE_SECONDS

    async def fill(self, request: Request) -> Filled:
        """The template's parameters; an expression that fails or exceeds a limit raises `EvaluationError`. While no
        child can be started, `UnavailableError`."""
        loop = asyncio.get_running_loop()
        number, waiting = next(self._numbers), Waiting(request, loop.create_future(), loop.time())
        self._waiting[number] = waiting
        if self._deadline is None:
            self._deadline = loop.call_later(self._longest_seconds, self._expire)
        try:
            with waiting_outside():  # others' evaluations may take a second each
                if request.size_bytes < LARGE_BYTES:
                    self._lane(request.tenant_id, waiting.since).add(number, waiting)
                else:
                    await self._add_in_turn(number, waiting)
                return await waiting.future
        finally:
            del self._waiting[number]
            for lane in (self._shared, self._apart):
                lane.remove(number)

    def forget(self, run: RunData) -> None:
        """The run is over: its data may be dropped."""
        self.moved(run)

    def drop(self, template: EvaluatedTemplate) -> None:
        """The template is no longer used: it may be dropped."""
        self.moved(template)

    async def start(self) -> None:
        """Returns when the child that all share is running; the first evaluation would start it otherwise."""
        await self._shared.start()

    async def close(self) -> None:
        """Ends the children; evaluations that still wait are cancelled."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        for waiting in self._waiting.values():
            waiting.future.cancel()
        for lane in (self._shared, self._apart):
            await lane.close()

    @property
    def is_divided(self) -> bool:
        """Whether any tenant is or was apart of late."""
        return bool(self._apart_until)

    def moved(self, what: RunData | EvaluatedTemplate) -> None:
        """Lets the child that has it drop it."""
        for lane in (self._shared, self._apart):
            if isinstance(what, RunData):
                lane.forget(what)
            else:
                lane.drop(what)

    def again(self, number: int, waiting: Waiting) -> None:
        """Has a large request added once more, in its turn."""
        task = asyncio.get_running_loop().create_task(self._add_in_turn(number, waiting))
        self._turning.add(task)
        task.add_done_callback(self._turning.discard)

    def held(self, lane: RequestQueue, tenant_id: str, seconds: float) -> None:
        """Takes a tenant apart that holds the shared child while others wait; one that is apart stays there."""
        now = asyncio.get_running_loop().time()
        if lane is self._apart:
            self._apart_until[tenant_id] = now + APART_SECONDS
        elif seconds >= SHARED_SECONDS and now - self._replaced_at >= PEACE_SECONDS and lane.has_others(tenant_id):
            self._replaced_at = now
            self._apart_until = {other: until for other, until in self._apart_until.items() if until > now}
            self._apart_until[tenant_id] = now + APART_SECONDS
            for number, waiting in lane.take(tenant_id).items():
                if waiting.request.size_bytes >= LARGE_BYTES:
                    self.again(number, waiting)
                else:
                    self._apart.add(number, waiting)

    async def _add_in_turn(self, number: int, waiting: Waiting) -> None:
        request = waiting.request
        await self.turns.take(request.tenant_id, lambda: self._add_large(number, waiting), request.size_bytes)

    def _add_large(self, number: int, waiting: Waiting) -> None:
        if waiting.future.done():
            return  # meanwhile nobody waits for it any more
        now = asyncio.get_running_loop().time()
        self._lane(waiting.request.tenant_id, now).add(number, waiting, at_once=True)

    def _lane(self, tenant_id: str, now: float) -> RequestQueue:
        until = self._apart_until.get(tenant_id)
        if until is None:
            return self._shared
        if until > now:
            return self._apart
        del self._apart_until[tenant_id]
        return self._shared

    def _expire(self) -> None:
        """Ends what has waited for too long, and looks again when the next one may have."""
        loop = asyncio.get_running_loop()
        for waiting in self._waiting.values():
            if loop.time() < waiting.since + self._longest_seconds:
                break  # those behind it came later
            waiting.fail("The expressions were not evaluated in time.", "timeout")
        oldest = min((waiting.since for waiting in self._waiting.values() if not waiting.future.done()), default=None)
        self._deadline = None
        if oldest is not None:
            self._deadline = loop.call_at(oldest + self._longest_seconds, self._expire)


@cache
def expression_evaluator() -> ExpressionEvaluator:
    """This process's guard; its child starts with the first evaluation and stays warm between invocations."""
    return ExpressionEvaluator()
