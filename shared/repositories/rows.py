"""What the repositories of read models share: keyset pages, and timestamps in the service's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.domain.timestamps import in_utc
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from postgrest import AsyncSelectRequestBuilder

Row = JsonObject
Rows = list[Row]  # the repositories have methods named `list`, which hide the builtin inside their classes


class Keyset(NamedTuple):
    """A place in a list that is ordered by creation, newest first: the last row that was seen."""

    created_at: str
    id: str


def in_service_form(row: Row) -> Row:
    """The row with its timestamps (the columns that end in `_at`) in the service's form."""
    return {name: in_utc(value) if name.endswith("_at") else value for name, value in row.items()}


def page(
    query: AsyncSelectRequestBuilder, limit: int, before: Keyset | None, column: str = "created_at"
) -> AsyncSelectRequestBuilder:
    """The query for the `limit` newest rows, older than `before` where it is given. Stable while rows are added.

    Postgres begins in the index where a plain bound says so; of the alternatives alone it would make a filter, and
    walk over all that is newer.
    """
    if before is not None:
        query = query.lte(column, before.created_at).or_(
            f'{column}.lt."{before.created_at}",and({column}.eq."{before.created_at}",id.lt."{before.id}")'
        )
    return query.order(column, desc=True).order("id", desc=True).limit(limit)
