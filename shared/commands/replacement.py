"""The bodies of PUT requests: the response of a GET may be sent back whole, with the changes in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.command import Command, Moment, Uuid
from shared.errors import Problem
from shared.json_types import JsonMapping

SUGGESTION = "Leave it out, or send back what GET shows."
# Marks a field as read-only in OpenAPI: clients need not send it.
SHOWN = Field(json_schema_extra={"readOnly": True})


class Replacement(Command):
    """The read-only fields of every resource. Fields that change by themselves, such as `updated_at`, are ignored;
    `If-Match` says which state was meant."""

    id: Annotated[Uuid | None, SHOWN] = None
    created_at: Annotated[Moment | None, SHOWN] = None
    updated_at: Annotated[Moment | None, SHOWN] = None


def changed_problems(sent: Replacement, present: JsonMapping) -> list[Problem]:
    """A problem for each of these unchangeable fields that was sent with another value than the `present` one."""
    return [
        Problem(f"/{name}", f"It is {value} and cannot change.", SUGGESTION)
        for name, value in present.items()
        if getattr(sent, name) not in (None, value)
    ]
