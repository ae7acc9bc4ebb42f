"""A delivery whose job another client of the queue has taken away: the provider's next attempt makes the run."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from bullmq import Queue, Worker
from redis.asyncio import Redis

from functions.drain.work import drain
from shared.bootstrap import Services
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.ids import derived_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.faults.hanging_servers import frozen
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Answer, Sender, ledger


def of_bullmq(services: Services) -> tuple[str, JsonObject]:
    """What its clients need to reach the queue."""
    settings = services.settings
    connection = {"host": settings.redis_host, "port": settings.redis_port}
    return settings.queue_name, {"connection": connection, "prefix": settings.queue_prefix}


def taken_away(services: Services, jobs: int, *, kept: bool = False, failing: bool = False) -> None:
    """Another program's worker does what it likes with so many jobs; with `kept` they stay, as finished ones."""

    async def work() -> None:
        name, options = of_bullmq(services)
        done, seen = asyncio.Event(), list[str]()

        async def process(job: Any, _token: str) -> str:
            if kept:
                job.opts["removeOnComplete"] = job.opts["removeOnFail"] = False
            seen.append(job.id)
            if len(seen) == jobs:
                done.set()
            if failing:
                raise ValueError("none of ours")
            return "done"

        worker = Worker(name, process, {**options, "drainDelay": 0.1})
        try:
            await asyncio.wait_for(done.wait(), 30)
        finally:
            await worker.close()  # waits for what it is doing
        counts = await services.consumer.counts()
        assert counts["wait"] + counts["active"] == 0
        assert [await services.producer.peek(job_id) is not None for job_id in seen] == [kept] * jobs

    run(work())


def runs_of(sender: Sender) -> list[tuple[str, str]]:
    """Id and status of each of its webhook's runs."""
    rows = run(sender.services.executions.list(sender.actor.tenant_id, 100))
    return sorted((row["id"], row["status"]) for row in rows)


def drained(sender: Sender) -> None:
    """Whatever is in the queue has been run."""
    run(drain(lambda: 20.0))


@pytest.mark.parametrize("kept", [False, True], ids=["removed", "kept as finished"])
@pytest.mark.parametrize("failing", [False, True], ids=["completed", "failed"])
def test_a_job_that_another_worker_took_is_taken_again(sender: Sender, kept: bool, failing: bool) -> None:
    """The retry is answered like the first time, with the same ids, and its run comes; the next one is a duplicate."""
    first = [sender.send(x_github_delivery=str(number)) for number in range(3)]
    taken_away(sender.services, 3, kept=kept, failing=failing)
    assert runs_of(sender) == []
    again = [sender.send(x_github_delivery=str(number)) for number in range(3)]
    assert [(answer.status, answer.json) for answer in again] == [(202, answer.json) for answer in first]
    assert sender.send(x_github_delivery="0").json["duplicate"]
    drained(sender)
    assert runs_of(sender) == sorted((answer.json["execution_id"], "succeeded") for answer in first)
    assert [sender.send(x_github_delivery=str(number)).status for number in range(3)] == [200] * 3
    assert sorted(line["verdict"] for line in ledger(sender)) == ["accepted"] * 3 + ["duplicate"] * 4


def test_an_obliterated_queue_is_filled_again(sender: Sender) -> None:
    """Claims stand, jobs are gone: each retry is taken, not called a duplicate."""
    first = sender.send(x_github_delivery="one")

    async def obliterate() -> None:
        name, options = of_bullmq(sender.services)
        queue = Queue(name, options)
        await queue.obliterate(force=True)
        await queue.close()

    run(obliterate())
    assert sender.send(x_github_delivery="one").json == first.json
    drained(sender)
    assert runs_of(sender) == [(first.json["execution_id"], "succeeded")]


def test_retries_at_once_make_one_run(sender: Sender) -> None:
    """Whoever comes first puts the job back; together they lead to one run."""
    sender.send(x_github_delivery="one")
    taken_away(sender.services, 1)
    from functions.intake import app

    async def together() -> list[JsonObject]:
        event = sender.event(b'{"n": 1}', x_github_delivery="one")
        return list(await asyncio.gather(*(app.handle(event) for _ in range(10))))

    answers = [Answer(each["statusCode"], each["headers"], each["body"]) for each in run(together())]
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({answer.json["execution_id"] for answer in answers}) == 1
    assert run(sender.services.consumer.counts())["wait"] == 1
    drained(sender)
    assert len(runs_of(sender)) == 1


def test_where_the_store_hangs_the_job_is_put_back_for_safety(sender: Sender, servers: Servers) -> None:
    """Nobody can say whether there is a run: the job is there again, and does nothing where there is one."""
    lost, done = sender.send(x_github_delivery="lost"), sender.send(x_github_delivery="done")
    run(sender.services.redis.delete(f"{sender.services.producer._base}:{lost.json['execution_id']}"))
    drained(sender)
    assert [run_id for run_id, _ in runs_of(sender)] == [done.json["execution_id"]]
    with frozen(servers.supabase):
        answers = [sender.send(x_github_delivery=name) for name in ("lost", "done")]
    assert [(answer.status, answer.json["duplicate"]) for answer in answers] == [(200, True)] * 2
    drained(sender)
    expected = sorted((answer.json["execution_id"], "succeeded") for answer in (lost, done))
    assert runs_of(sender) == expected


def test_an_error_while_a_job_is_added_leaves_no_claim(sender: Sender) -> None:
    """What was not queued is no duplicate when it comes again."""
    redis: Redis = sender.services.redis
    meta = f"{sender.services.producer._base}:meta"
    run(redis.delete(meta))
    run(redis.set(meta, "not a hash"))
    first = sender.send(x_github_delivery="one")
    assert first.status == 202  # around Redis, whose error counts as one that is out of reach
    assert not run(redis.exists(sender.services.redis_keys.delivery(first.json["execution_id"])))
    run(redis.delete(meta))


def test_a_key_that_was_spoilt_sends_no_other_delivery_around_redis(sender: Sender) -> None:
    """What Redis refuses for one delivery, it need not refuse for the next, of this tenant or of another."""
    spoilt = derived_id("delivery", sender.webhook_id, f"one:{hashlib.sha256(b'1').hexdigest()}")
    run(sender.services.redis.hset(sender.services.redis_keys.delivery(spoilt), "not", "a claim"))
    assert [sender.send(b"1", x_github_delivery="one").status, sender.send(b"2").status] == [202, 202]
    assert [run_id for run_id, _ in runs_of(sender)] == [spoilt]
    assert run(sender.services.consumer.counts())["wait"] == 1


def test_unpublishing_counts_at_the_next_delivery(sender: Sender) -> None:
    """Also in a process that remembers the webhook as it was; publishing again does so as soon."""
    assert sender.send(b"1").status == 202
    run(unpublish_workflow(sender.services, sender.actor, sender.workflow_id))
    assert sender.send(b"2").status == 410
    assert run(sender.services.consumer.counts())["wait"] == 1
