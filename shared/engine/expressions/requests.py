"""The records of an evaluation: its template, the data of the run that it reads, and the request that waits for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.engine.expressions.evaluator_process import EvaluationError
from shared.json_types import JsonMapping, JsonObject

_template_numbers = itertools.count(1)
_run_numbers = itertools.count(1)


@dataclass(slots=True)
class EvaluatedTemplate:
    """A node's parameters with expressions, and the generation of the child that has them."""

    parameters: JsonObject
    reads: JsonMapping
    number: int = field(default_factory=lambda: next(_template_numbers))
    generation: int = -1


@dataclass(slots=True)
class RunData:
    """Which of one run's data, or one item's, has been sent to a child: names of the scope, and nodes with an output.
    `generation` is that child's."""

    number: int = field(default_factory=lambda: next(_run_numbers))
    generation: int = -1
    names: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)

    def missing(self, generation: int, names: Sequence[str], nodes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Those of the names and nodes that the child of this generation lacks; they count as sent from now on."""
        if self.generation != generation:
            self.generation = generation
            self.names.clear()
            self.nodes.clear()
        lacking = [name for name in names if name not in self.names]
        outputs = [node_id for node_id in nodes if node_id not in self.nodes]
        self.names.update(lacking)
        self.nodes.update(outputs)
        return lacking, outputs

    def lost(self) -> None:
        """All of it is to be sent again: a frame with some of it may not have arrived."""
        self.generation = -1


@dataclass(slots=True)
class Filled:
    """A node's resolved parameters, and the pointers of expressions whose result was undefined."""

    parameters: JsonObject
    undefined: list[str]


@dataclass(slots=True)
class Level:
    """What a template reads of one graph that is being run: names of the scope, and nodes with an output.

    `scope` and `output` give them by name and by node, cut to what is read. `seen` are those of the nodes that `$nodes`
    holds; the others are its input's.
    """

    data: RunData
    names: Sequence[str]
    nodes: Sequence[str]
    scope: Callable[[str], object]
    output: Callable[[str], object]
    seen: Sequence[str] = ()


@dataclass(slots=True)
class Request:
    """One template to fill, with what its own level holds and, within a map, those around it outwards.

    `sources` are the nodes of its own level that are its input; unset, the item is. `tenant_id` is whose turn it takes,
    and `size_bytes` bounds the data that it may have to send.
    """

    template: EvaluatedTemplate
    level: Level
    sources: Sequence[str] | None
    now_milliseconds: int
    seed: int
    outer: Sequence[Level] = ()
    tenant_id: str = ""
    size_bytes: int = 0

    def lost(self) -> None:
        """The data that was to be sent with this request did not arrive."""
        self.template.generation = -1
        for level in (self.level, *self.outer):
            level.data.lost()


@dataclass(slots=True)
class Waiting:
    """A request that waits for its answer, `since` when by the loop's clock, and how many children died over it."""

    request: Request
    future: asyncio.Future[Filled]
    since: float
    deaths: int = 0

    def fail(self, message: str, code: str = "limit") -> None:
        """Fails the request with this `EvaluationError`, unless it is answered."""
        if not self.future.done():
            self.future.set_exception(EvaluationError("", message, code))
