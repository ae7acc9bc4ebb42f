"""Sends one message to an SQS queue and yields `{message_id, sequence_number?}`.

To a FIFO queue the run's idempotency key is the deduplication id, so that attempts within five minutes are one message
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html). A standard queue may get a
message twice.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.nodes.aws_effect import aws_call, aws_destination, without_none
from shared.nodes.aws_messages import Attributes, GroupId, message_arguments, message_text, sent
from shared.nodes.node_kinds import Completed, Effect, EffectContext, Parameters
from shared.nodes.node_type import NodeType, out_or_error


class SendSqsMessage(Parameters):
    """`message_body` is a text, sent as it is, or other JSON. A FIFO queue needs `message_group_id`."""

    queue_url: Annotated[str, Field(max_length=1_024, pattern=r"^https?://[^\s]+/[A-Za-z0-9_-]{1,80}(\.fifo)?$")]
    message_body: object
    delay_seconds: Annotated[int, Field(ge=0, le=900)] | None = None
    message_attributes: Attributes | None = None
    message_group_id: GroupId | None = None
    message_deduplication_id: GroupId | None = None


async def _perform(parameters: SendSqsMessage, effect: EffectContext) -> Completed:
    url = parameters.queue_url
    response = await aws_call(
        effect,
        url,
        "sqs",
        "send_message",
        **without_none(
            QueueUrl=url,
            MessageBody=message_text(parameters.message_body),
            DelaySeconds=parameters.delay_seconds,
        ),
        **message_arguments(effect, url, parameters),
    )
    return sent(response)


NODE = NodeType(
    "send_sqs_message",
    "Send an SQS message",
    SendSqsMessage,
    Effect(_perform, aws_destination("sqs")),
    handles=out_or_error,
    needs=("message_body",),
)
