"""Start a new run from a node of another one, keeping the outcomes of the nodes before it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, StrictInt

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.executions.loading import known_run
from shared.commands.executions.new_run import NewRun
from shared.commands.executions.workflow_version import chosen_version, pinned_version, version_graph, version_settings
from shared.commands.new_events import new_events, now
from shared.commands.workflows.loading import load
from shared.domain.actor import Actor
from shared.domain.execution.fork import kept_events, kept_nodes
from shared.domain.execution.state import ExecutionState
from shared.domain.name_suggestion import did_you_mean
from shared.domain.workflow.graph import Graph
from shared.errors import Problem, UnprocessableError
from shared.events.envelope import NewEvent, RecordedEvent
from shared.events.execution import ExecutionQueued, ExecutionStarted
from shared.events.node import NodeSucceeded
from shared.ids import new_id
from shared.nodes.registry import node_type


class ForkExecution(Command):
    """Where the new run starts, on which version, and with which output."""

    from_node: str = Field(
        min_length=1, max_length=100, description="The node that is run again, with all nodes after it."
    )
    version: Literal["published", "draft"] | StrictInt | None = Field(
        None, description="The published version, the draft, or a version's number; unset, the run's own."
    )
    output: object = Field(None, description="The output of `from_node`, which then is not run: any JSON, null too.")

    @property
    def has_output(self) -> bool:
        """Whether an output was given."""
        return "output" in self.model_fields_set


async def fork_execution(
    services: Services, actor: Actor, execution_id: str, command: ForkExecution, idempotency_key: str | None = None
) -> str:
    """The id of the new run, or of the one that was started under this key before.

    Nodes that do not follow `from_node` keep their outcome; the others run. Raises `NotFoundError`,
    `NotPublishedError` for an archived workflow, `InvalidGraphError` for an invalid draft, `IdempotencyConflictError`,
    and `UnprocessableError` with a pointer to what is not possible.
    """
    asked = [command.from_node, command.version, [command.output] if command.has_output else None]
    run = NewRun.asked(actor, "fork", execution_id, asked, idempotency_key)
    # Before the version is chosen and the node is looked for: what has changed since must not refuse a repetition.
    if await run.has_begun(services, actor):
        return run.execution_id
    events = await services.events.read_all(actor.tenant_id, execution_id)
    state = await known_run(services, actor, execution_id, events)
    if state.workflow_version is None or state.trigger_node_id is None:
        raise UnprocessableError("The execution has not started, so that there is nothing to fork; replay it instead.")
    workflow = await load(services, actor, state.workflow_id)
    version = await chosen_version(services, workflow, command.version or state.workflow_version)
    # What is kept is decided on the chosen version's graph, and checked against the original's.
    graph = before = version_graph(version)
    if version["version"] != state.workflow_version:
        before = version_graph(await pinned_version(services, actor.tenant_id, workflow.id, state.workflow_version))
    kept_ids = kept_nodes(graph, state, command.from_node) if command.from_node in graph.nodes else set()
    problems = [
        *_node_problems(graph, state, command),
        *_changed_problems(graph, before, {*kept_ids, state.trigger_node_id}),
    ]
    if problems:
        raise UnprocessableError("The execution cannot be forked so.", problems=tuple(problems))
    copies = list(kept_events(state, events, kept_ids))
    # Large payloads of the copied events are in the store already, under their hashes.
    stored = frozenset(copy.payload_sha256 for copy in copies if copy.payload_sha256 is not None)
    # The fork begins as a started run: its timeout counts from now, not from the original's start.
    deadline = version_settings(version).deadline(time.time())
    started = ExecutionStarted(version["version"], state.trigger_node_id, deadline)
    first = _first_events(actor, state, started, copies, command)
    await run.begin(services, actor, first, stored_payloads=stored)
    return run.execution_id


def _first_events(
    actor: Actor,
    state: ExecutionState,
    started: ExecutionStarted,
    copies: Sequence[RecordedEvent],
    command: ForkExecution,
) -> list[NewEvent]:
    """The run's first events: queued, started, the ends of kept nodes, and the end of a node with a given output."""
    happened_at = now()
    queued = ExecutionQueued(state.workflow_id, started.workflow_version, state.trigger, forked_from=state.id)
    first_events = list(new_events(actor, happened_at, queued, started))
    for copy in copies:
        origin = {"execution_id": copy.stream_id, "sequence_number": copy.sequence_number}
        metadata = {**copy.metadata, "copied_from": origin}
        first_events.append(NewEvent(new_id(), copy.event_type, copy.timestamp, copy.payload, metadata))
    if command.has_output:
        fact = NodeSucceeded(command.from_node, 1, command.output, ["out"], int(time.time() * 1000), [])
        (event,) = new_events(actor, happened_at, fact)
        first_events.append(replace(event, metadata={**event.metadata, "given": True}))
    return first_events


def _node_problems(graph: Graph, state: ExecutionState, command: ForkExecution) -> Iterable[Problem]:
    """The problems of the node to fork from, and of the output given for it."""
    name = command.from_node
    if name not in graph.nodes:
        suggestion = did_you_mean(name, graph.nodes)
        if "[" in name:
            suggestion = "A run is forked from a node of its own, such as the map that this one is in."
        yield Problem("/from_node", f"There is no node {name!r} in this version.", suggestion)
        return
    node = graph.nodes[name]
    kind = node_type(node.type)
    if kind.is_trigger and name != state.trigger_node_id:
        yield Problem(
            "/from_node", f"The execution was not started by {name!r}.", f"It was by {state.trigger_node_id!r}."
        )
    elif command.has_output and kind.is_trigger:
        yield Problem("/output", "A trigger's output is what started the run.", "Replay the run with another input.")
    elif command.has_output and not node.disabled and "out" not in kind.handles(node.parameters):
        message = f"A node of the type {node.type} chooses where the run goes on, which an output does not say."
        yield Problem("/output", message, "Give the output of the node before it, or of the one after it.")


def _changed_problems(graph: Graph, before: Graph, kept_ids: Iterable[str]) -> Iterable[Problem]:
    """A problem for each node that would keep its outcome, but is missing or of another type in the chosen version."""
    for name in kept_ids:
        original, chosen = before.nodes.get(name), graph.nodes.get(name)
        if chosen is None:
            yield Problem("/version", f"The version has no node {name!r}, which started the run.")
        elif original is not None and original.type != chosen.type:
            message = (
                f"The node {name!r} was of the type {original.type} and is of the type {chosen.type} in this version."
            )
            yield Problem("/version", message, "Fork from it, or from a node before it.")
