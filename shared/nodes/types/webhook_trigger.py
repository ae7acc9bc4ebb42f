"""A run starts when a webhook of this workflow receives a delivery; `$trigger` holds its body, headers and query."""

from __future__ import annotations

from shared.nodes.node_kinds import Parameters, Trigger
from shared.nodes.node_type import NodeType


class WebhookTrigger(Parameters):
    """No parameters: provider and secret belong to the webhook."""


NODE = NodeType("webhook_trigger", "Webhook", WebhookTrigger, Trigger())
