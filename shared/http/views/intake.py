"""The shapes of answers under /webhooks: where providers deliver."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from shared.http.views.common import Id, View


class AcceptedView(View):
    """The delivery is queued and will run."""

    execution_id: Annotated[Id, Field(description="The id that the run will have.")]
    delivery_id: Id
    duplicate: bool
    held: Annotated[bool, Field(description="True where the webhook is `holding`: it runs when that is over.")] = False
    url: Annotated[str, Field(description="With `response: wait`: where the run can be watched.")] = ""


class AnsweredView(BaseModel):
    """A duplicate (`execution_id` is the first delivery's), a filtered delivery, or the reply to a handshake."""

    execution_id: Id = ""
    delivery_id: Id = ""
    duplicate: bool = False
    filtered: bool = False
    held: bool = False
