"""kill -9 around an effect that is sent at most once."""

from __future__ import annotations

import signal

import pytest

from tests.faults.site import Site
from tests.integration.engine.harness import HOOK, request


@pytest.mark.slow
@pytest.mark.parametrize(("point", "sent"), [("after_start_of_effect", 0), ("before_end_of_effect", 1)])
async def test_effect_whose_drain_was_killed_is_not_sent_again(site: Site, point: str, sent: int) -> None:
    """Whether it had been sent or not: the start is recorded, the end is not, and the run says so."""
    node = request("first", site.sink.url, delivery="at_most_once")
    job = site.harness.delivery(await site.harness.publish([HOOK, node], "hook>first"))
    await site.harness.services.producer.enqueue([job])
    assert await site.die_at(point) == -signal.SIGKILL
    (state,) = await site.recover([job])
    assert (state.status, (state.error or {})["code"], len(site.sink.received)) == ("failed", "interrupted", sent)
    assert (await site.harness.verify(job))["first_difference"] is None
