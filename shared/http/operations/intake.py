"""/webhooks: where providers deliver."""

from __future__ import annotations

from shared.errors import (
    GoneError,
    InvalidSignatureError,
    NotFoundError,
    PayloadTooLargeError,
    QueueUnavailableError,
    ThrottledError,
)
from shared.http.operation import Answer, Operation

TAG = "Intake"
PATH = "/webhooks/{webhookId}/{provider}"
PATH_DESCRIPTIONS = {"webhookId": "The webhook's id.", "provider": "The provider that the webhook is for."}
ERRORS = (NotFoundError, GoneError)
DELIVER = Operation(
    id="deliver",
    method="POST",
    path=PATH,
    summary="Deliver to a webhook",
    description=(
        "Authenticated by the provider's signature over the raw body, which is not parsed before it is verified. "
        "A repeated delivery starts nothing. With the webhook's `response: wait`, the answer is what the run "
        "responds: the status, headers and body of its `respond` node; else 200 and its output, or 500 "
        "`execution_failed`; and 202 with the run's URL when it takes longer than 25 seconds. "
        "A webhook that is not there and another provider's path are 404."
    ),
    tag=TAG,
    role=None,
    raw_body="The provider's payload, at most 4.5 MB.",
    path_descriptions=PATH_DESCRIPTIONS,
    answers={
        200: Answer("A duplicate, a filtered delivery, or a handshake", "intake:AnsweredView"),
        202: Answer("Accepted", "intake:AcceptedView"),
    },
    errors=(*ERRORS, InvalidSignatureError, PayloadTooLargeError, ThrottledError, QueueUnavailableError),
)
SHAKE_HANDS = Operation(
    id="shake_hands",
    method="GET",
    path=PATH,
    summary="Prove to a provider that the webhook exists",
    description="Responds as the provider requires; a provider without a handshake of this kind gets a 404.",
    tag=TAG,
    role=None,
    path_descriptions=PATH_DESCRIPTIONS,
    answers={200: Answer("What the provider asks for", "intake:AnsweredView")},
    errors=(*ERRORS, InvalidSignatureError),
)
PROBE = Operation(
    id="probe",
    method="HEAD",
    path=PATH,
    summary="Probe a webhook",
    tag=TAG,
    role=None,
    path_descriptions=PATH_DESCRIPTIONS,
    answers={200: Answer("It exists")},
    errors=ERRORS,
)
ASK_LEAVE = Operation(
    id="ask_leave",
    method="OPTIONS",
    path=PATH,
    summary="Ask whether a webhook may be delivered to",
    description="CloudEvents' abuse protection: the origin that asks is allowed.",
    tag=TAG,
    role=None,
    path_descriptions=PATH_DESCRIPTIONS,
    answers={200: Answer("It may")},
    errors=ERRORS,
)
OPERATIONS = (DELIVER, SHAKE_HANDS, PROBE, ASK_LEAVE)
