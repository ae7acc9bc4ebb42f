"""Publishes one message to an SNS topic and yields `{message_id, sequence_number?}`.

To a FIFO topic the run's idempotency key is the deduplication id, so that attempts within five minutes are one message
(https://docs.aws.amazon.com/sns/latest/api/API_Publish.html).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from shared.nodes.aws_effect import Arn, Attributes, GroupId, aws_call, given, message_attributes
from shared.nodes.node_type import Completed, Effect, NodeType, Parameters


class PublishSns(Parameters):
    """`message` is a text, sent as it is, or other JSON. A FIFO topic needs `message_group_id`."""

    topic_arn: Arn
    message: Any
    subject: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    message_attributes: Attributes | None = None
    message_group_id: GroupId | None = None
    message_deduplication_id: GroupId | None = None


async def _perform(parameters: PublishSns, effect: Effect) -> Completed:
    message, topic = parameters.message, parameters.topic_arn
    is_fifo = topic.endswith(".fifo")
    answer = await aws_call(
        effect,
        topic,
        "sns",
        "publish",
        **given(
            TopicArn=topic,
            Message=message if isinstance(message, str) else json.dumps(message, ensure_ascii=False),
            Subject=parameters.subject,
            MessageAttributes=message_attributes(parameters.message_attributes),
            MessageGroupId=parameters.message_group_id,
            MessageDeduplicationId=parameters.message_deduplication_id or (effect.idempotency_key if is_fifo else None),
        ),
    )
    return Completed(given(message_id=answer["MessageId"], sequence_number=answer.get("SequenceNumber")))


NODE = NodeType(
    "publish_sns",
    "Publish to SNS",
    PublishSns,
    handles=lambda _parameters: ("out", "error"),
    perform=_perform,
    needs=("message",),
)
