"""Query parameters under /api/workflows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.http.parameters.common import PageQuery

Status = Literal["draft", "published", "archived"]


class ListWorkflows(PageQuery):
    """Which workflows."""

    status: Annotated[Status | None, Field(description="Unset: all but the archived ones.")] = None
    tag: Annotated[str | None, Field(min_length=1, max_length=100, description="One that the workflow has.")] = None
    q: Annotated[str | None, Field(min_length=1, max_length=200, description="A part of the name, in any case.")] = None
