"""/webhooks/{webhookId}/{provider}: where providers deliver. Every delivery passes here: no heavy import."""

from __future__ import annotations

import logging
import re
from functools import cache

from shared.bootstrap import services
from shared.domain.response import is_powerful
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
# What tenants' webhooks answer comes from the API's own origin, and a handshake echoes what anybody sent: no browser
# may run any of it there.
_INERT = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}
_ACTIVE = re.compile("javascript|ecmascript|wasm|jscript|livescript|css|importmap|speculationrules", re.IGNORECASE)
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
    # A browser runs a script wherever it is loaded from: as plain text it does not.
    content_type = "text/plain; charset=utf-8" if _ACTIVE.search(answer.content_type) else answer.content_type
    return {
        "statusCode": answer.status,
        "headers": {**dict(filter(_is_harmless, answer.headers.items())), "content-type": content_type, **_INERT},
        "body": answer.body.decode("utf-8", "replace"),
    }


def _is_harmless(header: tuple[str, str]) -> bool:
    return not is_powerful(header[0])


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
