"""Places that tenants share: nobody takes them all, and everybody gets one in the end."""

from __future__ import annotations

import asyncio
import threading

from hypothesis import given
from hypothesis import strategies as st

from shared.platform.bulkhead import Bulkhead, BulkheadThreads


async def settle() -> None:
    """Lets everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Guests:
    """Tasks that hold places until they are told to leave."""

    def __init__(self, places: Bulkhead) -> None:
        self.places, self.held = places, dict[str, int]()
        self.leave = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *tenants: str) -> dict[str, int]:
        """How many places each tenant holds once these have come."""
        self.tasks += [asyncio.create_task(self._stay(tenant)) for tenant in tenants]
        await settle()
        return {tenant: count for tenant, count in self.held.items() if count}

    async def _stay(self, tenant: str) -> None:
        async with self.places.place(tenant):
            self.held[tenant] = self.held.get(tenant, 0) + 1
            try:
                await self.leave.acquire()
            finally:
                self.held[tenant] -= 1

    async def end(self) -> None:
        """All leave, those who still wait as well."""
        for _ in self.tasks:
            self.leave.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_tenant_holds_no_more_than_its_share() -> None:
    """The others' places stay free, however many wait for one more of its own."""
    guests = Guests(Bulkhead(8, share=3))
    assert await guests.come(*["greedy"] * 20) == {"greedy": 3}
    assert await guests.come("modest") == {"greedy": 3, "modest": 1}
    await guests.end()


async def test_few_tenants_do_not_take_all_places_together() -> None:
    """Each may hold what is free besides: the more are taken, the fewer one may have."""
    guests = Guests(Bulkhead(16, share=8))
    held = await guests.come(*["a"] * 20, *["b"] * 20, *["c"] * 20)
    assert sum(held.values()) < 16
    assert (await guests.come("modest"))["modest"] == 1
    await guests.end()


async def test_free_place_goes_to_whoever_holds_the_fewest() -> None:
    """Not to who came first."""
    places = Bulkhead(3, share=2)
    guests, late = Guests(places), Guests(places)
    assert await guests.come("a", "a", "b", "a", "a") == {"a": 2, "b": 1}
    await late.come("c")
    guests.leave.release()
    await settle()
    assert late.held == {"c": 1}
    await asyncio.gather(guests.end(), late.end())


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "leave", "cancel"]), st.integers(0, 20)), max_size=40
    )
)
def test_no_place_is_lost_whatever_happens(steps: list[tuple[str, str, int]]) -> None:
    """Callers come, leave and are cancelled while they wait or hold; afterwards each place can be had."""

    async def story() -> None:
        places = Bulkhead(3, share=2)
        guests = Guests(places)
        for tenant, what, number in steps:
            if what == "come":
                guests.tasks.append(asyncio.create_task(guests._stay(tenant)))
            elif what == "leave":
                guests.leave.release()
            elif guests.tasks:
                guests.tasks[number % len(guests.tasks)].cancel()
            if number % 2:
                await settle()
            assert sum(guests.held.values()) <= 3
            assert max(guests.held.values(), default=0) <= 2
        await guests.end()
        again = Guests(places)
        assert sum((await again.come("x", "y", "z")).values()) == 3
        await again.end()

    asyncio.run(story())


async def test_thread_that_is_given_up_keeps_its_place_until_it_is_done() -> None:
    """What blocks cannot be stopped: its tenant has that much less, and no other tenant has."""
    threads, done = BulkheadThreads(4, share=1, name="test"), threading.Event()
    abandoned = asyncio.create_task(threads.run("a", done.wait))
    await settle()
    abandoned.cancel()
    waiting = asyncio.create_task(threads.run("a", lambda: "a"))
    assert await threads.run("b", lambda: "b") == "b"
    await settle()
    assert not waiting.done()
    done.set()
    assert await waiting == "a"


async def test_tenants_that_hold_as_many_take_turns() -> None:
    """Of one place, however many one of them has waiting."""
    bulkhead, order = Bulkhead(1, 1), list[str]()

    async def take(tenant_id: str) -> None:
        async with bulkhead.place(tenant_id):
            order.append(tenant_id)
            await asyncio.sleep(0)

    await asyncio.gather(*(take("many") for _ in range(5)), *(take("few") for _ in range(2)))
    assert order == ["many", "many", "few", "many", "few", "many", "many"]
