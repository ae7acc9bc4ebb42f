"""Answers a provider with what the run of its delivery responds. Only webhooks with `response: "wait"` come here."""

from __future__ import annotations

import json

from shared.bootstrap import Services
from shared.json_types import JsonObject
from shared.queries.executions.await_answer import await_answer
from shared.queue.job import ExecutionJob
from shared.webhooks.delivery import Answer, json_answer

# API Gateway gives up after 30 seconds; the rest is for starting and answering.
MAX_WAIT_SECONDS = 25.0
_FAILED = {
    "type": "/docs#execution_failed",
    "title": "Execution failed",
    "status": 500,
    "detail": "The run of this delivery failed.",
    "code": "execution_failed",
}


async def run_answer(services: Services, job: ExecutionJob, accepted: Answer, base_url: str, seconds: float) -> Answer:
    """What the delivery's run responds, or else its output; 500 without details for a run that failed.

    For a run that has not responded within `seconds`, or where as many of the tenant's requests wait as may, 202 with
    the body of `accepted` and the run's URL.
    """
    parts, run = (services.replies, services.events, services.executions), None
    async with services.waiting_clients.waiting(job.tenant_id, seconds) as may_wait:
        if may_wait:
            run = await await_answer(*parts, job.tenant_id, job.execution_id, seconds)
    if run is None:
        path = f"/api/executions/{job.execution_id}"
        answer = json_answer(202, {**json.loads(accepted.body), "url": base_url + path})
        return Answer(202, answer.body, answer.content_type, {"location": path})
    if "response" in run:
        return _responded(run["response"])
    if run["status"] == "succeeded":
        return _responded({"status": 200, "headers": {}, "body": run["output"]})
    problem = {**_FAILED, "execution_id": job.execution_id}
    return Answer(500, json.dumps(problem).encode(), "application/problem+json")


def _responded(response: JsonObject) -> Answer:
    headers, body = dict(response["headers"]), response["body"]
    kind = headers.pop("content-type", None)
    if isinstance(body, str):
        return Answer(response["status"], body.encode(), kind or "text/plain; charset=utf-8", headers)
    text = b"" if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Answer(response["status"], text, kind or "application/json", headers)
