"""Evaluates tenants' expressions in warm child processes, which are killed when they take too long or too much memory.

All tenants share one child, and evaluations take microseconds. A tenant that occupies it while others wait is moved to
a second child, with all that did so lately, and stays there for as long as it keeps that one busy: nobody waits behind
expressions that take a second each.
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

# How long a request may wait for its answer, other tenants' requests included. A child that is stuck is killed after
# two seconds; this limit is for all other reasons.
LONGEST_SECONDS = 300.0
# How long one tenant may occupy the shared child while others wait.
SHARED_SECONDS = 0.1
# How long a tenant stays apart, counted from when it was last seen to occupy a child.
APART_SECONDS = 10.0
# Replacing the shared child costs as much as hundreds of evaluations. On an overloaded machine every tenant seems to
# occupy it, and it would be replaced for each in turn; so it is replaced at most this often.
PEACE_SECONDS = 1.0


class ExpressionEvaluator:
    """Two lanes, each a child with its queue, and which tenant is in which. Belongs to one event loop."""

    def __init__(self, longest_seconds: float = LONGEST_SECONDS, max_resident_bytes: int = MAX_RESIDENT_BYTES) -> None:
        """A request is answered within `longest_seconds` or fails with `timeout`. A child that has more than
        `max_resident_bytes` resident is replaced."""
        self._longest_seconds = longest_seconds
        self._shared, self._apart = RequestQueue(self, max_resident_bytes), RequestQueue(self, max_resident_bytes)
        self._waiting: dict[int, Waiting] = {}
        # Large requests that wait for their turn to be sent once more.
        self._resending: set[asyncio.Task[None]] = set()
        # Encoding a large request blocks the loop, so it takes turns with the drain's other long computations.
        self.turns, self._numbers = ComputeTurns(), itertools.count(1)
        self._deadline: asyncio.TimerHandle | None = None
        # Until when a tenant is apart, and when the shared child was last replaced, by the loop's clock.
        self._apart_until: dict[str, float] = {}
        self._replaced_at = -PEACE_SECONDS

    async def fill(self, request: Request) -> Filled:
        """The template's parameters, with its expressions' results filled in. Raises `EvaluationError` where one fails
        or exceeds a limit, and `UnavailableError` while no child can be started."""
        loop = asyncio.get_running_loop()
        number, waiting = next(self._numbers), Waiting(request, loop.create_future(), loop.time())
        self._waiting[number] = waiting
        if self._deadline is None:
            self._deadline = loop.call_later(self._longest_seconds, self._expire)
        try:
            with waiting_outside():  # other tenants' evaluations may take a second each
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
        """Lets the children drop the data of a run that is over."""
        self.moved(run)

    def drop(self, template: EvaluatedTemplate) -> None:
        """Lets the children drop a template that is no longer used."""
        self.moved(template)

    async def start(self) -> None:
        """Returns when the shared child is running, which the first evaluation would start otherwise."""
        await self._shared.start()

    async def close(self) -> None:
        """Ends the children; pending evaluations are cancelled."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        for waiting in self._waiting.values():
            waiting.future.cancel()
        for lane in (self._shared, self._apart):
            await lane.close()

    @property
    def is_divided(self) -> bool:
        """Whether any tenant is apart, or was lately."""
        return bool(self._apart_until)

    def moved(self, cached: RunData | EvaluatedTemplate) -> None:
        """Lets the child that has this drop it."""
        for lane in (self._shared, self._apart):
            if isinstance(cached, RunData):
                lane.forget(cached)
            else:
                lane.drop(cached)

    def resend_large(self, number: int, waiting: Waiting) -> None:
        """Has a large request sent once more, in its turn."""
        task = asyncio.get_running_loop().create_task(self._add_in_turn(number, waiting))
        self._resending.add(task)
        task.add_done_callback(self._resending.discard)

    def held(self, lane: RequestQueue, tenant_id: str, seconds: float) -> None:
        """Moves a tenant apart that occupies the shared child while others wait; one that is apart stays there."""
        now = asyncio.get_running_loop().time()
        if lane is self._apart:
            self._apart_until[tenant_id] = now + APART_SECONDS
        elif seconds >= SHARED_SECONDS and now - self._replaced_at >= PEACE_SECONDS and lane.has_others(tenant_id):
            self._replaced_at = now
            self._apart_until = {other: until for other, until in self._apart_until.items() if until > now}
            self._apart_until[tenant_id] = now + APART_SECONDS
            for number, waiting in lane.take(tenant_id).items():
                if waiting.request.size_bytes >= LARGE_BYTES:
                    self.resend_large(number, waiting)
                else:
                    self._apart.add(number, waiting)

    async def _add_in_turn(self, number: int, waiting: Waiting) -> None:
        request = waiting.request
        await self.turns.take(request.tenant_id, lambda: self._add_large(number, waiting), request.size_bytes)

    def _add_large(self, number: int, waiting: Waiting) -> None:
        if waiting.future.done():
            return  # cancelled or timed out while it waited for its turn
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
        """Fails requests that have waited for too long, and sets the timer for the next one."""
        loop = asyncio.get_running_loop()
        for waiting in self._waiting.values():
            if loop.time() < waiting.since + self._longest_seconds:
                break  # a dict keeps insertion order: the rest came later
            waiting.fail("The expressions were not evaluated in time.", "timeout")
        oldest = min((waiting.since for waiting in self._waiting.values() if not waiting.future.done()), default=None)
        self._deadline = None
        if oldest is not None:
            self._deadline = loop.call_at(oldest + self._longest_seconds, self._expire)


@cache
def expression_evaluator() -> ExpressionEvaluator:
    """This process's evaluator; its child starts with the first evaluation and stays warm between invocations."""
    return ExpressionEvaluator()
