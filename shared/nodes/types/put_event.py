"""Puts one event on an EventBridge bus and yields `{event_id}`.

EventBridge does not deduplicate: a repeated attempt may be a second event. Put an idempotency key for its consumers
into `detail`, such as `{% $execution.id %}`.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.json_types import JsonObject
from shared.nodes.aws_effect import Arn, aws_call, aws_destination, response_field
from shared.nodes.node_kinds import Completed, Effect, EffectContext, NodeError, Parameters
from shared.nodes.node_type import NodeType, out_or_error


def _source(text: str) -> str:
    if text.startswith("aws."):
        raise ValueError("sources that begin with aws. are AWS's own")
    return text


class PutEvent(Parameters):
    """`event_bus_name` is the bus's ARN."""

    event_bus_name: Arn
    source: Annotated[str, Field(pattern=r"^[^\s]{1,256}$"), AfterValidator(_source)]
    detail_type: Annotated[str, Field(min_length=1, max_length=128)]
    detail: JsonObject
    resources: Annotated[list[str], Field(max_length=10)] = Field(default_factory=list)


async def _perform(parameters: PutEvent, effect: EffectContext) -> Completed:
    entry = {
        "EventBusName": parameters.event_bus_name,
        "Source": parameters.source,
        "DetailType": parameters.detail_type,
        "Detail": json.dumps(parameters.detail, ensure_ascii=False),
        "Resources": parameters.resources,
    }
    response = await aws_call(effect, parameters.event_bus_name, "events", "put_events", Entries=[entry])
    outcome: JsonObject = next(iter(response_field(response, "Entries")), {})
    if "EventId" not in outcome:
        # The call succeeded and the entry failed: its code says whether AWS or the entry is at fault.
        name = outcome.get("ErrorCode", "Unknown")
        code = "http_429" if name == "ThrottlingException" else "http_5xx" if name == "InternalFailure" else "http_4xx"
        raise NodeError(code, f"{name}: {outcome.get('ErrorMessage', '')}".rstrip(": "), {"code": name})
    return Completed({"event_id": outcome["EventId"]})


NODE = NodeType(
    "put_event", "Put an event", PutEvent, Effect(_perform, aws_destination("events")), handles=out_or_error
)
