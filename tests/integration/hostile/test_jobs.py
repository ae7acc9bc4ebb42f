"""Jobs that another client of the queue adds, with hostile text in each of their fields: each has its own end."""

from __future__ import annotations

import pytest

from functions.drain.work import drain
from shared.bootstrap import Services
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.queue.job import ExecutionJob
from tests.integration.hostile.examples import TEXTS
from tests.integration.http.client import Client
from tests.integration.webhooks.sender import Sender

# What names something that is there, or says how another field is written.
NAMES = {"workflow_id", "webhook_id", "node_id", "delivery_id", "received_at", "body_encoding"}


def changed(delivery: JsonObject, text: str) -> list[JsonObject]:
    """The delivery with the text in each of its texts, in turn; each is another one."""
    fields = [name for name, value in delivery.items() if isinstance(value, str) and name not in NAMES]
    changes: list[JsonObject] = [{name: text} for name in (*fields, "correlation_id", "event_type", "trace")]
    changes += [{"headers": {text: text}}, {"query": {text: text}}, {"keep_raw_body": True, "body": text}]
    return [{**delivery, "delivery_id": new_id(), **change} for change in changes]


@pytest.mark.parametrize("kind", TEXTS)
def test_no_job_is_a_fault_of_ours(wired: Services, kind: str) -> None:
    """A run of its own text's making, or none; the next tenant's is done as ever."""
    sender, other = Sender.of(wired, "github"), Sender.of(wired, "github")
    job = run(wired.producer.peek(sender.send(b'{"n": 1}').json["execution_id"]))
    assert job is not None
    assert job.delivery is not None
    jobs = [job._replace(execution_id=new_id(), delivery=each) for each in changed({**job.delivery}, TEXTS[kind])]
    start = {"workflow_id": sender.workflow_id, "input": {TEXTS[kind]: TEXTS[kind]}}
    jobs.append(ExecutionJob(sender.actor.tenant_id, new_id(), "start", start=start))
    run(wired.producer.enqueue(jobs))
    assert other.send(b"1").status == 202
    run(drain(lambda: 20.0))
    assert outcomes(other) == {"succeeded": 1}
    # A body with half a surrogate pair is no text at all: such a job is refused, and starts nothing.
    refused = [one for one in jobs if "\ud800" in (one.delivery or {"body": ""})["body"]]
    assert outcomes(sender) == {"succeeded": len(jobs) + 1 - len(refused)}
    assert run(wired.consumer.counts())["wait"] == 0


def outcomes(sender: Sender) -> dict[str, int]:
    """How many of the tenant's runs have ended how: by their status, or their error's code."""
    runs = Client(sender.actor.tenant_id).request("GET", "/api/executions", query={"limit": 100}).json["items"]
    found: dict[str, int] = {}
    for one in runs:
        name = one["error"]["code"] if one.get("error") else one["status"]
        found[name] = found.get(name, 0) + 1
    return found
