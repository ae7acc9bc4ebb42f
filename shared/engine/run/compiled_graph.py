"""A compiled graph: each node with its type, its template, and which parts of a run's data its expressions read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jlens import union_reads

from shared.domain.expressions import signal_urls
from shared.domain.expressions.expressions import ITEM_SCOPE
from shared.domain.expressions.secret_references import Reference, masked, references
from shared.domain.expressions.signal_urls import signal_names
from shared.domain.expressions.templates import Literal, TemplateError, compile_template, reads
from shared.domain.workflow.graph import Graph, Node
from shared.domain.workflow.graph_parser import parse_graph
from shared.domain.workflow.settings import WorkflowSettings, parse_settings
from shared.engine.expressions.requests import EvaluatedTemplate
from shared.errors import InvalidGraphError, Problem
from shared.json_types import JsonMapping, JsonObject
from shared.nodes.graph_shape import trigger_for
from shared.nodes.node_kinds import Call, Effect, Map
from shared.nodes.node_type import DEFAULT_TIMEOUT_SECONDS, MAX_EFFECT_TIMEOUT_SECONDS, AnyNodeType
from shared.nodes.registry import node_type

# The key in `free_reads` that stands for all nodes outside: an expression of a map's body reads `$nodes` as a whole.
EVERY_NODE = ""


@dataclass(frozen=True, slots=True)
class CompiledNode:
    """A node with its type.

    `parameters` are those that are templates; `template` is unset where they hold no expression. `body` is a map's.
    `secrets` are the names of the secrets that an effect uses, `secret_places` say where in its parameters, which hold
    placeholders; `signals` are the names of signals whose URLs it uses.
    """

    node: Node
    type: AnyNodeType
    parameters: JsonObject
    template: EvaluatedTemplate | None
    body: CompiledGraph | None = None
    secrets: tuple[str, ...] = ()
    secret_places: tuple[Reference, ...] = ()
    signals: tuple[str, ...] = ()

    @property
    def is_disclosing(self) -> bool:
        """Whether the effect sends secrets or URLs in place of the placeholders that are recorded."""
        return bool(self.secrets or self.signals)

    @property
    def is_effect(self) -> bool:
        """Whether the node may only start once everything before it is durable."""
        return isinstance(self.type.kind, (Effect, Call)) and not self.node.disabled

    @property
    def timeout_seconds(self) -> float:
        """How long one attempt may take. Versions that were published before there was a limit may ask for more."""
        return min(self.node.timeout_seconds or DEFAULT_TIMEOUT_SECONDS, MAX_EFFECT_TIMEOUT_SECONDS)


class CompiledGraph:
    """A graph ready to run: a workflow's own, or that of a map, which is run for each item.

    Templates here and in the maps within read `output_reads` of each node's output, by its id, `scope_reads` of the
    rest of the scope and `free_reads` of nodes outside: the evaluator's process is sent no more than that. `callers`
    are the nodes that call workflows, and the maps of such nodes.
    """

    __slots__ = ("callers", "free_reads", "graph", "nodes", "output_reads", "scope_reads")

    def __init__(self, graph: Graph) -> None:
        """Compiles every template; an unknown type or an expression that does not compile raises
        `InvalidGraphError`."""
        self.graph = graph
        self.nodes: Mapping[str, CompiledNode] = {name: _compile(node) for name, node in graph.nodes.items()}
        bodies = [compiled.body for compiled in self.nodes.values() if compiled.body is not None]
        self.callers: tuple[str, ...] = tuple(
            name
            for name, compiled in self.nodes.items()
            if isinstance(compiled.type.kind, Call) or (compiled.body is not None and compiled.body.callers)
        )
        specs = [dict(template.reads) for template in self._own_templates()]
        specs += [{name: read for name, read in body.scope_reads.items() if name not in ITEM_SCOPE} for body in bodies]
        if any("input" in template.reads for template in self._own_templates()):
            # In a map's body the input of a root is the item.
            specs.append({"item": True})
        self.scope_reads: JsonMapping = _united(specs)
        node_reads = self._node_reads(bodies)
        self.output_reads = {name: read for name, read in node_reads.items() if name in graph.nodes}
        self.free_reads = {name: read for name, read in node_reads.items() if name not in graph.nodes}

    def templates(self) -> Iterator[EvaluatedTemplate]:
        """Every template, those of the maps within included."""
        yield from self._own_templates()
        for compiled in self.nodes.values():
            if compiled.body is not None:
                yield from compiled.body.templates()

    def _own_templates(self) -> list[EvaluatedTemplate]:
        return [compiled.template for compiled in self.nodes.values() if compiled.template is not None]

    def _node_reads(self, bodies: Sequence[CompiledGraph]) -> JsonMapping:
        """By node id, the part of its output that expressions here and in the bodies read."""
        specs: dict[str, list[object]] = {}
        for name, compiled in self.nodes.items():
            read_here = compiled.template.reads if compiled.template is not None else {}
            named = read_here.get("nodes", {})
            if named is True:
                named = {EVERY_NODE: True, **dict.fromkeys(self.graph.nodes, True)}
            for source, read in named.items():
                specs.setdefault(source, []).append(read)
            if "input" in read_here:
                sources = {edge.source for edge in self.graph.incoming[name]}
                # With several predecessors, $input is one's output or an object of them: which, the run decides.
                read = read_here["input"] if len(sources) == 1 else True
                for source in sources:
                    specs.setdefault(source, []).append(read)
        for body in bodies:
            free = body.free_reads
            if EVERY_NODE in free:
                # Which nodes such an expression finds depends on the run, so every one of them is passed in whole.
                free = {**free, **dict.fromkeys(self.graph.nodes, True)}
            for source, read in free.items():
                specs.setdefault(source, []).append(read)
        return {source: _united([{"x": read} for read in reads_])["x"] for source, reads_ in specs.items()}


class CompiledWorkflow:
    """A version of a workflow, ready to run; shared by all its runs. `root` is its own graph, which holds its maps'."""

    __slots__ = ("_entries", "root", "settings", "version", "workflow_id")

    def __init__(self, workflow_id: str, version: int, graph: Graph, settings: WorkflowSettings | None = None) -> None:
        """Compiles the graph, as `CompiledGraph` does."""
        self.root = CompiledGraph(graph)
        self.workflow_id, self.version, self.settings = workflow_id, version, settings or WorkflowSettings()
        self._entries: dict[tuple[str | None, str | None], str | None] = {}

    @classmethod
    def from_row(cls, row: JsonMapping) -> CompiledWorkflow:
        """The compiled workflow of a row of `workflow_versions`; a graph that cannot run raises `InvalidGraphError`."""
        graph, problems = parse_graph(row["nodes"], row["edges"])
        if graph is None:
            raise InvalidGraphError(problems=tuple(problems))
        # Invalid settings are refused when they are saved; versions from before that check may hold anything.
        return cls(row["workflow_id"], row["version"], graph, parse_settings(row.get("settings") or {})[0])

    def trigger_for(self, trigger: JsonObject) -> str | None:
        """As `shared.nodes.graph_shape.trigger_for`, remembered."""
        # Every run asks, and all runs of a version have one of few triggers.
        wanted = trigger.get("type"), trigger.get("node_id")
        if wanted not in self._entries:
            self._entries[wanted] = trigger_for(self.root.graph, trigger)
        return self._entries[wanted]


def _compile(node: Node) -> CompiledNode:
    try:
        type_ = node_type(node.type)
        parameters = {name: value for name, value in node.parameters.items() if name not in type_.verbatim}
        # Placeholders stand in for secrets and URLs from here on: no expression and no recorded fact contains one.
        places = tuple(references(parameters)) if type_.is_effect else ()
        parameters = masked(parameters) if places else parameters
        signals = tuple(dict.fromkeys(signal_names(parameters))) if type_.is_effect else ()
        parameters = signal_urls.masked(parameters) if signals else parameters
        template = compile_template(parameters)
    except (KeyError, TemplateError) as error:
        problem = Problem("/nodes", f"The node {node.id!r} cannot run: {error}.")
        raise InvalidGraphError(problem.message, problems=(problem,)) from error
    kind = type_.kind
    body = CompiledGraph(kind.body(node.parameters)) if isinstance(kind, Map) and not node.disabled else None
    secrets = [name for place in places for name in place.names]
    secrets += kind.secrets(node.parameters) if isinstance(kind, Effect) else ()
    is_filled = not isinstance(template, Literal) and not node.disabled
    evaluated = EvaluatedTemplate(parameters, reads(template)) if is_filled else None
    return CompiledNode(node, type_, parameters, evaluated, body, tuple(dict.fromkeys(secrets)), places, signals)


def _united(specs: list[JsonObject]) -> JsonObject:
    bindings: JsonObject = union_reads([{"bindings": spec} for spec in specs])["bindings"]
    return bindings
