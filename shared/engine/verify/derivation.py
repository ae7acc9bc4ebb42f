"""The fact that today's code would have recorded next, derived from a run's state to be compared with the recorded one.

Inputs from outside are taken from the recorded fact: the trigger, signals, cancellations, effects' results, times, and
the jitter of a retry's backoff.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.domain.execution.node_paths import split_path
from shared.domain.execution.node_readiness import item_outcome, outcome, readiness
from shared.domain.execution.redrive import redriven_nodes
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import unix_seconds
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.scopes import Scope
from shared.engine.verify.context import EARLY_SECONDS, UnderivableError
from shared.engine.verify.node_derivation import NodeDerivation
from shared.events.execution import (
    ErrorWorkflowStarted,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionQueued,
    ExecutionRedriven,
    ExecutionStarted,
    ExecutionSucceeded,
    SignalReceived,
)
from shared.events.node import ItemFailed, ItemSucceeded, NodeSkipped

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact

# Codes with which a drain ends a run that it cannot carry out, or that crashes drains again and again: the events hold
# no cause. `limit` is among them because each deployment sets its own budget of facts.
_GIVEN_UP = frozenset({"drain_died", "internal_error", "job_failed", "limit"})
_NO_GRAPH = frozenset({"not_published", "invalid_graph"})


class Derivation:
    """One run's facts, derived from the state in which the facts before them leave it."""

    def __init__(
        self, state: ExecutionState, program: CompiledWorkflow | None, node_inputs: NodeInputResolver | None
    ) -> None:
        """`program` and `node_inputs` are unset for a run that was never started."""
        self._state, self._program, self._node_inputs = state, program, node_inputs
        self._nodes = NodeDerivation(state, node_inputs) if node_inputs is not None else None

    async def fact(self, recorded: ExecutionFact, happened_at: str) -> ExecutionFact:
        """The fact that should stand where `recorded` does.

        Where no such fact may, it raises `UnderivableError`; an expression that took too long to be derived again
        raises `UnavailableError`.
        """
        state = self._state
        # In the order of a run's life: how it is queued, what may come at any time, its start and end, then its nodes.
        if isinstance(recorded, ExecutionQueued):
            return recorded if state.stream_version == 0 else _impossible("A run is queued once, at its beginning.")
        if state.stream_version == 0:
            return _impossible("A run begins with ExecutionQueued.")
        if isinstance(recorded, ExecutionRedriven):
            return self._redriven(recorded)
        if state.is_terminal:
            return _impossible(f"The run had {state.phase}.")
        if isinstance(recorded, (SignalReceived, ExecutionCancelled)):
            return recorded
        if isinstance(recorded, ExecutionStarted):
            return self._started(recorded)
        if isinstance(recorded, (ExecutionSucceeded, ExecutionFailed)):
            return self._end(recorded, happened_at)
        if isinstance(recorded, ErrorWorkflowStarted):
            return self._error_run(recorded)
        if self._nodes is None or state.phase != "running":
            return _impossible("The run had not been started.")
        if isinstance(recorded, (ItemSucceeded, ItemFailed)):
            return self._item(recorded)
        if isinstance(recorded, NodeSkipped):
            return self._skipped(recorded)
        return await self._nodes.fact(recorded, happened_at)

    def _redriven(self, recorded: ExecutionRedriven) -> ExecutionFact:
        if self._state.phase not in ("failed", "cancelled") or not recorded.calls.keys() <= set(recorded.nodes):
            return _impossible("Only a run that has failed or was cancelled can be redriven.")
        if self._node_inputs is None:  # it never started, so no node has to run again
            return ExecutionRedriven([])
        scopes = self._node_inputs.scopes
        nodes = redriven_nodes(lambda prefix: scopes.at(prefix).body.graph, self._state)
        state = self._state
        calls = {
            path: call for path, call in recorded.calls.items() if state.nodes[path].called == call["execution_id"]
        }
        return ExecutionRedriven(nodes, self._deadline(recorded.deadline), calls)

    def _started(self, recorded: ExecutionStarted) -> ExecutionFact:
        state = self._state
        if state.phase != "queued":
            return _impossible("A run is started once.")
        if self._program is None:
            return _impossible("The workflow has no such version.")
        trigger = self._program.trigger_for(state.trigger)
        # A fork takes the trigger node over from the run that it copies, even where today's rule would choose another.
        if state.forked_from is not None or trigger is None:
            trigger = recorded.trigger_node_id if recorded.trigger_node_id in self._program.root.nodes else "no trigger"
        version = state.workflow_version or recorded.workflow_version
        return ExecutionStarted(version, trigger, self._deadline(recorded.deadline))

    def _deadline(self, recorded: str | None) -> str | None:
        """The recorded one where the workflow has a timeout, for it counts from a moment that is not recorded."""
        has_timeout = self._program is not None and self._program.settings.timeout_seconds is not None
        return recorded if has_timeout else None

    def _error_run(self, recorded: ErrorWorkflowStarted) -> ExecutionFact:
        """Which version of the error workflow was published comes from outside."""
        workflow_id = None if self._program is None else self._program.settings.error_workflow_id
        if workflow_id is None or self._state.handles_error or self._state.error_run is not None:
            return _impossible("The run starts no error workflow.")
        return replace(recorded, workflow_id=workflow_id)

    def _end(self, recorded: ExecutionSucceeded | ExecutionFailed, happened_at: str) -> ExecutionFact:
        state, program = self._state, self._program
        error = recorded.error if isinstance(recorded, ExecutionFailed) else {}
        code = error.get("code")
        # A run that was given up, or was overdue, has failed from outside, at whatever point it was: the fact is taken
        # as it was recorded. An error that names a node is that node's, and is derived below.
        if (code in _GIVEN_UP and "node_id" not in error) or (code == "timeout" and self._is_overdue(happened_at)):
            return recorded
        if state.phase == "queued":
            # Which version was published when it was to start, if any, is a fact from outside.
            codes = set(_NO_GRAPH) if program is None or state.workflow_version is None else set()
            if program is None or not program.trigger_for(state.trigger):
                codes.add("no_trigger")
            is_right = isinstance(recorded, ExecutionFailed) and recorded.error.get("code") in codes
            return recorded if is_right else _impossible("The run had not been started.")
        assert program is not None, "a run that has started has a program"
        open_nodes = [node_id for node_id in program.root.graph.nodes if not state.is_settled(node_id)]
        if open_nodes:
            return _impossible(f"The run was not over: {open_nodes[0]!r} was not settled.")
        return outcome(program.root.graph, state)

    def _is_overdue(self, happened_at: str) -> bool:
        deadline_at = self._state.deadline_at
        return deadline_at is not None and unix_seconds(happened_at) >= deadline_at - EARLY_SECONDS

    def _item(self, recorded: ItemSucceeded | ItemFailed) -> ExecutionFact:
        assert self._node_inputs is not None, "a run that has started has a program"
        scope = self._scope(f"{recorded.node_id}[{recorded.index}].")
        graph, prefix = scope.body.graph, scope.prefix
        open_nodes = [node_id for node_id in graph.nodes if not self._state.is_settled(prefix + node_id)]
        if open_nodes:
            return _impossible(f"The item was not over: {open_nodes[0]!r} was not settled.")
        # No further fact is of this item: applying this one makes the state forget its nodes.
        self._node_inputs.scopes.drop(prefix)
        return item_outcome(graph, self._state, prefix)

    def _scope(self, prefix: str) -> Scope:
        assert self._nodes is not None, "a run that has started has a program"
        return self._nodes.scope(prefix)

    def _skipped(self, recorded: NodeSkipped) -> ExecutionFact:
        prefix, node_id = split_path(recorded.node_id)
        scope, record = self._scope(prefix), self._state.nodes.get(recorded.node_id)
        if node_id not in scope.body.graph.nodes:
            return _impossible("The graph has no such node.")
        # `pending`: a redrive reset the node, so that it may be decided again.
        if record is not None and record.status != "pending":
            return _impossible(f"The node was {record.status}.")
        if readiness(scope.body.graph, self._state, node_id, prefix) != "skipped":
            return _impossible("Its predecessors do not say that the node is skipped.")
        return recorded


def _impossible(reason: str) -> ExecutionFact:
    raise UnderivableError(reason)
