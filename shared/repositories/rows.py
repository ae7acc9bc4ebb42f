"""What the repositories of read models share: keyset pages, and timestamps in the service's form.

What each row holds is in `row_types`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from shared.domain.timestamps import in_utc
from shared.json_types import JsonMapping, JsonObject

if TYPE_CHECKING:
    from postgrest import AsyncSelectRequestBuilder

Row = TypeVar("Row", bound=JsonMapping)


class Keyset(NamedTuple):
    """The last row of a page, in a list ordered by creation, newest first."""

    created_at: str
    id: str


def in_service_form(row: Row) -> Row:
    """The row with its timestamps (the columns that end in `_at`) in the service's form."""
    return cast("Row", {name: in_utc(value) if name.endswith("_at") else value for name, value in row.items()})


def columns(row: JsonMapping, names: Iterable[str]) -> JsonObject:
    """These columns of the row, in this order."""
    return {name: row[name] for name in names}


def page(
    query: AsyncSelectRequestBuilder, limit: int, before: Keyset | None, column: str = "created_at"
) -> AsyncSelectRequestBuilder:
    """The query for the `limit` newest rows, older than `before` where it is given. Stable while rows are added.

    The plain upper bound lets Postgres start within the index; with the `or` alone it would scan all newer rows.
    """
    if before is not None:
        query = query.lte(column, before.created_at).or_(
            f'{column}.lt."{before.created_at}",and({column}.eq."{before.created_at}",id.lt."{before.id}")'
        )
    return query.order(column, desc=True).order("id", desc=True).limit(limit)
