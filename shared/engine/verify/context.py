"""The context from which a node's next fact is derived, and the error where no such fact may stand."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.execution.node_record import NodeRecord
from shared.domain.execution.state import ExecutionState
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.scopes import Step
from shared.nodes.node_kinds import Map, Parameters

# How much too early a timer of an event loop may fire.
EARLY_SECONDS = 0.1
# How long a busy event loop may take between a moment from which time is counted and its record.
LATE_SECONDS = 5.0


class UnderivableError(Exception):
    """No such fact may stand here; the text says why."""


@dataclass(frozen=True, slots=True)
class DerivationContext:
    """The run's state, and in it a node that has not settled; `node_inputs` is over the same state."""

    state: ExecutionState
    node_inputs: NodeInputResolver
    step: Step
    record: NodeRecord

    @property
    def is_running(self) -> bool:
        """Whether the node has begun and neither ended nor waits."""
        return self.record.status == "running"

    def map_succeeded(self, kind: Map[Parameters]) -> bool:
        """Whether the map succeeded, now that its last item has ended; before that it raises `UnderivableError`."""
        record = self.record
        if not record.is_open_map or record.items is None or record.items.in_progress:
            raise UnderivableError("The map was not over.")
        plan = kind.plan(self.step.compiled.type.parse(record.parameters or {}))
        succeeded, failed = len(record.items.outputs), len(record.items.errors)
        if succeeded + failed < plan.total and not plan.is_decided(succeeded, failed):
            raise UnderivableError("The map was not over: there were more items.")
        return plan.is_success(succeeded, failed)
