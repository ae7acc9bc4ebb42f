"""A node's inputs: its parameters, resolved against the run's state, and its live predecessors' outputs.

A node sees the nodes that it comes after and no others. All of those are settled before it begins, so its inputs do not
depend on what else was under way, and can be derived again from the run's events.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.node_readiness import live_sources
from shared.domain.execution.node_record import UNTOUCHED
from shared.domain.execution.state import ExecutionState
from shared.domain.expressions.expressions import ITEM_SCOPE, seed_of
from shared.domain.expressions.templates import cut
from shared.domain.json.values import MAX_DEPTH, deeper_than
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from shared.engine.expressions.requests import EvaluatedTemplate, Level, Request
from shared.engine.run.compiled_graph import CompiledGraph
from shared.engine.run.scopes import Scope, Scopes, Step
from shared.errors import LimitExceededError
from shared.events.node import NodeSucceeded
from shared.ids import derived_id
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, NodeError, NodeInputs, Parameters, Pure, Signal, Wait
from shared.nodes.node_type import MAX_JOINED_BYTES

# What a node's expressions may read of others' outputs, whole: it is written, sent and read at once.
MAX_READ_BYTES = 67_108_864
RUN_SCOPE = ("trigger", "workflow", "execution")
# JSONata's code for an expression that ran out of time, and the library's own for other limits.
_TIMEOUT = frozenset({"D1012", "timeout"})
_LIMIT = frozenset({"U1001", "U1006", "D1011", "limit"})


class NodeInputResolver:
    """Resolves the inputs of one run's nodes from the state as it is now.

    The runner, the dry run and the derivation each have one, so that a node sees the same in all three.
    """

    def __init__(self, state: ExecutionState, root: CompiledGraph, evaluator: ExpressionEvaluator) -> None:
        """`root` is the workflow's own graph. The evaluator's process keeps the run's data until `close`."""
        self._state, self._evaluator = state, evaluator
        # Off where a fact is derived that was recorded before outputs had a greatest depth and size.
        self.bounds_outputs = True
        self.scopes = Scopes(root, lambda scope: evaluator.forget(scope.data))

    def close(self) -> None:
        """Makes the expressions' process forget the run's data."""
        self.scopes.close()

    def sources(self, step: Step) -> list[str]:
        """The ids of the live predecessors, in the order of the edges."""
        return live_sources(step.scope.body.graph, self._state, step.compiled.node.id, step.scope.prefix)

    def passed_on(self, step: Step) -> Completed:
        """The result of a disabled node: its live predecessors' outputs."""
        return Completed(output_of=tuple(self.sources(step)))

    def inputs(self, step: Step) -> NodeInputs:
        """What a pure node computes from, beside its parameters."""
        sources, prefix = self.sources(step), step.scope.prefix
        outputs = {source: self._state.nodes[prefix + source].output for source in sources}
        return NodeInputs(tuple(sources), outputs, self.signal(step.path), self._state.joined_bytes(sources, prefix))

    def signal(self, path: str) -> Signal | None:
        """The signal that a waiting node has received; one too large to be matched with its schema raises
        `NodeError`."""
        try:
            number = self._state.signals.number_for(path)
        except LimitExceededError as error:
            raise NodeError(error.code, error.detail) from error
        return None if number is None else Signal(self._state.signals.numbered(number).payload, number)

    def passed_over(self, path: str, wait: Wait, parameters: JsonObject) -> int | None:
        """How many of the signals received so far a node that is about to wait passes over; raises as `signal`."""
        if wait.signal is None:
            return None
        from shared.domain.json.check_budget import CheckBudget  # most runs wait for no signal

        try:
            return self._state.signals.reserve(path, wait.signal, parameters.get("schema"), CheckBudget())
        except LimitExceededError as error:
            raise NodeError(error.code, error.detail) from error

    def compute(self, step: Step, kind: Pure[Parameters], parameters: Parameters, inputs: NodeInputs) -> Completed:
        """A pure node's result; one that fails, or whose output exceeds its type's limit, raises `NodeError`."""
        return step.compiled.type.bounded(parameters, kind.compute(parameters, inputs))

    def map_success(self, step: Step, attempt: int, is_success: bool) -> NodeSucceeded:
        """The fact that a map whose last item has ended has succeeded; one that failed raises `NodeError`."""
        if not is_success:
            raise items_failed()
        record = self._state.nodes[step.path]
        # Its output is that of its items, which the state has.
        return self.success(step, attempt, Completed(), record.evaluated_at or 0, list(record.undefined))

    def effect_key(self, path: str) -> str:
        """The idempotency key of what the effect at a path sends: the same in every attempt."""
        return derived_id("effect", self._state.id, path)

    async def resolve(self, step: Step, now: int) -> tuple[JsonObject, list[str], int]:
        """The node's parameters, the pointers of undefined ones, and the moment (Unix milliseconds) at which
        they were filled in: `now`, unless that has been recorded. Raises as `fill` does.

        Every attempt of an effect sends what the first one sent, for it carries the same key; a wait goes on as it
        began.
        """
        record = self._state.nodes.get(step.path, UNTOUCHED)
        if record.parameters is not None:
            return record.parameters, list(record.undefined), record.evaluated_at or 0
        resolved, undefined = await self.fill(step, now)
        return resolved, undefined, now

    async def fill(self, step: Step, evaluated_at: int) -> tuple[JsonObject, list[str]]:
        """The node's parameters at this moment (Unix milliseconds), and the pointers of undefined ones.

        An expression that fails or exceeds a limit raises `NodeError`.
        """
        compiled, scope = step.compiled, step.scope
        template = compiled.template
        if template is None:
            return compiled.parameters, []
        read = template.reads
        sources: list[str] | None = self.sources(step) if "input" in read else []
        if scope.outer is not None and "input" in read and not scope.body.graph.incoming[compiled.node.id]:
            sources = None  # the item is its input
        # In a body the innermost level has the item; the run's own names come with the outermost.
        own = ITEM_SCOPE if scope.outer is not None else RUN_SCOPE
        names = [name for name in own if name in read or (name == "item" and sources is None)]
        level = self._level(scope, compiled.node.id, template, names, sources or ())
        # In a map's body an expression also reads the graphs around it, outwards, each as its map sees it.
        outer: list[Level] = []
        while scope.outer is not None:
            # There the expression stands at its map's place: it sees the nodes that come before the map. The innermost
            # level is first in the request; the child process enters names from the outermost inwards, so that inner
            # ones win.
            map_id = split_path(item_of(scope.prefix)[0])[1]
            scope = scope.outer
            names = [] if scope.outer is not None else [name for name in RUN_SCOPE if name in read]
            outer.append(self._level(scope, map_id, template, names))
        # Seeded by the node, so that random numbers are the same in every attempt and when they are derived again.
        seed, tenant_id = seed_of(self._state.id, step.path), self._state.tenant_id
        request = Request(template, level, sources, evaluated_at, seed, outer, tenant_id, self._state.size_bytes)
        try:
            filled = await self._evaluator.fill(request)
        except EvaluationError as error:
            code = "timeout" if error.code in _TIMEOUT else "limit" if error.code in _LIMIT else "expression"
            details = {"pointer": error.pointer, "jsonata": error.code}
            raise NodeError(code, f"{error.pointer or 'parameters'}: {error.message}", details) from error
        return filled.parameters, filled.undefined

    def success(
        self,
        step: Step,
        attempt: int,
        completed: Completed,
        evaluated_at: int,
        undefined: list[str],
        signal: Signal | None = None,
    ) -> NodeSucceeded:
        """The fact that a node has completed; one whose output is nested more than `MAX_DEPTH` deep, or has more than
        `MAX_JOINED_BYTES` by what it brings together, raises `NodeError`.

        Every output is recorded through here, so none is nested deeper than its readers can walk, and none doubles from
        node to node until it is too large to be written. `signal` is the one that the node waited for.
        """
        if self.bounds_outputs:
            self._bound(step, completed)
        sources = None if completed.output_of is None else list(completed.output_of)
        handles, output, responds = list(completed.handles), completed.output, completed.responds
        number = None if signal is None else signal.number
        return NodeSucceeded(step.path, attempt, output, handles, evaluated_at, undefined, sources, responds, number)

    def _bound(self, step: Step, completed: Completed) -> None:
        record, sources, prefix = self._state.nodes.get(step.path), completed.output_of, step.scope.prefix
        output, size = completed.output, 0
        if sources is not None:
            if len(sources) < 2:
                return  # as deep and as large as it was
            output, size = self._state.joined_output(sources, prefix), self._state.joined_bytes(sources, prefix)
        elif record is not None and record.items is not None:
            output, size = record.items.output(), record.items.output_bytes
        if size > MAX_JOINED_BYTES:
            raise NodeError("limit", f"The output has {size} bytes; a node may bring {MAX_JOINED_BYTES} together.")
        if deeper_than(output, MAX_DEPTH):
            raise NodeError("limit", f"The output is nested more than {MAX_DEPTH} levels deep.")

    def _level(
        self, scope: Scope, node_id: str, template: EvaluatedTemplate, names: list[str], sources: Sequence[str] = ()
    ) -> Level:
        """What a template reads of one of the graphs that it stands in, there at `node_id`."""
        body, prefix = scope.body, scope.prefix
        named = template.reads.get("nodes", ())
        seen: list[str] = []
        if named:
            # Nodes on other branches may have settled or not, by chance: only those before this one are seen.
            before = body.graph.ancestors(node_id)
            asked = body.graph.nodes if named is True else named
            seen = [name for name in asked if name in before and self._has_output(prefix + name)]

        def of_scope(name: str) -> object:
            return self._scope(name, scope)

        def output(name: str) -> object:
            return cut(self._state.nodes[prefix + name].output, body.output_reads.get(name, True))

        nodes = list(dict.fromkeys((*sources, *seen)))
        size = self._state.joined_bytes(nodes, prefix) if nodes else 0
        if size > MAX_READ_BYTES:
            raise NodeError("limit", f"What its expressions read has {size} bytes; they may read {MAX_READ_BYTES}.")
        return Level(scope.data, names, nodes, of_scope, output, seen)

    def _has_output(self, path: str) -> bool:
        record = self._state.nodes.get(path)
        return record is not None and bool(record.handles or record.status == "succeeded")

    def _scope(self, name: str, scope: Scope) -> object:
        state = self._state
        if name == "workflow":
            return {"id": state.workflow_id, "version": state.workflow_version}
        if name == "execution":
            return {"id": state.id, "created_at": state.created_at, "started_at": state.started_at}
        if name == "index":
            return item_of(scope.prefix)[1]
        return cut(state.item(scope.prefix) if name == "item" else state.trigger, scope.body.scope_reads[name])


def items_failed() -> NodeError:
    """The error of a map that has more failed items than it tolerates."""
    return NodeError("items_failed", "More items have failed than are tolerated, or too few are left to succeed.")


def interrupted() -> NodeError:
    """The error of an effect with `at_most_once` whose drain died amid the attempt: it may have been sent, or not."""
    return NodeError("interrupted", "It was begun, and how it ended is not known; it is sent at most once.")
