"""Waits, then passes its input on. A waiting run is a row in the database and nothing else: no process, no timer."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from shared.domain.timestamps import MAX_DURATION_SECONDS, unix_seconds
from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure, Wait
from shared.nodes.node_type import NodeType


def _moment(text: str) -> str:
    try:
        unix_seconds(text)
    except ValueError:
        raise ValueError("this is not an RFC 3339 time with an offset, like 2026-01-31T12:00:00Z") from None
    return text


class Delay(Parameters):
    """Either `seconds`, at most 366 days, or `until`, an RFC 3339 time; one that has passed is not waited for."""

    seconds: Annotated[float, Field(ge=0, le=MAX_DURATION_SECONDS)] | None = None
    until: Annotated[str, AfterValidator(_moment)] | None = None

    @model_validator(mode="after")
    def _either(self) -> Delay:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("a delay has either seconds or until")
        return self


def _wait(parameters: Delay, now: float) -> Wait:
    return Wait(unix_seconds(parameters.until) if parameters.until is not None else now + (parameters.seconds or 0))


def _compute(_parameters: Delay, inputs: NodeInputs) -> Completed:
    return Completed(output_of=inputs.sources)


NODE = NodeType("delay", "Delay", Delay, Pure(_compute, _wait))
