"""A drain's places: a run that waits for a server needs none, and no tenant has them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.platform import slots as module
from shared.platform.slots import ASIDE_OF_A_TENANT, MAX_ASIDE, PATIENCE_SECONDS, Slots, waiting_outside

SLOW = PATIENCE_SECONDS * 1.5


@asynccontextmanager
async def runs(
    places: Slots, tenant_id: str, count: int, are_outside: bool = True, most: int = ASIDE_OF_A_TENANT
) -> AsyncIterator[None]:
    """So many runs of the tenant's at work: they wait for a server until the block ends, or do something themselves."""
    ended = asyncio.Event()

    async def run() -> None:
        places.take()
        with places.run_of(tenant_id):
            if are_outside:
                with waiting_outside(most):
                    await ended.wait()
            await ended.wait()
        places.give_back()

    tasks = [asyncio.create_task(run()) for _ in range(count)]
    await asyncio.sleep(0)
    yield
    ended.set()
    await asyncio.gather(*tasks)


async def test_run_that_waits_for_a_server_gives_its_place_to_another() -> None:
    """After a moment; it has it again when it goes on, and who waits for a place hears of it."""
    places = Slots(4)
    async with runs(places, "slow", 3), runs(places, "busy", 1, are_outside=False):
        assert places.free == 0
        places.freed.clear()
        await asyncio.wait_for(places.freed.wait(), 10)
        await asyncio.sleep(SLOW)
        assert (places.at_work, places.free) == (1, 3)
    assert places.at_work == 0


async def test_short_wait_changes_nothing() -> None:
    """Nor do two of them that overlap as long as both are short."""
    places = Slots(4)
    places.take()
    with places.run_of("quick"):
        with waiting_outside():
            await asyncio.sleep(0)
        await asyncio.sleep(SLOW)
    assert places.at_work == 1


async def test_tenant_has_no_more_aside_than_its_share() -> None:
    """The rest of its runs keep their places until others come back."""
    places = Slots(256)
    async with runs(places, "greedy", ASIDE_OF_A_TENANT + 20):
        await asyncio.sleep(SLOW)
        assert places.at_work == 20
        async with runs(places, "modest", 1):
            await asyncio.sleep(SLOW)
            assert places.at_work == 20
    assert places.at_work == 0


async def test_tenant_that_has_its_share_aside_is_put_off_where_others_have_work() -> None:
    """Its jobs come back one after the other, so that a long backlog does not come back at once; the others' run."""
    places = Slots(8)
    async with runs(places, "greedy", ASIDE_OF_A_TENANT + 5):
        await asyncio.sleep(SLOW)
        assert places.pause_of("modest") == 0
        pauses = [places.pause_of("greedy") for _ in range(200)]
        assert places.pause_of("modest") == 0
    assert pauses[0] == pytest.approx(module.PUT_OFF_SECONDS, abs=0.5)
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0] + 1
    assert places.pause_of("greedy") == 0


async def test_large_jobs_that_are_put_off_come_back_further_apart() -> None:
    """Each time they come, all that is in them is read."""
    places = Slots(8)
    async with runs(places, "greedy", ASIDE_OF_A_TENANT + 5):
        await asyncio.sleep(SLOW)
        assert places.pause_of("modest") == 0
        pauses = [places.pause_of("greedy", int(module.BACK_BYTES_PER_SECOND)) for _ in range(10)]
    assert pauses[-1] - pauses[0] == pytest.approx(9.0, abs=0.5)


async def test_tenant_whose_large_runs_wait_in_their_places_is_put_off_where_others_have_work() -> None:
    """Few of these may be aside: the others, and no more than half of the places, keep them, also while none waits any
    more."""
    places = Slots(8)
    async with runs(places, "greedy", 7, most=2):
        await asyncio.sleep(SLOW)
        assert (places.at_work, places.pause_of("modest"), places.pause_of("greedy") > 0) == (5, 0, True)
        async with runs(places, "other", 3, most=2):
            await asyncio.sleep(SLOW)
            assert (places.at_work, places.pause_of("other") > 0) == (6, True)
    assert (places.at_work, places.pause_of("greedy")) == (0, 0)


async def test_tenant_alone_is_never_put_off() -> None:
    """Nobody else needs the places, and a further drain may come for its runs."""
    places = Slots(8)
    async with runs(places, "alone", ASIDE_OF_A_TENANT + 8):
        await asyncio.sleep(SLOW)
        assert {places.pause_of("alone") for _ in range(20)} == {0}


async def test_tenant_that_has_nothing_aside_is_not_put_off_for_what_others_have() -> None:
    """However many of those there are."""
    places = Slots(8)
    tenants = [f"t{number}" for number in range(MAX_ASIDE)]
    async with runs(places, "a", 64), runs(places, "b", 64), runs(places, "c", 64), runs(places, "d", 64):
        await asyncio.sleep(SLOW)
        assert {places.pause_of(tenant) for tenant in tenants} == {0}
    assert places.at_work == 0


async def test_run_that_is_given_up_leaves_nothing_behind() -> None:
    """Cancelled while it waits, before and after it was set aside."""
    places = Slots(4)

    async def run() -> None:
        places.take()
        try:
            with places.run_of("slow"), waiting_outside():
                await asyncio.sleep(60)
        finally:
            places.give_back()

    for seconds in (0.0, SLOW):
        task = asyncio.create_task(run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (places.at_work, places.free) == (0, 4)
    await asyncio.sleep(SLOW)
    assert places.at_work == 0
