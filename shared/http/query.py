"""Query strings into models: known names only, each once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from shared.errors import InvalidRequestError, Problem
from shared.http.validation import Model, validated


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
