"""A node's parameters as a template: JSON whose texts may have expressions, evaluated for one run.

A text that is one whole expression takes the expression's value and type; expressions within a text become text, as by
JSONata's `&`; all else is literal. Where a whole expression leads nowhere, its key (or its place in a list) is left out
and its pointer is reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from jlens import union_reads

from shared.domain.expressions.expressions import (
    SCOPE,
    UNDEFINED,
    Compiled,
    ExpressionError,
    Source,
    compile_expression,
    evaluate,
    is_whole,
    split,
)
from shared.domain.json.values import pointer_of
from shared.json_types import JsonMapping


class TemplateError(Exception):
    """An expression of a template failed: `pointer` says which, `code` is JSONata's."""

    def __init__(self, pointer: str, error: ExpressionError) -> None:
        self.pointer, self.message, self.code = pointer, error.message, error.code
        super().__init__(f"{pointer}: {error.message}")


@dataclass(frozen=True, slots=True)
class Literal:
    """JSON without any expression."""

    value: object


@dataclass(frozen=True, slots=True)
class Whole:
    """A text that is one expression."""

    pointer: str
    compiled: Compiled


@dataclass(frozen=True, slots=True)
class Text:
    """A text with expressions in it."""

    pointer: str
    parts: tuple[str | Compiled, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An object with an expression somewhere in it."""

    items: tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class List:
    """A list with an expression somewhere in it."""

    items: tuple[Template, ...]


Template = Literal | Whole | Text | Object | List


def texts(value: object, *path: str | int) -> Iterator[tuple[str, str]]:
    """(pointer, text) of every text in the JSON that may have an expression."""
    if isinstance(value, str):
        if "{%" in value or "{{" in value:
            yield pointer_of(*path), value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, *path, name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, *path, index)


def compile_template(value: object, *path: str | int) -> Template:
    """The template of a JSON value; an expression that does not compile raises `TemplateError`."""
    if isinstance(value, str) and "{%" in value:
        return _text(value, pointer_of(*path))
    if isinstance(value, dict):
        items = tuple((name, compile_template(item, *path, name)) for name, item in value.items())
        return Literal(value) if all(isinstance(item, Literal) for _, item in items) else Object(items)
    if isinstance(value, list):
        members = tuple(compile_template(item, *path, index) for index, item in enumerate(value))
        return Literal(value) if all(isinstance(item, Literal) for item in members) else List(members)
    return Literal(value)


def expressions(template: Template) -> Iterator[Compiled]:
    """Every expression of the template."""
    if isinstance(template, Whole):
        yield template.compiled
    elif isinstance(template, Text):
        yield from (part for part in template.parts if isinstance(part, Compiled))
    elif isinstance(template, Object):
        for _, item in template.items:
            yield from expressions(item)
    elif isinstance(template, List):
        for item in template.items:
            yield from expressions(item)


def reads(template: Template) -> JsonMapping:
    """What the template reads of its scope: per name, `True` for all of it or a tree of fields."""
    united = union_reads([{"bindings": dict(compiled.reads)} for compiled in expressions(template)])
    bindings: JsonMapping = united["bindings"]
    return {name: bindings[name] for name in SCOPE if name in bindings}


def cut(value: object, read: bool | JsonMapping) -> object:
    """The part of a value that is read: an expression has the same result over it as over the whole value."""
    if read is True:
        return value
    if isinstance(value, dict):
        return {name: cut(value[name], inner) for name, inner in read.items() if name in value} if read else {}
    if isinstance(value, list):
        return [cut(item, read) for item in value] if read else [_emptied(item) for item in value]
    return value


def _emptied(value: object) -> object:
    """A value of which only the presence, or the length of lists, is read."""
    if isinstance(value, list):
        # Scalars and empty lists are taken as they are, without a call: there may be millions of them.
        return [
            item if (kind := type(item)) is not dict and (kind is not list or not item) else _emptied(item)
            for item in value
        ]
    return {} if isinstance(value, dict) else value


def fill(template: Template, scope: JsonMapping, now_milliseconds: int, seed: int, undefined: list[str]) -> object:
    """The template's value in a scope, or `UNDEFINED`; adds the pointers of expressions that lead nowhere to
    `undefined`. An expression that fails raises `TemplateError`.
    """
    if isinstance(template, Literal):
        return template.value
    if isinstance(template, Whole):
        value = _evaluate(template.pointer, template.compiled, scope, now_milliseconds, seed)
        if value is UNDEFINED:
            undefined.append(template.pointer)
        return value
    if isinstance(template, Text):
        return "".join(
            part
            if isinstance(part, str)
            else _as_text(_evaluate(template.pointer, part, scope, now_milliseconds, seed))
            for part in template.parts
        )
    if isinstance(template, Object):
        filled = {name: fill(item, scope, now_milliseconds, seed, undefined) for name, item in template.items}
        return {name: value for name, value in filled.items() if value is not UNDEFINED}
    return [
        value
        for item in template.items
        if (value := fill(item, scope, now_milliseconds, seed, undefined)) is not UNDEFINED
    ]


def _text(text: str, pointer: str) -> Template:
    try:
        parts = split(text)
        compiled = tuple(compile_expression(part.text) if isinstance(part, Source) else part for part in parts)
    except ExpressionError as error:
        raise TemplateError(pointer, error) from error
    if is_whole(parts):
        return Whole(pointer, next(part for part in compiled if isinstance(part, Compiled)))
    return Text(pointer, compiled)


def _evaluate(pointer: str, compiled: Compiled, scope: JsonMapping, now_milliseconds: int, seed: int) -> object:
    try:
        return evaluate(compiled, scope, now_milliseconds, seed)
    except ExpressionError as error:
        raise TemplateError(pointer, error) from error


def _as_text(value: object) -> str:
    if value is UNDEFINED:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
