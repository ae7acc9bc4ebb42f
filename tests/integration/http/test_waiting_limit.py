"""How many requests of one tenant may wait, over the real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from shared.bootstrap import Services
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.queue.connection import connect
from shared.queue.scripts import ScriptRunner
from shared.queue.waiting_clients import GRACE_SECONDS, WaitingClients
from shared.settings import Settings
from tests.integration.http.client import Answer, Client

LONG_SECONDS = 20


@asynccontextmanager
async def all_waits_taken(wired: Services, tenant_id: str) -> AsyncIterator[None]:
    """As many clients of the tenant wait as may."""
    async with AsyncExitStack() as stack:
        for _ in range(wired.settings.tenant_max_waits):
            assert await stack.enter_async_context(wired.waiting_clients.waiting(tenant_id, LONG_SECONDS))
        yield


def request_while_full(client: Client, wired: Services, method: str, path: str, **request: object) -> Answer:
    """The answer to a request while as many of its tenant's wait as may; it must not have waited itself."""
    full = AsyncExitStack()
    run(full.enter_async_context(all_waits_taken(wired, client.tenant_id)))
    began = time.monotonic()
    try:
        answer = client.request(method, path, **request)  # type: ignore[arg-type]
    finally:
        run(full.aclose())
    assert time.monotonic() - began < LONG_SECONDS / 2
    return answer


def test_start_that_may_not_wait_is_accepted_at_once(client: Client, wired: Services, workflow: JsonObject) -> None:
    """The run is started all the same, and the answer is that to a request that does not want to wait."""
    path, headers = f"/api/workflows/{workflow['id']}/execute", {"prefer": f"wait={LONG_SECONDS}"}
    answer = request_while_full(client, wired, "POST", path, body={}, headers=headers)
    assert (answer.status, answer.json["status"]) == (202, "queued")


def test_poll_that_may_not_wait_is_refused(client: Client, wired: Services, workflow: JsonObject) -> None:
    """An empty page at once would be asked for again at once; events that are there come in any case."""
    started = client.request("POST", f"/api/workflows/{workflow['id']}/execute", {}).json["execution_id"]
    path = f"/api/executions/{started}/events"
    there = request_while_full(client, wired, "GET", path, query={"wait": LONG_SECONDS})
    after = {"wait": LONG_SECONDS, "after": len(there.json["items"])}
    refused = request_while_full(client, wired, "GET", path, query=after)
    assert (there.status, refused.status, refused.json["code"]) == (200, 429, "throttled")
    assert int(refused.headers["retry-after"]) >= 1
    assert len(there.json["items"]) > 0


def test_waits_of_one_tenant_take_none_of_anothers(wired: Services) -> None:
    """Each tenant has its own."""

    async def other() -> bool:
        async with all_waits_taken(wired, new_id()), wired.waiting_clients.waiting(new_id(), 1) as may_wait:
            return may_wait

    assert run(other())


def test_wait_that_ended_may_be_taken_again(wired: Services) -> None:
    """Also one that ended with an error."""
    tenant_id, one = new_id(), WaitingClients(wired.redis, wired.scripts, wired.redis_keys, 1)

    async def waits() -> list[bool]:
        found = []
        for _ in range(2):
            try:
                async with one.waiting(tenant_id, LONG_SECONDS) as first, one.waiting(tenant_id, 1) as second:
                    found += [first, second]
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        return found

    assert run(waits()) == [True, False, True, False]


def test_wait_of_a_killed_function_ends_by_itself(wired: Services) -> None:
    """It stops counting soon after the time at which it would have ended, though others keep the key alive."""
    tenant_id, two = new_id(), WaitingClients(wired.redis, wired.scripts, wired.redis_keys, 2)

    async def waits() -> bool:
        # Never ended, and over in a twentieth of a second.
        await two.waiting(tenant_id, 0.05 - GRACE_SECONDS).__aenter__()
        async with two.waiting(tenant_id, LONG_SECONDS):
            await asyncio.sleep(0.2)
            async with two.waiting(tenant_id, LONG_SECONDS) as may_wait:
                return may_wait

    assert run(waits())


def test_no_limit_asks_nobody_and_lost_redis_refuses_nobody(wired: Services) -> None:
    """0 is no limit, and a wait without Redis ends with what is in the store."""
    nowhere = connect(Settings("", "", redis_port=1))

    async def waits(most: int) -> bool:
        async with WaitingClients(nowhere, ScriptRunner(nowhere), wired.redis_keys, most).waiting(new_id(), 1) as may:
            return may

    assert run(waits(0))
    assert run(waits(1))
