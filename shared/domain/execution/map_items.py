"""The items of one map in a run: what they are, what has become of them, and which are under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.json_types import JsonObject

# How many failed items a run's view names; each is an event of its own.
SHOWN_ERRORS = 20


@dataclass(slots=True)
class MapItems:
    """`values` are the items in order; `outputs` and `errors` are those that ended, by index.

    `under_way` has, for each item that anything has happened to and that has not ended, the paths of its nodes. They
    are forgotten when the item ends, so that the state of a run stays as small as what is going on in it. `value_bytes`
    is what one item takes on average, and `output_bytes` what all outputs do.
    """

    values: Sequence[object]
    outputs: dict[int, object] = field(default_factory=dict)
    errors: dict[int, JsonObject] = field(default_factory=dict)
    under_way: dict[int, list[str]] = field(default_factory=dict)
    value_bytes: int = 0
    output_bytes: int = 0

    def output(self) -> list[object]:
        """What the map yields: each item's output in the items' order, null for one that failed or never ran."""
        return [self.outputs.get(index) for index in range(len(self.values))]

    def view(self) -> JsonObject:
        """The items as the API counts them, with the first errors by index."""
        counts: JsonObject = {
            "total": len(self.values),
            "succeeded": len(self.outputs),
            "failed": len(self.errors),
            "running": len(self.under_way),
        }
        if self.errors:
            shown = sorted(self.errors)[:SHOWN_ERRORS]
            counts["errors"] = [{"index": index, **self.errors[index]} for index in shown]
        return counts
