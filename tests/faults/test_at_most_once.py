"""kill -9 around an effect that is sent at most once."""

from __future__ import annotations

import signal

import pytest

from tests.faults.harness import FaultHarness
from tests.integration.engine.harness import HOOK, request


@pytest.mark.slow
@pytest.mark.parametrize(("point", "sent"), [("after_start_of_effect", 0), ("before_end_of_effect", 1)])
async def test_effect_whose_drain_was_killed_is_not_sent_again(faults: FaultHarness, point: str, sent: int) -> None:
    """Whether it had been sent or not: the start is recorded, the end is not, and the run says so."""
    node = request("first", faults.sink.url, delivery="at_most_once")
    job = faults.harness.delivery(await faults.harness.publish([HOOK, node], "hook>first"))
    await faults.harness.services.producer.enqueue([job])
    assert await faults.die_at(point) == -signal.SIGKILL
    (state,) = await faults.recover([job])
    assert (state.status, (state.error or {})["code"], len(faults.sink.received)) == ("failed", "interrupted", sent)
    assert (await faults.harness.verify(job))["first_difference"] is None
