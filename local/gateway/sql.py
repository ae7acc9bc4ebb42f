"""The pieces of SQL statements: names, literals, parameters, and the clauses of a parsed query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from local.gateway.fields import Field
from local.gateway.filters import OPERATORS, TEXT_SEARCH, Condition, Filter
from local.gateway.query import Item, Query
from local.gateway.schema import Column

# The response's headers and status as a function or trigger has set them, read after everything else has run.
RESPONSE = "nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status', true), '')"


def name(text: str) -> str:
    """`text` as an SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def names(texts: Sequence[str]) -> str:
    """A list of identifiers."""
    return ", ".join(map(name, texts))


def literal(text: str) -> str:
    """`text` as an SQL string."""
    quoted = "'" + text.replace("'", "''") + "'"
    # The E makes a backslash mean the same whatever `standard_conforming_strings` says.
    return "e" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


class Clauses:
    """Builds the clauses over one source of rows; the values of its filters become parameters."""

    def __init__(self, source: str, columns: Mapping[str, Column] | None = None) -> None:
        """`source` is the qualified name of the rows; `columns` are theirs, where they are known."""
        self.parameters: list[bytes | None] = []
        self._source = source
        self._columns = columns or {}

    def bind(self, value: str | bytes) -> str:
        """The mark (`$1`, `$2` …) that stands for `value` in the statement."""
        self.parameters.append(value.encode() if isinstance(value, str) else value)
        return f"${len(self.parameters)}"

    def select(self, items: Sequence[Item]) -> str:
        """The select list."""
        return ", ".join(map(self._item, items))

    def where(self, filters: Sequence[Filter]) -> str:
        """The where clause; empty without filters."""
        return " where " + " and ".join(map(self._filter, filters)) if filters else ""

    def order(self, query: Query) -> str:
        """The order by clause; empty without an order."""
        terms = [self.field(term.field) + term.suffix for term in query.order]
        return " order by " + ", ".join(terms) if terms else ""

    def page(self, query: Query, max_rows: int | None) -> str:
        """The limit and offset clauses."""
        limits = [limit for limit in (query.limit, max_rows) if limit is not None]
        clause = f" limit {min(limits)}" if limits else ""
        return clause + (f" offset {self.bind(str(query.offset))}::bigint" if query.offset else "")

    def field(self, field: Field) -> str:
        """The expression of a column and its JSON path."""
        expression = f"{self._source}.{name(field.name)}"
        if not field.path:
            return expression
        column = self._columns.get(field.name)
        if column is None or not column.json:
            expression = f"to_jsonb({expression})"
        return expression + "".join(
            f"{arrow}{key if isinstance(key, int) else literal(key)}" for arrow, key in field.path
        )

    def _item(self, item: Item) -> str:
        if item.field is None:
            return f"{self._source}.*"
        expression = self.field(item.field)
        if item.cast is not None:
            expression = f"cast({expression} as {item.cast})"
        label = item.alias or (item.field.label if item.field.path or item.cast else None)
        return expression if label is None else f"{expression} as {name(label)}"

    def _filter(self, node: Filter) -> str:
        if isinstance(node, Condition):
            return f"not ({self._condition(node)})" if node.negated else self._condition(node)
        joined = f" {node.joint} ".join(map(self._filter, node.members))
        return f"not ({joined})" if node.negated else f"({joined})"

    def _condition(self, condition: Condition) -> str:
        left = self.field(condition.field)
        if isinstance(condition.value, tuple):
            return f"{left} = any ({self.bind(array(condition.value))})"
        if condition.operator == "is":
            return f"{left} is {condition.value.replace('_', ' ')}"
        if condition.operator in TEXT_SEARCH:
            return self._text_search(condition, left)
        value = condition.value.replace("*", "%") if condition.operator in ("like", "ilike") else condition.value
        right = self.bind(value)
        return f"{left} {OPERATORS[condition.operator]} " + (
            right if condition.option is None else f"{condition.option} ({right})"
        )

    def _text_search(self, condition: Condition, left: str) -> str:
        language = f"{self.bind(condition.option)}::regconfig, " if condition.option else ""
        column = self._columns.get(condition.field.name)
        if column is None or column.type != "tsvector":
            left = f"to_tsvector({language}{left})"
        return f"{left} @@ {TEXT_SEARCH[condition.operator]}({language}{self.bind(str(condition.value))})"


def array(values: Sequence[str]) -> str:
    """The text of a Postgres array."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
