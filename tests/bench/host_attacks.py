"""Attacks by readers, and by the servers that a tenant's workflows call."""

from __future__ import annotations

import zlib

from tests.bench.attacker import Attacker, host, node
from tests.bench.payload_attacks import TRIGGER

FEED = "/api/events"


async def feed_readers(attacker: Attacker) -> str:
    """Four connections that read large pages of the audit feed as fast as they are answered."""
    return await _feed_readers(attacker, 1_000)


async def feed_readers_at_a_pace(attacker: Attacker) -> str:
    """Four connections that read it twenty times a second together."""
    return await _feed_readers(attacker, 5)


async def _feed_readers(attacker: Attacker, per_second: float) -> str:
    large = node("large", "transform", {"value": "{% $pad('', 900000, 'x') %}"})
    runs = await attacker.execute_many(await attacker.publish(TRIGGER, large), 40)
    await attacker.ended(runs)
    attacker.begin()
    query = {"limit": "100", "type": "NodeSucceeded"}
    return await attacker.storm(lambda: attacker.api.get(FEED, params=query), 4, per_second)


async def slow_hosts(attacker: Attacker, runs: int = 200, pause_seconds: float = 20) -> str:
    """More requests than a drain has slots, each of which is answered late."""
    async with host("content-type: application/json", b"{}", pause_seconds) as url:
        call = node("call", "http_request", {"url": url}, timeout_seconds=pause_seconds + 10)
        workflow = await attacker.publish(TRIGGER, call)
        attacker.begin()
        return await attacker.ended(await attacker.execute_many(workflow, runs))


async def silent_name_server(attacker: Attacker, runs: int = 200) -> str:
    """Names whose name server does not answer."""
    url = "http://silent{% $trigger.body %}.example/"
    call = node("call", "http_request", {"url": url}, timeout_seconds=30)
    workflow = await attacker.publish(TRIGGER, call)
    attacker.begin()
    return await attacker.ended(await attacker.execute_many(workflow, runs))


async def gzip_bomb(attacker: Attacker, runs: int = 4, megabytes: int = 300) -> str:
    """An answer of less than a kilobyte that is packed twice."""
    head = "content-type: application/json\r\ncontent-encoding: gzip, gzip"
    async with host(head, _packed_twice(megabytes)) as url:
        workflow = await attacker.publish(TRIGGER, node("call", "http_request", {"url": url}, timeout_seconds=8))
        attacker.begin()
        return await attacker.ended(await attacker.execute_many(workflow, runs))


async def slow_charset(attacker: Attacker, runs: int = 4) -> str:
    """A megabyte of text in a charset whose decoding takes a time that grows with its square."""
    head = "content-type: text/plain; charset=punycode"
    async with host(head, b"a-" + b"b9" * 500_000) as url:
        workflow = await attacker.publish(TRIGGER, node("call", "http_request", {"url": url}, timeout_seconds=8))
        attacker.begin()
        return await attacker.ended(await attacker.execute_many(workflow, runs))


def _packed_twice(megabytes: int) -> bytes:
    inner, outer = zlib.compressobj(wbits=31), zlib.compressobj(wbits=31)
    zeros = bytes(2**20)
    once = b"".join([*(inner.compress(zeros) for _ in range(megabytes)), inner.flush()])
    return outer.compress(once) + outer.flush()
