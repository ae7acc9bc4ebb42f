"""The query string of a request: select, order, limit, filters and, for a function, its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl, quote_plus

from local.gateway.errors import GatewayError, unreadable, unsupported
from local.gateway.fields import Field, ScanError, Scanner, names
from local.gateway.filters import Filter, condition, group, is_operation

_JOINTS = ("and", "or", "not.and", "not.or")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """A selected field; `field` is None for `*`."""

    field: Field | None
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A field to order by; `suffix` is its direction and the place of nulls, in SQL."""

    field: Field
    suffix: str


@dataclass(slots=True)
class Query:
    """A parsed query string. Members that are None were not given; `location` is its canonical form."""

    select: list[Item] = field(default_factory=lambda: [Item(None)])
    filters: list[Filter] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=dict)
    location: str = ""


def parse(text: bytes, *, with_arguments: bool = False) -> Query:
    """The parsed query string. Raises `GatewayError`.

    `with_arguments`: parameters whose value is no filter are a function's arguments.
    """
    try:
        pairs = parse_qsl(text.decode("utf-8"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise GatewayError(400, "PGRST100", "The query string is not valid UTF-8") from None
    if any("\0" in value or "\0" in key for key, value in pairs):
        raise GatewayError(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    query = Query(location="&".join(f"{quote_plus(k)}={_escaped(v)}" for k, v in sorted(pairs)))
    for key, value in pairs:
        reader = _READERS.get(key)
        if reader is not None:
            reader(query, value)
        elif key in _JOINTS:
            query.filters.append(_scanned("logic tree", value, partial(_tree, key)))
        elif with_arguments and not is_operation(value):
            query.arguments[key] = value
            query.repeated.setdefault(key, []).append(value)
        else:
            query.filters.append(_filter(key, value))
    return query


def _tree(key: str, text: str) -> Filter:
    joint = key.removeprefix("not.")
    return group(joint, text, negated=joint != key)


def _escaped(value: str) -> str:
    return quote_plus(value, safe=".,()*:")


def _scanned(kind: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ScanError as error:
        raise unreadable(kind, text, str(error)) from None


def _filter(key: str, value: str) -> Filter:
    scanner = Scanner(key)
    try:
        resource = scanner.name()
        embedded = scanner.take(".")
    except ScanError as error:
        raise unreadable("column", key, str(error)) from None
    if embedded:
        message = f"'{resource}' is not an embedded resource in this request"
        hint = f"Verify that '{resource}' is included in the 'select' query parameter."
        raise GatewayError(400, "PGRST108", message, hint=hint)
    return _scanned("filter", value, lambda text: condition(Scanner(key), text))


def _select(query: Query, text: str) -> None:
    if text:
        query.select = _scanned("select parameter", text, _items)


def _items(text: str) -> list[Item]:
    scanner = Scanner(text)
    items = [_item(scanner)]
    while scanner.take(","):
        items.append(_item(scanner))
    if scanner.text.startswith(("(", "!"), scanner.at):
        raise unsupported("Embedding related rows or aggregating in select")
    if not scanner.done:
        raise ScanError(f"unexpected {text[scanner.at :]!r}")
    return items


def _item(scanner: Scanner) -> Item:
    scanner.spaces()
    if scanner.take("..."):
        raise unsupported("Embedding related rows in select")
    if scanner.take("*"):
        scanner.spaces()
        return Item(None)
    field = scanner.field()
    alias = None
    if not scanner.text.startswith("::", scanner.at) and scanner.take(":"):
        alias, field = field.name, scanner.field()
    cast = scanner.cast()
    if scanner.text.startswith(".", scanner.at):
        raise unsupported("Aggregating in select")
    scanner.spaces()
    return Item(field, alias, cast)


def _order(query: Query, text: str) -> None:
    if text:
        query.order = _scanned("order", text, lambda value: [_term(part) for part in _split(value)])


def _split(text: str) -> list[Scanner]:
    # A quoted name may hold a comma; everything else in an order is free of them.
    parts, start, quoted = [], 0, False
    for place, character in enumerate(text):
        quoted ^= character == '"'
        if character == "," and not quoted:
            parts.append(text[start:place])
            start = place + 1
    return [Scanner(part) for part in (*parts, text[start:])]


def _term(scanner: Scanner) -> Order:
    field = scanner.field()
    if scanner.text.startswith("(", scanner.at):
        raise unsupported("Ordering by a related row")
    suffix = ""
    for words in (("asc", "desc"), ("nullsfirst", "nullslast")):
        for word in words:
            if scanner.take("." + word):
                suffix += f" {word.replace('nulls', 'nulls ')}"
    if not scanner.done:
        raise ScanError(f"unexpected {scanner.text[scanner.at :]!r}")
    return Order(field, suffix)


def _limit(query: Query, text: str) -> None:
    query.limit = _integer("limit", text)
    if query.limit < 0:
        details = "Limit should be greater than or equal to zero."
        raise GatewayError(416, "PGRST103", "Requested range not satisfiable", details=details)


def _offset(query: Query, text: str) -> None:
    query.offset = max(0, _integer("offset", text))


def _integer(kind: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise unreadable(kind, text)
    return int(text)


def _columns(query: Query, text: str) -> None:
    query.columns = _scanned("columns parameter", text, names)


def _on_conflict(query: Query, text: str) -> None:
    query.on_conflict = _scanned("on_conflict parameter", text, names)


_READERS: dict[str, Callable[[Query, str], None]] = {
    "select": _select,
    "order": _order,
    "limit": _limit,
    "offset": _offset,
    "columns": _columns,
    "on_conflict": _on_conflict,
}
