"""One declaration per operation, for the router, authorisation, parsing and the OpenAPI document.

PUBLISH_WORKFLOW = Operation(
    id="publish_workflow",
    method="POST",
    path="/api/workflows/{id}/publish",
    summary="Publish the draft",
    tag="Workflows",
    role="editor",
    scope="workflows:write",
    answers={200: Answer("The published version", "publish:PublishedView")},
    errors=(InvalidGraphError, ConflictError),
)

Models are named, as `module:class`, and imported on use: a cold start imports those of the one operation that was
requested, and never the views, which only the document needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.domain.actor import Role, Scope
from shared.errors import WorkflowEngineError
from shared.json_types import JsonMapping

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shared.commands.command import Command
    from shared.http.parameters.common import Query

Method = Literal["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]


class Answer(NamedTuple):
    """An operation's response with one status.

    `model` is one of `shared.http.views`; unset: no body. `headers` maps the names of headers that are always sent to
    their descriptions. With a `content_type` other than JSON the body is text.
    """

    description: str
    model: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    content_type: str = "application/json"

    @property
    def view(self) -> type[BaseModel] | None:
        """The model of the body."""
        model: type[BaseModel] | None = resolve_name(f"shared.http.views.{self.model}") if self.model else None
        return model


class RequestHeader(NamedTuple):
    """A request header that the operation reads; it is never required."""

    name: str
    description: str
    schema: JsonMapping = MappingProxyType({"type": "string"})


class Operation(NamedTuple):
    """An HTTP operation. `id` is the stem of its command or query in every layer.

    `role` unset: open to everyone. `{id}` and every other path parameter that ends in `_id` is a UUID, `{version}` a
    whole number, anything else text. `body` is one of `shared.commands`, unset where none is read; `query` is one of
    `shared.http.parameters`, unset where no parameter is known. `raw_body` describes a body that is taken as it
    is. `errors` are those beyond what every operation can return (400, 401, 403, 404 with a path parameter, 413 with a
    body, 500, 503).
    """

    id: str
    method: Method
    path: str
    summary: str
    tag: str
    role: Role | None
    answers: Mapping[int, Answer]
    scope: Scope | None = None
    description: str = ""
    body: str = ""
    raw_body: str = ""
    query: str = ""
    headers: tuple[RequestHeader, ...] = ()
    errors: tuple[type[WorkflowEngineError], ...] = ()
    path_descriptions: Mapping[str, str] = MappingProxyType({})

    @property
    def command(self) -> type[Command] | None:
        """The model of the body."""
        model: type[Command] | None = resolve_name(f"shared.commands.{self.body}") if self.body else None
        return model

    @property
    def parameters(self) -> type[Query] | None:
        """The model of the query string."""
        model: type[Query] | None = resolve_name(f"shared.http.parameters.{self.query}") if self.query else None
        return model

    def load(self) -> None:
        """Imports the models that a request needs."""
        _ = self.command, self.parameters

    @property
    def path_parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return re.findall(r"{(\w+)\+?}", self.path)


def is_uuid_parameter(name: str) -> bool:
    """Whether a path parameter of this name holds a UUID."""
    return name == "id" or name.endswith("_id")
