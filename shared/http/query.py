"""Query strings into models: known names only, each once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shared.errors import InvalidRequestError, Problem
from shared.http.validation import Model, validated

MAX_LIMIT = 100
DEFAULT_LIMIT = 50


class Query(BaseModel):
    """An operation's query parameters; this one has none. Unknown names are refused, so that a typo is no filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


def parse_query(event: Mapping[str, Any], model: type[Model]) -> Model:
    """The model in the query string; unknown, repeated and malformed parameters are an `InvalidRequestError`."""
    # The raw string: in queryStringParameters a repeated name cannot be told from a comma.
    pairs = parse_qsl(str(event.get("rawQueryString") or ""), keep_blank_values=True, max_num_fields=None)
    parameters = dict(pairs)
    for name, value in parameters.items():
        if "\x00" in name + value or "\ufffd" in name + value:
            _refuse(name, "The text has a NUL character or is not UTF-8.")
    if len(parameters) < len(pairs):
        names = [name for name, _ in pairs]
        _refuse(next(name for name in names if names.count(name) > 1), "This parameter was given more than once.")
    return validated(parameters, model, "The query string", "parameter")


def _refuse(name: str, message: str) -> None:
    name = name.replace("\x00", "").replace("~", "~0").replace("/", "~1")
    raise InvalidRequestError("The query string is not valid.", problems=(Problem(f"/{name}", message),))
