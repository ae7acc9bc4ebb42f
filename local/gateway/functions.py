"""The statements that call functions: the one that fits the arguments' names, with the body's text as its arguments."""

# ruff: noqa: S608  # every name is quoted by `sql.name`, every value is a parameter
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from local.gateway import sql
from local.gateway.errors import GatewayError
from local.gateway.query import Query
from local.gateway.request import parse_json, refuse_constant
from local.gateway.schema import Function, Parameter, Schema
from local.gateway.session import Statement
from local.gateway.tables import Shape

_JSON = ("json", "jsonb")


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments of a call, in SQL, and the from item that they read, with a comma behind it."""

    arguments: str
    source: str = ""


class DirectCall:
    """The short way to a function with one json argument and a json answer, the form of our own functions.

    The body must be `{"<argument>":<json>}`. Cutting the frame off its bytes leaves the argument, and Postgres finds
    out whether that is one JSON value; so a body is neither parsed nor written again in Python. When it is none, the
    body has another form (spaces, more keys, or broken JSON), and the general way answers.
    """

    def __init__(self, function: Function) -> None:
        """`function` is one that `direct` accepts."""
        parameter = function.parameters[0]
        call = f"{_path(function)}({sql.name(parameter.name)} => $1::{parameter.type})"
        self.function = function
        self._prefix = b"{" + json.dumps(parameter.name, ensure_ascii=False).encode() + b":"
        self._text = (
            f"select coalesce(_value::text, 'null'), 1, 1, {sql.RESPONSE}, null from (select {call} as _value) _row"
        ).encode()

    def statement(self, body: bytes) -> Statement | None:
        """The call; None when the body surely has another form."""
        if not body.startswith(self._prefix) or not body.endswith(b"}"):
            return None
        return self._text, (body[len(self._prefix) : -1],)

    def describes(self, body: bytes) -> bool:
        """Whether `body` is a JSON object with this call's argument once and nothing else."""
        try:
            content = json.loads(body, object_pairs_hook=list, parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            return False
        return isinstance(content, list) and [key for key, _ in content] == [self.function.parameters[0].name]


def direct(overloads: Sequence[Function]) -> DirectCall | None:
    """The short way to the only function of a name; None when it has another form."""
    if len(overloads) != 1 or len(overloads[0].parameters) != 1:
        return None
    (function,) = overloads
    (parameter,) = function.parameters
    fits = parameter.type in _JSON and parameter.name and function.returns in _JSON
    return DirectCall(function) if fits and not function.many and not function.composite else None


def by_body(
    schema: Schema, path: tuple[str, str], query: Query, shape: Shape, max_rows: int | None, body: bytes
) -> tuple[Function, Statement]:
    """The function that fits the keys of a JSON body, and its call. Raises `GatewayError` when none or two do."""
    content = parse_json(body or b"{}")
    first = content[0] if isinstance(content, list) and content else content
    # The keys of the first object decide, as PostgREST does for a bulk call.
    keys = list(first) if isinstance(first, dict) else []
    function = _resolve(schema, path, keys, whole_body=True)
    bound = sql.Clauses(sql.name(function.name))
    # A function with one unnamed json parameter takes the whole body.
    whole = len(function.parameters) == 1 and not function.parameters[0].name
    value = bound.bind(body or b"{}")
    if whole:
        call = _Call(f"{value}::{function.parameters[0].type}")
        return function, _call(function, query, shape, max_rows, bound, call)
    parameters = [parameter for parameter in function.parameters if parameter.name in keys]
    fields = ", ".join(f"{sql.name(parameter.name)} {parameter.type}" for parameter in parameters)
    element = " -> 0" if isinstance(content, list) else ""
    source = f"json_to_record({value}::json{element}) as _body({fields}), lateral " if parameters else ""
    if not parameters:
        bound.parameters.clear()
    arguments = ", ".join(_argument(parameter, f"_body.{sql.name(parameter.name)}") for parameter in parameters)
    return function, _call(function, query, shape, max_rows, bound, _Call(arguments, source))


def by_query(
    schema: Schema, path: tuple[str, str], query: Query, shape: Shape, max_rows: int | None
) -> tuple[Function, Statement]:
    """The function that fits the arguments in the query string, and its call. Raises `GatewayError`."""
    function = _resolve(schema, path, list(query.arguments), whole_body=False)
    bound = sql.Clauses(sql.name(function.name))
    arguments = []
    for parameter in function.parameters:
        if parameter.name in query.arguments:
            values: str | Sequence[str] = query.arguments[parameter.name]
            if parameter.variadic:
                values = sql.array(query.repeated[parameter.name])
            arguments.append(_argument(parameter, f"{bound.bind(str(values))}::{parameter.type}"))
    return function, _call(function, query, shape, max_rows, bound, _Call(", ".join(arguments)))


def _call(
    function: Function, query: Query, shape: Shape, max_rows: int | None, bound: sql.Clauses, call: _Call
) -> Statement:
    alias = sql.name(function.name)
    if function.composite:
        source = f"{call.source}{_path(function)}({call.arguments}) as {alias}"
    else:
        arguments = call.source.removesuffix(", lateral ")
        value = f"select {_path(function)}({call.arguments}) as _value"
        source = f"({value}{' from ' + arguments if arguments else ''}) as {alias}"
    prefix, total = "", "null"
    if shape.total:
        # Called once, though its rows are needed twice.
        prefix = f"with _called as materialized (select {alias}.* from {source}) "
        source = f"_called as {alias}"
    where = bound.where(query.filters) if function.composite else ""
    items = bound.select(query.select) if function.composite else "_value"
    rows = f"select {items} from {source}{where}{bound.order(query) if function.composite else ''}"
    if shape.total:
        total = f"(select count(*) from {source}{where})"
    if function.many:
        rows += bound.page(query, max_rows)
    text = f"{prefix}select {_body(function, shape)}, {total}, {sql.RESPONSE}, null from ({rows}) _row"
    return text.encode(), bound.parameters


def _body(function: Function, shape: Shape) -> str:
    """The expressions of the body and of the number of rows."""
    if function.many:
        return f"{shape.body('_row' if function.composite else '_row._value')}, count(*)"
    if function.composite:
        return "row_to_json(_row)::text, 1"
    return f"coalesce({'_value' if function.returns in (*_JSON, 'void') else 'to_json(_value)'}::text, 'null'), 1"


def _path(function: Function) -> str:
    return f"{sql.name(function.schema)}.{sql.name(function.name)}"


def _argument(parameter: Parameter, value: str) -> str:
    return f"{'variadic ' if parameter.variadic else ''}{sql.name(parameter.name)} => {value}"


def _resolve(schema: Schema, path: tuple[str, str], keys: Sequence[str], *, whole_body: bool) -> Function:
    overloads = schema.functions.get(path, ())
    candidates = [function for function in overloads if _fits(function, keys)]
    if not candidates and whole_body:
        candidates = [
            candidate
            for candidate in overloads
            if len(candidate.parameters) == 1 and _is_whole(candidate.parameters[0])
        ]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _ambiguous(candidates)
    raise _missing(path, keys, whole_body=whole_body)


def _fits(function: Function, keys: Iterable[str]) -> bool:
    known: Mapping[str, Parameter] = {parameter.name: parameter for parameter in function.parameters}
    required = (parameter.name for parameter in function.parameters if parameter.required)
    return "" not in known and all(key in known for key in keys) and all(name in keys for name in required)


def _is_whole(parameter: Parameter) -> bool:
    return not parameter.name and parameter.type in _JSON


def _ambiguous(candidates: Sequence[Function]) -> GatewayError:
    signatures = [
        f"{function.schema}.{function.name}({', '.join(f'{p.name} => {p.type}' for p in function.parameters)})"
        for function in candidates
    ]
    message = f"Could not choose the best candidate function between: {', '.join(signatures)}"
    hint = "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
    return GatewayError(300, "PGRST203", message, hint=hint)


def _missing(path: tuple[str, str], keys: Sequence[str], *, whole_body: bool) -> GatewayError:
    function = ".".join(path)
    ordered = ", ".join(sorted(keys))
    called = f"{function}({ordered})" if keys else f"{function} without parameters"
    wanted = f"with parameter{'s' if len(keys) > 1 else ''} {ordered}" if keys else "without parameters"
    other = " or with a single unnamed json/jsonb parameter" if whole_body else ""
    details = f"Searched for the function {function} {wanted}{other}, but no matches were found in the schema cache."
    return GatewayError(404, "PGRST202", f"Could not find the function {called} in the schema cache", details=details)
