"""Publishes one message to an SNS topic and yields `{message_id, sequence_number?}`.

To a FIFO topic the run's idempotency key is the deduplication id, so that attempts within five minutes are one message
(https://docs.aws.amazon.com/sns/latest/api/API_Publish.html).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.nodes.aws_effect import Arn, aws_call, aws_destination, without_none
from shared.nodes.aws_messages import Attributes, GroupId, message_arguments, message_text, sent
from shared.nodes.node_kinds import Completed, Effect, EffectContext, Parameters
from shared.nodes.node_type import NodeType, out_or_error


class PublishSns(Parameters):
    """`message` is a text, sent as it is, or other JSON. A FIFO topic needs `message_group_id`."""

    topic_arn: Arn
    message: object
    subject: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    message_attributes: Attributes | None = None
    message_group_id: GroupId | None = None
    message_deduplication_id: GroupId | None = None


async def _perform(parameters: PublishSns, effect: EffectContext) -> Completed:
    topic = parameters.topic_arn
    response = await aws_call(
        effect,
        topic,
        "sns",
        "publish",
        **without_none(
            TopicArn=topic,
            Message=message_text(parameters.message),
            Subject=parameters.subject,
        ),
        **message_arguments(effect, topic, parameters),
    )
    return sent(response)


NODE = NodeType(
    "publish_sns",
    "Publish to SNS",
    PublishSns,
    Effect(_perform, aws_destination("sns")),
    handles=out_or_error,
    needs=("message",),
)
