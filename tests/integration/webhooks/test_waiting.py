"""`response: "wait"`: the sender is answered what the run responds."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from functions.drain.work import drain
from functions.intake import app
from shared.bootstrap import Services
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.errors import InvalidRequestError, UnprocessableError
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Answer, Sender, configure


@pytest.fixture
def waiting(wired: Services) -> Sender:
    """A sender whose webhook waits."""
    return Sender.of(wired, "github", response="wait")


def graph(sender: Sender, *nodes: JsonObject) -> None:
    """Publishes a chain of these nodes after the trigger."""
    chain = [{"id": "hook", "type": "webhook_trigger"}, *nodes]
    edges = [{"source": one["id"], "target": two["id"]} for one, two in pairwise(chain)]
    command = UpdateWorkflow(name="w", nodes=chain, edges=edges)
    run(update_workflow(sender.services, sender.actor, sender.workflow_id, command))
    run(publish_workflow(sender.services, sender.actor, sender.workflow_id))


def deliver(sender: Sender, times: int = 1, **headers: str) -> list[Answer]:
    """The answers to a delivery, sent several times at once, while a drain works."""

    async def all_of_it() -> list[JsonObject]:
        event = sender.event(b'{"n": 1}', **headers)
        working = asyncio.create_task(drain(lambda: 20.0))
        answers = await asyncio.gather(*(app.handle(event) for _ in range(times)))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return answers

    return [Answer(one["statusCode"], one["headers"], one["body"]) for one in run(all_of_it())]


def respond(**parameters: Any) -> JsonObject:
    """A node that responds."""
    return {"id": "respond", "type": "respond", "parameters": parameters}


def test_sender_is_answered_what_the_run_responds(waiting: Sender) -> None:
    """Status, headers and body are the node's; a page of it is nobody's script on our host."""
    graph(waiting, respond(status=418, headers={"X-Tea": "green"}, body={"n": "{% $trigger.body.n + 1 %}"}))
    (answer,) = deliver(waiting)
    assert (answer.status, answer.json, answer.headers["x-tea"]) == (418, {"n": 2}, "green")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("parameters", "text", "content_type"),
    [
        ({"body": "plain"}, "plain", "text/plain; charset=utf-8"),
        ({"body": "<p>", "headers": {"Content-Type": "text/html"}}, "<p>", "text/html"),
        ({"body": [1, None]}, "[1,null]", "application/json"),
        ({"status": 204}, "", "application/json"),
    ],
)
def test_body_goes_out_as_what_it_is(waiting: Sender, parameters: JsonObject, text: str, content_type: str) -> None:
    """Texts as they are, all else as JSON, under the content type that the node names."""
    graph(waiting, respond(**parameters))
    (answer,) = deliver(waiting)
    assert (answer.text, answer.headers["content-type"]) == (text, content_type)


def test_run_without_a_response_answers_with_its_output(waiting: Sender) -> None:
    """Once it has ended, with 200."""
    graph(waiting, {"id": "t", "type": "transform", "parameters": {"value": {"done": True}}})
    (answer,) = deliver(waiting)
    assert (answer.status, answer.json) == (200, {"done": True})


def test_failed_run_is_a_problem_without_internals(waiting: Sender) -> None:
    """The sender learns that it failed, and the run's id; why is the tenant's to know."""
    graph(waiting, {"id": "f", "type": "fail", "parameters": {"code": "no_stock", "message": "secret detail"}})
    (answer,) = deliver(waiting)
    assert (answer.status, answer.json["code"]) == (500, "execution_failed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "no_stock" not in answer.text


def test_duplicates_are_answered_the_same(waiting: Sender) -> None:
    """At once, and long after the run: one run, one answer."""
    graph(waiting, respond(status=201, body="{% $execution.id %}"))
    answers = [*deliver(waiting, 3, x_github_delivery="one"), *deliver(waiting, x_github_delivery="one")]
    assert {one.status for one in answers} == {201}
    assert len({one.text for one in answers}) == 1


def test_run_that_takes_longer_is_a_202_with_its_url(waiting: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on; whoever delivered can look it up."""
    monkeypatch.setattr("shared.webhooks.intake.sync_response.MAX_WAIT_SECONDS", 0.6)
    graph(waiting, {"id": "d", "type": "delay", "parameters": {"seconds": 60}})
    (answer,) = deliver(waiting)
    assert (answer.status, answer.json["duplicate"]) == (202, False)
    assert answer.headers["location"] == f"/api/executions/{answer.json['execution_id']}"
    assert answer.json["url"].endswith(answer.headers["location"])


def test_without_redis_the_wait_ends_in_time(
    waiting: Sender, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted by the store, which no drain of a lost Redis hears of at once: a 202, not an error."""
    monkeypatch.setattr("shared.webhooks.intake.sync_response.MAX_WAIT_SECONDS", 0.6)
    graph(waiting, respond(body=1))
    servers.redis.stop()
    try:
        answer = waiting.send()
    finally:
        servers.redis.start()
    assert (answer.status, json.loads(answer.text)["duplicate"]) == (202, False)


def test_response_of_another_word_is_refused(sender: Sender) -> None:
    """The configuration says what it may be."""
    with pytest.raises((InvalidRequestError, UnprocessableError)) as refused:
        configure(sender, response="later")
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.message) == (
        "/config/response",
        'Write an object of status, headers and body, or "wait".',
    )
