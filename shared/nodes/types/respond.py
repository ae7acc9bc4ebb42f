"""Replies to the client that waits for the run: a webhook with `config.response: wait`, or `Prefer: wait` at execute.

The reply is sent once this node's result is durable, while the run goes on. The first node that responds gives the
reply; where no client waits, it is only recorded. The output is `{status, headers, body}`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from shared.domain.response import FORBIDDEN_HEADERS
from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure
from shared.nodes.node_type import NodeType, is_drawn

CONTENT_TYPE = "content-type"
MAX_HEADERS = 50
_BODILESS = frozenset({204, 205, 304})


def _headers(headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > 100:
            raise ValueError(f"{name!r} is no header name")
        # Headers that frame the message, or act on the server's own origin, are not a workflow's to set.
        if name.lower() in FORBIDDEN_HEADERS - {CONTENT_TYPE}:
            raise ValueError(f"the header {name} is not the workflow's to set")
        if not is_drawn(value, info) and not (value.isascii() and value.isprintable()):
            raise ValueError(f"the header {name} must be one line of ASCII")
    return {name.lower(): value for name, value in headers.items()}


class Respond(Parameters):
    """`body` is a text, sent as it is, or other JSON; unset, the reply has none. `Content-Type` may be among the
    `headers`; those of the connection, cookies and `Location` may not."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    headers: Annotated[dict[str, str], Field(max_length=MAX_HEADERS), AfterValidator(_headers)] = Field(
        default_factory=dict
    )
    body: object = None

    @model_validator(mode="after")
    def _no_body_where_none_can_be(self) -> Respond:
        if self.status in _BODILESS and self.body is not None:
            raise ValueError(f"an answer with the status {self.status} has no body")
        return self


def _compute(parameters: Respond, _inputs: NodeInputs) -> Completed:
    answer = {"status": parameters.status, "headers": parameters.headers, "body": parameters.body}
    return Completed(answer, responds=True)


NODE = NodeType("respond", "Respond", Respond, Pure(_compute))
