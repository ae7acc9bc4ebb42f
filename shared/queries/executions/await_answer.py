"""Wait for a run's reply."""

from __future__ import annotations

import asyncio
import json
import time

from shared.domain.execution.fold import fold
from shared.domain.response import answer_of
from shared.errors import QueueError, QueueUnavailableError, StorageUnavailableError
from shared.json_types import JsonObject
from shared.platform.deadline import within
from shared.queue.reply_channel import ReplyChannel
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository

# The store is read after each turn: a run that was resumed by another job than its first publishes no reply.
FIRST_TURN_SECONDS = 0.25
LONGEST_TURN_SECONDS = 2.0
# The timeout of reading the store, so that Redis is asked again if the store hangs.
STORE_SECONDS = 2.0


async def await_answer(
    answers: ReplyChannel,
    events: EventStoreRepository,
    executions: ExecutionRepository,
    tenant_id: str,
    execution_id: str,
    wait_seconds: float,
) -> JsonObject | None:
    """The run's reply, `{response}` or `{status, output}`; `None` when there is none within `wait_seconds`.

    The drain publishes it through Redis. If Redis is unreachable, or has no reply, the store is read.
    """
    deadline, turn, seen = time.monotonic() + wait_seconds, FIRST_TURN_SECONDS, 0
    while (left := deadline - time.monotonic()) > 0:
        reply = await _published_reply(answers, execution_id, min(turn, left))
        # Of a reply that is too large for Redis only a mark comes: it is read from the store, which has it by then.
        if reply is not None and "stored" not in reply:
            return reply
        try:
            with within(min(STORE_SECONDS, max(0.0, deadline - time.monotonic()))):
                row = await executions.get(tenant_id, execution_id)
                # The row is small; the events are read only when there are new ones.
                if row is not None and row["stream_version"] > seen:
                    state = fold(await events.read_all(tenant_id, execution_id))
                    answer = answer_of(state) if state is not None else None
                    if answer is not None:
                        return answer
                    seen = row["stream_version"]
        except StorageUnavailableError:
            pass  # the run is accepted, and its reply may still come through Redis
        turn = min(turn * 2, LONGEST_TURN_SECONDS)
    return None


async def _published_reply(answers: ReplyChannel, execution_id: str, seconds: float) -> JsonObject | None:
    try:
        text = await answers.wait(execution_id, seconds)
    except (QueueUnavailableError, QueueError):
        # The turn takes its time without Redis, too: else the store would be read without a pause.
        await asyncio.sleep(seconds)
        return None
    reply: JsonObject | None = None if text is None else json.loads(text)
    return reply
