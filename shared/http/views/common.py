"""What the shapes of responses share. They document responses, which are not validated against them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from shared.json_types import JsonObject

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Object = JsonObject


class View(BaseModel):
    """The shape of an answer: these fields and no others; those with a default may be missing."""

    model_config = ConfigDict(extra="forbid")


def may_be_missing(description: str | None = None) -> Any:
    """The default of a field that an answer may leave out; the schema shows none."""
    return Field(default_factory=lambda: None, description=description)


class ProblemItem(View):
    """One problem."""

    pointer: Annotated[str, Field(description="JSON pointer (RFC 6901) to the place; empty for the whole.")]
    message: str
    hint: Annotated[str, Field(description="How to fix it.")] = ""


class ProblemView(View):
    """A problem (RFC 9457)."""

    type: Annotated[str, Field(description="Where the code is explained.")]
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable and machine-readable.")]
    errors: Annotated[list[ProblemItem], Field(description="All problems.")] = []


class GatewayMessage(BaseModel):
    """API Gateway's own response: without credentials (401), with wrong ones (403), for unknown routes (404)."""

    message: str


class NodeView(View):
    """A node in this service's shape; unset fields are left out."""

    id: str
    type: str
    parameters: Object = {}
    name: str = ""
    position: Object = {}
    retry: list[Object] = []
    timeout_seconds: float = 0
    on_error: Literal["fail", "continue", "route"] = "fail"
    delivery: Literal["at_least_once", "at_most_once"] = "at_least_once"
    join: object = "any"
    disabled: bool = False
    notes: str = ""


class EdgeView(View):
    """An edge in this service's shape."""

    id: str
    source: str
    target: str
    source_handle: str
