"""Where a node's wait becomes a timer: a short one is waited out in the drain, a longer one survives it as an event."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.recorder import Recorder
from shared.events.node import NodeWaiting
from shared.nodes.node_kinds import Wait

# Waits up to this long happen in the drain, longer ones are timers that survive it.
LONGEST_WAIT_SECONDS = 2.0


async def wait_or_set_timer(wait: Wait, waiting: NodeWaiting, recorder: Recorder, inputs: NodeInputResolver) -> bool:
    """Whether the wait is over; where it is not, its timer is set, and the node is due when that or a signal comes.

    `waiting`, the event that sets the timer, is recorded once, and only where the drain may not see the wait's end. The
    run's row then has the earliest timer as its `wake_at`.
    """
    path = waiting.node_id
    # Counted from the recorded moment: after a restart, the time in between has passed as well.
    left, record = wait.until - recorder.clock(), recorder.state.nodes.get(path)
    has_begun = record is not None and record.wake_at is not None
    if not has_begun and (wait.signal is not None or left > LONGEST_WAIT_SECONDS):
        recorder.record(replace(waiting, passed_over=inputs.passed_over(path, wait, waiting.parameters)))
    if inputs.signal(path) is None:
        if left > LONGEST_WAIT_SECONDS:
            return False
        await asyncio.sleep(max(0.0, left))
    return True
