"""Runs the published version of another workflow, or of this one, and yields its output.

In the child run `$trigger.body` is `input`, and it starts as a manual run does. Its version is chosen when it is
called. A child run that fails makes the node fail with its error's code; one that is cancelled, with `cancelled`. Calls
nest at most ten deep.

With `wait: false` the node does not wait: its output is `{execution_id}`. With the node's `timeout_seconds`, a run that
takes longer is cancelled and the node fails with `timeout`; unset, it may take 366 days.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from shared.ids import is_uuid
from shared.nodes.node_kinds import Call, CallRequest, Parameters
from shared.nodes.node_type import NodeType


def _uuid(text: str) -> str:
    if not is_uuid(text.lower()):
        raise ValueError("A workflow's id is a UUID")
    return text.lower()  # as the database spells it


class CallWorkflow(Parameters):
    """`input` is any JSON; an undefined one is null."""

    workflow_id: Annotated[str, AfterValidator(_uuid)]
    input: object = None
    wait: bool = True


def _request(parameters: CallWorkflow) -> CallRequest:
    return CallRequest(parameters.workflow_id, parameters.input, parameters.wait)


NODE = NodeType("call_workflow", "Call a workflow", CallWorkflow, Call(_request), needs=("workflow_id",))
