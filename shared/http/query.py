"""Parses query strings into models: known names only, each once."""

from __future__ import annotations

from urllib.parse import parse_qsl

from shared.domain.json.values import first_repeated, pointer_of
from shared.errors import MAX_PROBLEMS, InvalidRequestError, Problem
from shared.http.validation import Model, unknown, validated
from shared.json_types import JsonMapping

WHAT = "The query string"


def parse_query(event: JsonMapping, model: type[Model] | None) -> Model | None:
    """The model in the query string, `None` without a model; unknown, repeated and malformed parameters raise
    `InvalidRequestError`."""
    # The raw string: queryStringParameters joins repeated names with a comma.
    pairs = parse_qsl(str(event.get("rawQueryString") or ""), keep_blank_values=True, max_num_fields=None)
    parameters = dict(pairs)
    for name, value in parameters.items():
        # `parse_qsl` decodes what is not UTF-8 to U+FFFD.
        if "\x00" in name + value or "\ufffd" in name + value:
            raise _refusal(Problem(_pointer(name), "The text has a NUL character or is not UTF-8."))
    if len(parameters) < len(pairs):
        twice = first_repeated(name for name, _ in pairs)
        raise _refusal(Problem(_pointer(twice), "This parameter was given more than once."))
    if model is not None:
        return validated(parameters, model, WHAT, "parameter")
    if parameters:
        raise _refusal(*(unknown(name, _pointer(name), [], "parameter") for name in [*parameters][:MAX_PROBLEMS]))
    return None


def _refusal(*problems: Problem) -> InvalidRequestError:
    return InvalidRequestError(f"{WHAT} is not valid.", problems=problems)


def _pointer(name: str) -> str:
    return pointer_of(name.replace("\x00", ""))
