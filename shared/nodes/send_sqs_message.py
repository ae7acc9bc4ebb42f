"""Sends one message to an SQS queue and yields `{message_id, sequence_number?}`.

To a FIFO queue the run's idempotency key is the deduplication id, so that attempts within five minutes are one message
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html). A standard queue may get a
message twice.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from shared.nodes.aws_effect import Attributes, GroupId, aws_call, given, message_attributes
from shared.nodes.node_type import Completed, Effect, NodeType, Parameters


class SendSqsMessage(Parameters):
    """`message_body` is a text, sent as it is, or other JSON. A FIFO queue needs `message_group_id`."""

    queue_url: Annotated[str, Field(max_length=1_024, pattern=r"^https?://[^\s]+/[A-Za-z0-9_-]{1,80}(\.fifo)?$")]
    message_body: Any
    delay_seconds: Annotated[int, Field(ge=0, le=900)] | None = None
    message_attributes: Attributes | None = None
    message_group_id: GroupId | None = None
    message_deduplication_id: GroupId | None = None


async def _perform(parameters: SendSqsMessage, effect: Effect) -> Completed:
    body, url = parameters.message_body, parameters.queue_url
    is_fifo = url.endswith(".fifo")
    answer = await aws_call(
        effect,
        url,
        "sqs",
        "send_message",
        **given(
            QueueUrl=url,
            MessageBody=body if isinstance(body, str) else json.dumps(body, ensure_ascii=False),
            DelaySeconds=parameters.delay_seconds,
            MessageAttributes=message_attributes(parameters.message_attributes),
            MessageGroupId=parameters.message_group_id,
            MessageDeduplicationId=parameters.message_deduplication_id or (effect.idempotency_key if is_fifo else None),
        ),
    )
    return Completed(given(message_id=answer["MessageId"], sequence_number=answer.get("SequenceNumber")))


NODE = NodeType(
    "send_sqs_message",
    "Send an SQS message",
    SendSqsMessage,
    handles=lambda _parameters: ("out", "error"),
    perform=_perform,
    needs=("message_body",),
)
