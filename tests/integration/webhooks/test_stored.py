"""`durability: stored`: what is answered with 202 is in Postgres as well, whatever becomes of Redis."""

from __future__ import annotations

import pytest
from bullmq import Queue

from functions.drain.work import drain
from shared.bootstrap import Services
from shared.platform.runtime import run
from shared.webhooks.acceptance import option_problems
from tests.faults.hanging_servers import frozen
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender, ledger
from tests.integration.webhooks.test_taken_again import of_bullmq, runs_of, taken_away


@pytest.fixture
def stored(wired: Services) -> Sender:
    """A sender to a webhook whose deliveries are stored."""
    return Sender.of(wired, "github", durability="stored")


def drained(servers: Servers) -> None:
    """Whatever is queued, or due in a moment, has been run."""
    servers.set_due("now()", "now() + interval '1 minute'")
    run(drain(lambda: 12.0))


async def obliterate(services: Services) -> None:
    """The queue is emptied and removed by another program."""
    name, options = of_bullmq(services)
    queue = Queue(name, options)
    await queue.obliterate(force=True)
    await queue.close()


@pytest.mark.parametrize("harm", ["flushall", "obliterate", "worker"])
def test_whatever_becomes_of_redis_after_the_202_the_runs_come(stored: Sender, servers: Servers, harm: str) -> None:
    """Without a retry of the provider's; where he retries, it is a duplicate, by the store if Redis has forgotten."""
    answers = [stored.send(b'{"n": %d}' % number, x_github_delivery=str(number)) for number in range(3)]
    assert [(answer.status, answer.json["duplicate"]) for answer in answers] == [(202, False)] * 3
    if harm == "flushall":
        run(stored.services.redis.flushall())
    elif harm == "obliterate":
        run(obliterate(stored.services))
    else:
        taken_away(stored.services, 3)
    again = stored.send(b'{"n": 0}', x_github_delivery="0")
    assert (again.status, again.json) == (200, {**answers[0].json, "duplicate": True})
    drained(servers)
    assert runs_of(stored) == sorted((answer.json["execution_id"], "succeeded") for answer in answers)
    accepted = [line for line in ledger(stored) if line["verdict"] == "accepted"]
    assert sorted(line["id"] for line in accepted) == sorted(answer.json["delivery_id"] for answer in answers)


def test_a_drain_that_is_faster_than_the_store_makes_no_second_run(stored: Sender, servers: Servers) -> None:
    """The queue has it first: whoever appends the first fact, there is one run."""
    for number in range(5):
        assert stored.send(b'{"n": %d}' % number).status == 202
    drained(servers)
    drained(servers)
    assert [status for _, status in runs_of(stored)] == ["succeeded"] * 5


@pytest.mark.parametrize("is_hanging", [True, False])
def test_what_the_store_does_not_take_is_503_and_taken_when_it_comes_again(
    stored: Sender, servers: Servers, is_hanging: bool
) -> None:
    """The queue may have it; the sender is not told so, and there is one run in the end."""
    if is_hanging:
        with frozen(servers.supabase):
            answer = stored.send(x_github_delivery="one")
    else:
        servers.supabase.stop()
        answer = stored.send(x_github_delivery="one")
        servers.supabase.start()
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
    run(stored.services.redis.delete(f"{stored.services.producer._base}:wait"))
    again = stored.send(x_github_delivery="one")
    assert again.status in (200, 202)
    run(stored.services.redis.flushall())
    drained(servers)
    assert runs_of(stored) == [(again.json["execution_id"], "succeeded")]


def test_other_bytes_under_a_stored_id_are_refused_when_redis_has_forgotten(wired: Services, servers: Servers) -> None:
    """By the store."""
    sender = Sender.of(wired, "standard_webhooks", durability="stored")
    assert sender.send(b'{"n": 1}', signed=sender.signed(b'{"n": 1}', webhook_id="m1")).status == 202
    run(wired.redis.flushall())
    assert sender.send(b'{"n": 2}', signed=sender.signed(b'{"n": 2}', webhook_id="m1")).status == 409
    drained(servers)
    (event, *_) = run(wired.events.read_all(sender.actor.tenant_id, runs_of(sender)[0][0]))
    assert event.payload["trigger"]["body"] == {"n": 1}


def test_durability_is_one_of_two_words() -> None:
    """Anything else is named with its place."""
    assert (
        option_problems({"durability": "stored"})
        == option_problems({"durability": "queued"})
        == option_problems({})
        == []
    )
    for value in ("none", "", None, 1, ["stored"]):
        (problem,) = option_problems({"durability": value})
        assert problem.pointer == "/durability"
