"""Shared by the nodes that send a message to an SNS topic or an SQS queue."""

from __future__ import annotations

import json
import re
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from shared.json_types import JsonMapping, JsonObject
from shared.nodes.aws_effect import response_field, without_none
from shared.nodes.node_kinds import Completed, EffectContext


def _attribute_names(attributes: JsonObject) -> JsonObject:
    for name in attributes:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name):
            raise ValueError(f"{name!r} is no attribute name")
    return attributes


# A message's attributes: strings and numbers by name.
Attributes = Annotated[dict[str, str | int | float], Field(max_length=10), AfterValidator(_attribute_names)]
GroupId = Annotated[str, Field(min_length=1, max_length=128)]


class MessageParameters(Protocol):
    """The parameters that both services have in common."""

    @property
    def message_attributes(self) -> dict[str, str | int | float] | None: ...
    @property
    def message_group_id(self) -> str | None: ...
    @property
    def message_deduplication_id(self) -> str | None: ...


def message_text(message: object) -> str:
    """A string as it is, other JSON serialized."""
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


def message_arguments(effect: EffectContext, destination: str, parameters: MessageParameters) -> JsonObject:
    """The request's arguments that both services call by the same names.

    For a FIFO `destination` the effect's idempotency key is the deduplication id, unless the parameters have one.
    """
    key = effect.idempotency_key if destination.endswith(".fifo") else None
    attributes = {name: _attribute(value) for name, value in (parameters.message_attributes or {}).items()}
    return without_none(
        MessageAttributes=attributes or None,
        MessageGroupId=parameters.message_group_id,
        MessageDeduplicationId=parameters.message_deduplication_id or key,
    )


def sent(response: JsonMapping) -> Completed:
    """The output `{message_id, sequence_number?}` from either service's response."""
    message_id, sequence_number = response_field(response, "MessageId"), response.get("SequenceNumber")
    return Completed(without_none(message_id=message_id, sequence_number=sequence_number))


def _attribute(value: str | float) -> dict[str, str]:
    return {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
