"""What a process remembers of webhooks, and when it goes around Redis."""

from __future__ import annotations

import time

from shared.errors import QueueError, QueueUnavailableError
from shared.ids import new_id
from shared.queue.connection import CircuitBreaker
from shared.webhooks.intake import webhook_cache as hook_memory
from shared.webhooks.intake.webhook_cache import CachedWebhook, ProcessCache


def a_hook(webhook_id: str) -> CachedWebhook:
    """A webhook of which nothing but its id matters."""
    return CachedWebhook(
        id=webhook_id,
        tenant_id=new_id(),
        workflow_id=new_id(),
        node_id=None,
        provider_id="github",
        provider=None,
        config={},
        is_active=True,
        is_holding=False,
        awaits_secret=False,
        is_published=True,
        secrets=(),
    )


def test_the_webhook_that_was_used_longest_ago_makes_room() -> None:
    """One that is in use stays, however many others come."""
    memory = ProcessCache()
    busy = a_hook("busy")
    memory.keep("busy", busy, 60)
    for number in range(hook_memory.MAX_WEBHOOKS + 10):
        memory.keep(str(number), a_hook(str(number)), 60)
        if number % 100 == 0:
            assert memory.find("busy") is not None
    found = memory.find("busy")
    assert found is not None
    assert (found.webhook, found.until > time.monotonic()) == (busy, True)
    assert memory.find("0") is None
    assert memory.find(str(hook_memory.MAX_WEBHOOKS + 9)) is not None


def test_a_flood_of_unknown_ids_pushes_no_webhook_out() -> None:
    """They have a place of their own, and are forgotten among themselves."""
    memory = ProcessCache()
    memory.keep("known", a_hook("known"), 60)
    for _ in range(3 * hook_memory.MAX_WEBHOOKS):
        memory.keep(new_id(), None, 60)
    assert memory.find("known") is not None
    assert len(memory._unknown) == hook_memory.MAX_UNKNOWN


def test_an_unknown_id_that_is_made_is_known() -> None:
    """And the other way round; what is forgotten is neither."""
    memory = ProcessCache()
    memory.keep("one", None, 60)
    memory.keep("one", a_hook("one"), 60)
    assert (memory.find("one") or (0, None))[1] is not None
    memory.keep("one", None, 0)
    found = memory.find("one")
    assert found is not None
    assert (found.webhook, found.until > time.monotonic()) == (None, False)
    memory.forget("one")
    assert memory.find("one") is None


def test_a_redis_that_hangs_is_gone_around_longer_each_time() -> None:
    """One that refuses is asked again soon: that costs nothing. An answer ends the detour at once."""
    way = CircuitBreaker(lambda: 100.0)
    lengths = []
    for cause in (*[TimeoutError()] * 8, ConnectionError()):
        error = QueueUnavailableError()
        error.__cause__ = cause
        way.open(error)
        lengths.append(way._until - 100.0)
    assert lengths == [2.0, 4.0, 8.0, 16.0, 16.0, 16.0, 16.0, 16.0, 2.0]
    assert way.is_open
    way.close()
    assert not way.is_open
    way.open(QueueError())
    assert not way.is_open
