"""A graph made ready to run: each node with its type, its template, and what its expressions read of a run's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jlens import union_reads

from shared.domain.graph import Graph, Node, parse_graph
from shared.domain.templates import Literal, TemplateError, compile_template, reads
from shared.engine.expressions import GuardedTemplate
from shared.errors import InvalidGraphError, Problem
from shared.nodes.node_type import DEFAULT_TIMEOUT_SECONDS, NodeType
from shared.nodes.registry import node_type

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProgramNode:
    """A node and its type. `template` is unset where the parameters hold no expression."""

    node: Node
    type: NodeType
    template: GuardedTemplate | None

    @property
    def is_effect(self) -> bool:
        """Whether the node may only start once everything before it is durable."""
        return self.type.is_effect and not self.node.disabled

    @property
    def timeout_seconds(self) -> float:
        """How long one attempt may take."""
        return self.node.timeout_seconds or DEFAULT_TIMEOUT_SECONDS


class Program:
    """A version of a workflow, ready to run; shared by all its runs."""

    __slots__ = ("graph", "nodes", "output_reads", "scope_reads", "version", "workflow_id")

    def __init__(self, workflow_id: str, version: int, graph: Graph) -> None:
        """Compiles every template; an unknown type or an expression that does not compile raises
        `InvalidGraphError`."""
        self.workflow_id, self.version, self.graph = workflow_id, version, graph
        self.nodes: Mapping[str, ProgramNode] = {name: _compile(node) for name, node in graph.nodes.items()}
        templates = [(name, one.template) for name, one in self.nodes.items() if one.template is not None]
        self.scope_reads = _united([dict(template.reads) for _, template in templates])
        self.output_reads = self._output_reads(templates)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Program:
        """The program of a row of `workflow_versions`."""
        graph, problems = parse_graph(row["nodes"], row["edges"])
        if graph is None:
            raise InvalidGraphError(problems=tuple(problems))
        return cls(row["workflow_id"], row["version"], graph)

    def trigger_for(self, trigger: JsonObject) -> str | None:
        """The trigger node that a run with this trigger starts from; `None` when the graph has none that fits.

        A run by hand starts from any trigger, so that a webhook's workflow can be tried out.
        """
        triggers = {name: one.node.type for name, one in self.nodes.items() if one.type.is_trigger}
        if trigger.get("node_id") is not None:
            return trigger["node_id"] if trigger["node_id"] in triggers else None
        fitting = [name for name, kind in triggers.items() if kind == f"{trigger.get('type')}_trigger"]
        if not fitting and trigger.get("type") == "manual":
            fitting = list(triggers)
        return fitting[0] if fitting else None

    def _output_reads(self, templates: list[tuple[str, GuardedTemplate]]) -> Mapping[str, Any]:
        found: dict[str, list[Any]] = {}
        for name, template in templates:
            named = template.reads.get("nodes", {})
            if named is True:
                named = dict.fromkeys(self.graph.nodes, True)
            for source, read in named.items():
                found.setdefault(source, []).append(read)
            if "input" in template.reads:
                sources = {edge.source for edge in self.graph.incoming[name]}
                # With several predecessors, $input is one's output or an object of them: which, the run decides.
                read = template.reads["input"] if len(sources) == 1 else True
                for source in sources:
                    found.setdefault(source, []).append(read)
        return {source: _united([{"x": read} for read in specs])["x"] for source, specs in found.items()}


def _compile(node: Node) -> ProgramNode:
    try:
        kind = node_type(node.type)
        template = compile_template(node.parameters)
    except (KeyError, TemplateError) as error:
        problem = Problem("/nodes", f"The node {node.id!r} cannot run: {error}.")
        raise InvalidGraphError(problem.message, problems=(problem,)) from error
    if isinstance(template, Literal) or node.disabled:
        return ProgramNode(node, kind, None)
    return ProgramNode(node, kind, GuardedTemplate(node.parameters, reads(template)))


def _united(specs: list[JsonObject]) -> JsonObject:
    found: JsonObject = union_reads([{"bindings": spec} for spec in specs])["bindings"]
    return found
