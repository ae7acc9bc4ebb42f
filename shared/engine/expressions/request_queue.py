"""One child process that evaluates expressions, and the requests that are sent to it.

Requests of one turn of the event loop leave in one write. The data that a run's expressions read is sent once per run
and kept by the child, cut down to the fields that are read. A child is killed when one evaluation takes too long; that
one fails, the others are sent again to the next child, the large ones each in its turn.

An error of one request, which cannot be encoded, or whose answer cannot be decoded, fails that request alone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Sequence
from typing import Protocol

from shared.domain.json.values import decoded
from shared.engine.expressions.evaluator_main import HEADER
from shared.engine.expressions.evaluator_process import MAX_RESIDENT_BYTES, EvaluationError, EvaluatorProcess
from shared.engine.expressions.requests import EvaluatedTemplate, Filled, Level, Request, RunData, Waiting
from shared.errors import UnavailableError
from shared.json_types import JsonObject
from shared.platform.turns import LARGE_BYTES

logger = logging.getLogger(__name__)

# An evaluation that was running when the child died is tried once more: it may not be the cause.
MAX_DEATHS = 2
# After so many children in a row that died before they began anything, waiting requests fail: something is wrong with
# the machine, not with a tenant.
MAX_FRUITLESS_STARTS = 5

# Each child has a number, its generation, unique among both lanes. `RunData` and templates remember the generation that
# has them: any other child lacks them.
_generations = itertools.count(1)


class Owner(Protocol):
    """What a queue reports to."""

    def moved(self, cached: RunData | EvaluatedTemplate) -> None:
        """Learns that this is about to be sent to another child than the one that has it."""

    def resend_large(self, number: int, waiting: Waiting) -> None:
        """Has a large request sent once more, in its turn."""

    def held(self, lane: RequestQueue, tenant_id: str, seconds: float) -> None:
        """Learns that the lane's child was seen at nothing but this tenant's evaluations for so many seconds."""


class RequestQueue:
    """One child process and the evaluations that wait for it. Belongs to one event loop."""

    def __init__(self, owner: Owner, max_resident_bytes: int = MAX_RESIDENT_BYTES) -> None:
        """Its child starts with the first evaluation, and may have so much resident memory."""
        self._owner, self._max_resident_bytes = owner, max_resident_bytes
        self._waiting: dict[int, Waiting] = {}
        self._unsent: list[int] = []
        self._generation = 0
        self._child: EvaluatorProcess | None = None
        self._starting: asyncio.Task[None] | None = None
        # Numbers of runs and templates that the next frame lets the child drop.
        self._forget: list[int] = []
        self._drop: list[int] = []
        # How many children in a row died before they began anything.
        self._fruitless = 0
        # The tenant at whose evaluations the child was seen, and since when without a break.
        self._holder, self._held_since = "", 0.0

    def add(self, number: int, waiting: Waiting, *, at_once: bool = False) -> None:
        """Sends a request, whose number is unique, with the others of this turn of the loop. `at_once`: it is sent
        alone and before this returns, if there is a child."""
        self._waiting[number] = waiting
        if at_once and self._child is not None:
            self._write(self._child, [number])
        else:
            self._send_soon(number)

    def remove(self, number: int) -> None:
        """Forgets a request that nobody waits for any more."""
        self._waiting.pop(number, None)

    def has_others(self, tenant_id: str) -> bool:
        """Whether any other tenant waits."""
        return any(waiting.request.tenant_id != tenant_id for waiting in self._waiting.values())

    def take(self, tenant_id: str) -> dict[int, Waiting]:
        """This tenant's requests, removed from this queue. The child, which may be at one of them, is replaced, and the
        others' requests are sent to its successor."""
        taken = {number: waiting for number, waiting in self._waiting.items() if waiting.request.tenant_id == tenant_id}
        for number in taken:
            del self._waiting[number]
        child, self._child = self._child, None
        if child is not None:
            child.kill()
        self._restart()
        return taken

    def forget(self, run: RunData) -> None:
        """Lets the child drop the run's data, if it has it."""
        if run.generation == self._generation:
            self._forget.append(run.number)

    def drop(self, template: EvaluatedTemplate) -> None:
        """Lets the child drop the template, if it has it."""
        if template.generation == self._generation:
            self._drop.append(template.number)

    async def start(self) -> None:
        """Returns when a child is running."""
        if self._child is None:
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())
            # It is started for all requests that wait: one of them may be cancelled.
            await asyncio.shield(self._starting)

    async def close(self) -> None:
        """Ends the child; pending evaluations are cancelled."""
        child, self._child = self._child, None
        for waiting in list(self._waiting.values()):
            waiting.future.cancel()
        if child is not None:
            child.end()

    def _send_soon(self, number: int) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(number)

    def _send(self) -> None:
        if self._child is None:
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())
            return
        # Emptied first: an error among these must not keep the next ones from being sent.
        numbers, self._unsent = self._unsent, []
        self._write(self._child, numbers)

    def _write(self, child: EvaluatorProcess, numbers: Sequence[int]) -> None:
        frames = []
        for number in numbers:
            encoded = self._encoded(number)
            if encoded is not None:
                frames += [HEADER.pack(len(encoded), number), encoded]
        if frames:
            child.transport.write(b"".join(frames))
            child.watch()

    def _encoded(self, number: int) -> bytes | None:
        """The request's encoded frame; `None` when nobody waits for it any more, or when it cannot be encoded and has
        failed."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return None
        try:
            text = json.dumps(self._frame(waiting.request), ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            waiting.fail("What the expressions read is nested too deeply.")
        except Exception:
            logger.exception("expressions_not_sent")
            waiting.fail("What the expressions read could not be handed to them.")
        else:
            self._forget, self._drop = [], []
            return text.encode(errors="replace")
        # Its data was noted as sent while the frame was made, and is not.
        waiting.request.lost()
        return None

    def _frame(self, request: Request) -> JsonObject:
        frame: JsonObject = {
            "t": request.template.number,
            "input": request.sources,
            "now": request.now_milliseconds,
            "seed": request.seed,
            **self._level(request.level),
        }
        if request.outer:
            frame["outer"] = [self._level(level) for level in request.outer]
        if request.template.generation != self._generation:
            self._owner.moved(request.template)
            request.template.generation = self._generation
            frame["template"] = request.template.parameters
        if self._forget:
            frame["forget"] = self._forget
        if self._drop:
            frame["drop"] = self._drop
        return frame

    def _level(self, level: Level) -> JsonObject:
        if level.data.generation != self._generation:
            self._owner.moved(level.data)
        names, nodes = level.data.missing(self._generation, level.names, level.nodes)
        fields: JsonObject = {"r": level.data.number}
        if level.seen:
            fields["see"] = level.seen
        if names:
            fields["set"] = {name: level.scope(name) for name in names}
        if nodes:
            fields["nodes"] = {node_id: level.output(node_id) for node_id in nodes}
        return fields

    async def _start(self) -> None:
        try:
            self._generation = next(_generations)
            self._forget.clear()
            self._drop.clear()
            self._child = await EvaluatorProcess.start(self, self._max_resident_bytes)
        except Exception as error:  # any error fails all that wait; the next request tries again
            logger.exception("expressions_not_started")
            self._give_up(f"No process for expressions can be started: {error}")
            return
        finally:
            self._starting = None
        for number, waiting in list(self._waiting.items()):
            if waiting.request.size_bytes >= LARGE_BYTES:
                self._owner.resend_large(number, self._waiting.pop(number))
        self._unsent = list(self._waiting)
        self._send()

    def _give_up(self, reason: str) -> None:
        """Fails all requests that wait with `UnavailableError`; they are not the cause, and may be tried again."""
        self._unsent = []
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(UnavailableError(reason))

    def on_answer(self, number: int, answer: bytes) -> None:
        """Takes in one of the child's answers; one that cannot be decoded is an error of its request."""
        self._fruitless = 0
        waiting = self._waiting.get(number)
        if waiting is None or waiting.future.done():
            return
        try:
            self._resolve(number, waiting, decoded(answer.decode(), json.loads))
        except Exception:
            logger.exception("expressions_answer_not_read")
            waiting.fail("What the expressions yield could not be read.")

    def _resolve(self, number: int, waiting: Waiting, answer: JsonObject) -> None:
        if "lost" in answer:
            self._resend(number, waiting, answer["lost"])
        elif (error := answer.get("error")) is not None:
            waiting.future.set_exception(EvaluationError(error["pointer"], error["message"], error["code"]))
        else:
            waiting.future.set_result(Filled(answer["parameters"], answer["undefined"]))

    def _resend(self, number: int, waiting: Waiting, reason: str) -> None:
        """Sends a request once more, with all the data that it reads: the child could not take it in, or lacked
        something."""
        waiting.request.lost()
        waiting.deaths += 1
        if waiting.deaths >= MAX_DEATHS:
            logger.error("expressions_not_taken_in", extra={"reason": reason})
            waiting.fail("What the expressions read could not be handed to them.")
        elif waiting.request.size_bytes >= LARGE_BYTES:
            self._owner.resend_large(number, self._waiting.pop(number))
        else:
            self._send_soon(number)

    def is_waiting(self) -> bool:
        """Whether any evaluation is with the child."""
        return bool(self._waiting)

    def on_death(self, child: EvaluatorProcess, running: int, verdict: EvaluationError | None) -> None:
        """The child is gone: the evaluation that was running fails, or is tried once more; the others go to the next
        child."""
        if child is not self._child:
            return  # it was replaced or closed on purpose
        self._child = None
        waiting = self._waiting.get(running)
        if waiting is None:
            self._fruitless += 1
        elif not waiting.future.done():
            waiting.deaths += 1
            if verdict is None and waiting.deaths >= MAX_DEATHS:
                verdict = EvaluationError("", "The evaluation ended the process that it ran in.", "limit")
            if verdict is not None:
                waiting.future.set_exception(verdict)
        if self._fruitless >= MAX_FRUITLESS_STARTS:
            self._fruitless = 0
            logger.error("expressions_not_begun")
            self._give_up("The process that evaluates expressions does not start.")
        else:
            self._restart()

    def on_progress(self, number: int, now: float) -> None:
        """Takes in which evaluation was running at `now`, by the loop's clock; 0 for none."""
        waiting = self._waiting.get(number)
        tenant_id = "" if waiting is None else waiting.request.tenant_id
        if tenant_id != self._holder:
            self._holder, self._held_since = tenant_id, now
        if tenant_id:
            self._owner.held(self, tenant_id, now - self._held_since)

    def _restart(self) -> None:
        if any(not waiting.future.done() for waiting in self._waiting.values()):
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())
