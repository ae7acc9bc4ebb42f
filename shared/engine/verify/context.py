"""What a node's next fact is derived from, and the refusal where no such fact may stand."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.execution.node_record import NodeRecord
from shared.domain.execution.state import ExecutionState
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.scopes import Step

# An event loop's timers may come a little early.
EARLY_SECONDS = 0.1
# A busy event loop may come late: between a moment from which time is counted and its record.
LATE_SECONDS = 5.0


class UnderivableError(Exception):
    """No such fact may stand here, and why."""


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

    def map_succeeded(self) -> bool:
        """Whether the map succeeded, now that its last item has ended; before that it raises `UnderivableError`."""
        record, kind = self.record, self.step.one.type
        if not record.is_open_map or record.items is None or record.items.under_way:
            raise UnderivableError("The map was not over.")
        assert kind.spread is not None, "only a map has items"
        spread = kind.spread(kind.parse(record.parameters or {}))
        succeeded, failed = len(record.items.outputs), len(record.items.errors)
        if succeeded + failed < spread.total and not spread.is_decided(succeeded, failed):
            raise UnderivableError("The map was not over: there were more items.")
        return spread.is_success(succeeded, failed)
