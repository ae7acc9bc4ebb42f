"""/webhooks/{webhookId}/{provider}: where providers deliver. Every delivery passes here: no heavy import."""

from __future__ import annotations

import logging
from functools import cache

from shared.bootstrap import services
from shared.errors import WorkflowEngineError
from shared.http.responses import problem
from shared.json_types import JsonObject
from shared.observability import begin
from shared.platform.runtime import run
from shared.platform.snapstart import modules, prepare
from shared.webhooks.delivery import Answer
from shared.webhooks.intake.pipeline import Intake
from shared.webhooks.intake.request import WebhookRequest

logger = logging.getLogger(__name__)
# Modules that a first delivery may need, imported before the snapshot: for a webhook that is not cached, its secret,
# and a drain to be invoked.
WARM = ("bullmq", "httpx", "postgrest", "cryptography.hazmat.primitives.ciphers.aead", "shared.queue.wake", "boto3")
prepare(modules(*WARM), lambda: services().close())


def handler(event: JsonObject, _context: object) -> JsonObject:
    """The answer to a request of an HTTP API (payload format 2.0)."""
    begin("intake", event)
    return run(handle(event))


async def handle(event: JsonObject) -> JsonObject:
    """The same, on the caller's event loop."""
    try:
        answer = await intake().take(WebhookRequest.of(event))
    except WorkflowEngineError as error:
        answer = refusal(error)
    except Exception:  # the function's edge: the sender gets a problem, and tries again
        logger.exception("intake_failed")
        answer = refusal(WorkflowEngineError())
    return {
        "statusCode": answer.status,
        # What a handshake echoes is the sender's; no browser may take it for a page.
        "headers": {"content-type": answer.content_type, "x-content-type-options": "nosniff", **answer.headers},
        "body": answer.body.decode("utf-8", "replace"),
    }


def refusal(error: WorkflowEngineError) -> Answer:
    """The error as a problem, the same as the API's."""
    response = problem(error)
    return Answer(response.status, response.text.encode(), response.content_type, response.headers)


@cache
def intake() -> Intake:
    """This process's intake."""
    return Intake(services(), _filter)


async def _filter(expression: str, trigger: JsonObject) -> str | None:
    from functions.intake.filters import filters_out  # brings the expression language: most webhooks do without

    return await filters_out(expression, trigger)
