"""Filters: `column=operator.value` and the logic trees `or=(…)`, `and=(…)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from local.gateway.fields import Field, ScanError, Scanner

# https://docs.postgrest.org/en/v14/references/api/tables_views.html#operators
OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "is distinct from",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
TEXT_SEARCH = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
STATES = ("null", "not_null", "true", "false", "unknown")
_QUANTIFIABLE = {"eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch"}
_OPERATION = re.compile(r"(not\.)?([a-z]+)(?:\((\w+)\))?\.")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. `option` is `any` or `all`, or a text search's language. `in` has a list as its value."""

    field: Field
    negated: bool
    operator: str
    option: str | None
    value: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Filters joined by `and` or `or`."""

    negated: bool
    joint: str
    members: tuple[Filter, ...]


Filter: TypeAlias = Condition | Group


def is_operation(text: str) -> bool:
    """Whether the value of a parameter is a filter and not a function's argument."""
    try:
        condition(Scanner("x"), text)
    except ScanError:
        return False
    return True


def condition(key: Scanner, text: str) -> Condition:
    """The filter of a query parameter `key=text`. Raises `ScanError`."""
    field = key.field()
    if not key.done:
        raise ScanError(f"unexpected {key.text[key.at :]!r}")
    scanner = Scanner(text)
    negated, operator, option = _operation(scanner)
    if operator == "in":
        value: str | tuple[str, ...] = _list(scanner)
        if not scanner.done:
            raise ScanError("unexpected text after the list")
    else:
        value = _checked(operator, text[scanner.at :])
    return Condition(field, negated, operator, option, value)


def group(joint: str, text: str, *, negated: bool) -> Group:
    """The logic tree of a parameter such as `or=(a.eq.1,b.eq.2)`. Raises `ScanError`."""
    scanner = Scanner(text)
    scanner.spaces()
    tree = Group(negated, joint, _members(scanner))
    if not scanner.done:
        raise ScanError(f"unexpected {text[scanner.at :]!r}")
    return tree


def _members(scanner: Scanner) -> tuple[Filter, ...]:
    scanner.expect("(")
    members = [_member(scanner)]
    while scanner.take(","):
        members.append(_member(scanner))
    scanner.expect(")")
    scanner.spaces()
    return tuple(members)


_JOINT = re.compile(r"\s*(not\.)?(and|or)\s*(?=\()")


def _member(scanner: Scanner) -> Filter:
    joint = scanner.match(_JOINT)
    if joint is not None:
        return Group(joint[1] is not None, joint[2], _members(scanner))
    field = scanner.field()
    scanner.expect(".")
    negated, operator, option = _operation(scanner)
    value = _list(scanner) if operator == "in" else _checked(operator, scanner.value())
    scanner.spaces()
    return Condition(field, negated, operator, option, value)


def _operation(scanner: Scanner) -> tuple[bool, str, str | None]:
    match = scanner.match(_OPERATION)
    if match is None:
        raise ScanError("expected an operator")
    negated, operator, option = match[1] is not None, match[2], match[3]
    quantified = operator in _QUANTIFIABLE and option in ("any", "all")
    if operator not in OPERATORS and operator not in TEXT_SEARCH and operator not in ("in", "is"):
        raise ScanError(f"unknown operator {operator!r}")
    if option is not None and not quantified and operator not in TEXT_SEARCH:
        raise ScanError(f"{operator!r} takes no {option!r}")
    return negated, operator, option


def _checked(operator: str, value: str) -> str:
    if operator != "is":
        return value
    state = value.strip().lower()
    if state not in STATES:
        raise ScanError("expected null, not_null, true, false or unknown")
    return state


def _list(scanner: Scanner) -> tuple[str, ...]:
    scanner.expect("(")
    scanner.spaces()
    elements = [scanner.element()]
    while scanner.take(","):
        elements.append(scanner.element())
    scanner.expect(")")
    scanner.spaces()
    return () if elements == [""] else tuple(elements)
