"""What the nodes share that send a message to a topic of SNS or a queue of SQS."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.json_types import JsonMapping, JsonObject
from shared.nodes.aws_effect import given, said
from shared.nodes.node_kinds import Completed, EffectContext


def _attribute_names(attributes: JsonObject) -> JsonObject:
    for name in attributes:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name):
            raise ValueError(f"{name!r} is no attribute name")
    return attributes


# Attributes of a message: texts and numbers by name.
Attributes = Annotated[dict[str, str | int | float], Field(max_length=10), AfterValidator(_attribute_names)]
GroupId = Annotated[str, Field(min_length=1, max_length=128)]


def message_text(message: Any) -> str:
    """A text as it is, other JSON as text."""
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


def message_arguments(
    effect: EffectContext,
    destination: str,
    attributes: Attributes | None,
    group_id: GroupId | None,
    deduplication_id: GroupId | None,
) -> JsonObject:
    """What both services call by the same names. To a FIFO `destination` the run's idempotency key is the deduplication
    id where none is given."""
    key = effect.idempotency_key if destination.endswith(".fifo") else None
    return given(
        MessageAttributes={name: _attribute(value) for name, value in (attributes or {}).items()} or None,
        MessageGroupId=group_id,
        MessageDeduplicationId=deduplication_id or key,
    )


def sent(answer: JsonMapping) -> Completed:
    """`{message_id, sequence_number?}` from what either service answered."""
    return Completed(given(message_id=said(answer, "MessageId"), sequence_number=answer.get("SequenceNumber")))


def _attribute(value: str | float) -> dict[str, str]:
    return {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
