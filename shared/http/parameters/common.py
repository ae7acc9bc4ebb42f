"""What query strings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_LIMIT = 100
DEFAULT_LIMIT = 50


class Query(BaseModel):
    """An operation's query parameters; this one has none. Unknown names are refused, so that a typo is no filter."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _digits(text: object) -> object:
    # Python reads "1_0", "+1" and other scripts' digits as numbers.
    if isinstance(text, str) and not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise ValueError("This is not a whole number.")
    return text


WholeNumber = Annotated[int, BeforeValidator(_digits)]
# The largest position that the database can hold.
Position = Annotated[int, BeforeValidator(_digits), Field(ge=0, le=9_223_372_036_854_775_807)]


class PageQuery(Query):
    """`?limit=` and `?cursor=`, which every list takes."""

    limit: Annotated[WholeNumber, Field(ge=1, le=MAX_LIMIT, description="How many items at most.")] = DEFAULT_LIMIT
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=500, description="`next_cursor` of the page before.")
    ] = None
