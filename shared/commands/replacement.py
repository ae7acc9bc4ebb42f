"""What takes the place of a resource: the answer of a GET may be sent back whole, with the changes in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.command import Command, Moment, Uuid
from shared.errors import Problem
from shared.json_types import JsonMapping

HINT = "Leave it out, or send back what GET shows."
# Of a field that is only shown: OpenAPI's word for what a client need not send.
SHOWN = Field(json_schema_extra={"readOnly": True})


class Replacement(Command):
    """What GET shows of every resource besides what can be replaced. What changes by itself, such as `updated_at`, is
    not looked at; `If-Match` says which state was meant."""

    id: Annotated[Uuid | None, SHOWN] = None
    created_at: Annotated[Moment | None, SHOWN] = None
    updated_at: Annotated[Moment | None, SHOWN] = None


def changed_problems(sent: Replacement, present: JsonMapping) -> list[Problem]:
    """What was sent of these fields, which cannot change, with another value than the `present` one."""
    return [
        Problem(f"/{name}", f"It is {value} and cannot change.", HINT)
        for name, value in present.items()
        if getattr(sent, name) not in (None, value)
    ]
