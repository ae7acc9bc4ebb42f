"""The items of one map in a run: their values, outcomes, and which are in progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.json_types import JsonObject

# How many failed items a run's view lists; each has an event of its own.
SHOWN_ERRORS = 20


@dataclass(slots=True)
class MapItems:
    """`values` are the items in order; `outputs` and `errors` are the outcomes of ended items, by index.

    `in_progress` has, for each item in progress, the paths of its nodes. They are dropped when the item ends, so that a
    run's state is only as large as what is in progress. `value_bytes` is the average size of an item, `output_bytes`
    the size of all outputs, as JSON.
    """

    values: Sequence[object]
    outputs: dict[int, object] = field(default_factory=dict)
    errors: dict[int, JsonObject] = field(default_factory=dict)
    in_progress: dict[int, list[str]] = field(default_factory=dict)
    value_bytes: int = 0
    output_bytes: int = 0

    def output(self) -> list[object]:
        """The map's output: each item's output in the items' order, null for one that failed or never ran."""
        return [self.outputs.get(index) for index in range(len(self.values))]

    def view(self) -> JsonObject:
        """The items as the API counts them, with the first errors by index."""
        counts: JsonObject = {
            "total": len(self.values),
            "succeeded": len(self.outputs),
            "failed": len(self.errors),
            "running": len(self.in_progress),
        }
        if self.errors:
            shown = sorted(self.errors)[:SHOWN_ERRORS]
            counts["errors"] = [{"index": index, **self.errors[index]} for index in shown]
        return counts
