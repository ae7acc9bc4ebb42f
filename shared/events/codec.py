"""Between facts and their stored payloads: one registry, and the upcasts of old payloads.

A payload is the fact's fields by name. When a fact's shape changes, its schema version in `SCHEMA_VERSIONS` goes up
and an upcast, a function from the old payload to the new one, is added to `UPCASTS`; stored events never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.events import api_key, execution, secret, webhook, workflow

JsonObject = dict[str, Any]

WorkflowFact = (
    workflow.WorkflowCreated
    | workflow.WorkflowUpdated
    | workflow.WorkflowPublished
    | workflow.WorkflowUnpublished
    | workflow.WorkflowArchived
)
WebhookFact = webhook.WebhookCreated | webhook.WebhookUpdated | webhook.WebhookSecretRotated | webhook.WebhookDeleted
ApiKeyFact = api_key.ApiKeyCreated | api_key.ApiKeyRevoked
SecretFact = secret.SecretSet | secret.SecretDeleted
ExecutionFact = (
    execution.ExecutionQueued
    | execution.ExecutionStarted
    | execution.NodeStarted
    | execution.NodeSucceeded
    | execution.NodeFailed
    | execution.NodeRetryScheduled
    | execution.NodeWaiting
    | execution.MapStarted
    | execution.ItemSucceeded
    | execution.ItemFailed
    | execution.SignalReceived
    | execution.NodeSkipped
    | execution.ExecutionSucceeded
    | execution.ErrorWorkflowStarted
    | execution.ExecutionFailed
    | execution.ExecutionCancelled
    | execution.ExecutionRedriven
)
Fact = WorkflowFact | WebhookFact | ApiKeyFact | SecretFact | ExecutionFact

FACTS: Mapping[str, type[Fact]] = {
    fact.__name__: fact
    for fact in (
        *WorkflowFact.__args__,
        *WebhookFact.__args__,
        *ApiKeyFact.__args__,
        *SecretFact.__args__,
        *ExecutionFact.__args__,
    )
}
# Schema version of each fact whose shape has ever changed; all others are at 1.
SCHEMA_VERSIONS: Mapping[str, int] = {}
# (event type, schema version) → the payload at the next version.
UPCASTS: Mapping[tuple[str, int], Callable[[JsonObject], JsonObject]] = {}


def event_type(fact: Fact) -> str:
    """The fact's name in the store: its class's name."""
    return type(fact).__name__


def encode(fact: Fact) -> JsonObject:
    """The payload of a fact: its fields by name."""
    return {name: getattr(fact, name) for name in fact.__slots__}


def decode(name: str, payload: JsonObject, schema_version: int = 1) -> Fact:
    """The fact in a stored payload, brought up to today's shape; an unknown name raises `KeyError`."""
    current = SCHEMA_VERSIONS.get(name, 1)
    while schema_version < current:
        payload = UPCASTS[name, schema_version](payload)
        schema_version += 1
    return FACTS[name](**payload)
