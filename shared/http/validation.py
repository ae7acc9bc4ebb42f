"""Validates untrusted data into a pydantic model, and reports all problems at once, with pointers and suggestions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from shared.domain.json.values import pointer_of
from shared.errors import MAX_PROBLEMS, InvalidRequestError, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound="BaseModel")


def validated(data: object, model: type[Model], what: str, kind: str = "field") -> Model:
    """The model's instance from `data`; raises `InvalidRequestError`. In messages, `what` names the data and `kind` one
    of its members."""
    from pydantic import ValidationError

    try:
        return model.model_validate(data)
    except ValidationError as error:
        # Each once: of a union, pydantic reports every member that does not fit, often in the same words.
        problems = {_problem(detail, data, model, kind): None for detail in error.errors(include_url=False)}
        raise InvalidRequestError(f"{what} is not valid.", problems=tuple(problems)[:MAX_PROBLEMS]) from None


def unknown(name: str, pointer: str, known: list[str], kind: str) -> Problem:
    """The problem of an unknown member."""
    return Problem(pointer, f"There is no {kind} named {name[:80]!r}.", _suggestion(name[:80], known, kind))


def _suggestion(name: str, known: list[str], kind: str) -> str | None:
    """The known name that was probably meant, or all of them; `None` where there are none."""
    from shared.domain.name_suggestion import nearest_name  # only a refused request needs it

    nearest = nearest_name(name, known)
    if nearest is not None:
        return f"Did you mean {nearest!r}?"
    return f"Known {kind}s: {', '.join(known)}." if known else None


def _problem(detail: ErrorDetails, data: object, model: type[BaseModel], kind: str) -> Problem:
    pointer = pointer_of(*_path(detail["loc"], data, detail["type"]))
    match detail["type"]:
        case "missing":
            return Problem(pointer, f"This {kind} is required.")
        case "extra_forbidden":
            name = str(detail["loc"][-1])
            known = list(model.model_fields) if len(detail["loc"]) == 1 else []
            return unknown(name, pointer, known, kind)
        case "value_error":
            return Problem(pointer, detail["msg"].removeprefix("Value error, "))
        case "too_short" if isinstance(detail["input"], str):  # a secret: its type has no word for texts
            return Problem(pointer, f"It must have at least {detail['ctx']['min_length']} character(s).")
        case "too_long" if isinstance(detail["input"], str):
            return Problem(pointer, f"It may have at most {detail['ctx']['max_length']} characters.")
    return Problem(pointer, f"{detail['msg']}.")


def _path(location: tuple[int | str, ...], data: Any, error_type: str) -> list[int | str]:
    """The error's path in the data, without the names of union members that pydantic adds."""
    path: list[int | str] = []
    for part in location:
        if _leads_on(data, part):
            data = data[part]
        elif not (error_type == "missing" and part == location[-1]):
            continue
        path.append(part)
    return path


def _leads_on(data: object, part: int | str) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)
