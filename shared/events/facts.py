"""The union of all facts. Importing them all takes a while; most functions need those of one or two stream types."""

from __future__ import annotations

from shared.events.api_key import ApiKeyFact
from shared.events.execution import RunFact
from shared.events.node import NodeFact
from shared.events.secret import SecretFact
from shared.events.webhook import WebhookFact
from shared.events.workflow import WorkflowFact

ExecutionFact = RunFact | NodeFact
Fact = WorkflowFact | WebhookFact | ApiKeyFact | SecretFact | ExecutionFact
