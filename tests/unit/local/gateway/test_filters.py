"""The query language: what the client writes is read as it was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgrest.utils import sanitize_param

from local.gateway.errors import GatewayError
from local.gateway.fields import Field, ScanError, Scanner
from local.gateway.filters import Condition, Group, condition, group
from local.gateway.query import parse
from local.gateway.sql import Clauses

# The client escapes nothing inside a quoted element, and does not quote for a space.
plain = st.text(st.characters(exclude_characters='"\\ ', exclude_categories=["Cs"]), min_size=1)


@given(st.lists(plain, min_size=1))
def test_lists_are_read_as_the_client_writes_them(values: list[str]) -> None:
    """`in_` quotes what needs it, and every value comes back."""
    written = ",".join(map(sanitize_param, values))
    assert condition(Scanner("a"), f"in.({written})").value == tuple(values)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoted_values_keep_every_character(value: str) -> None:
    """In a logic tree, quotes protect commas, parentheses and dots; a backslash protects quotes."""
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    read = group("or", f"(a.eq.{quoted},b.is.null)", negated=False)
    assert [member.value for member in read.members if isinstance(member, Condition)] == [value, "null"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No query string makes the parser fail in another way than with its own error."""
    for read, kind in (
        (lambda: group("and", text, negated=False), Group),
        (lambda: condition(Scanner(text), text), Condition),
    ):
        try:
            condition_read = read()
        except ScanError:
            continue
        assert isinstance(condition_read, kind)


def test_logic_trees_nest() -> None:
    """Groups hold conditions and groups, each of them negated or not."""
    read = group("or", "(not.and(a.gt.1,b.not.in.(x,y)), c->d->>0.like.*z)", negated=True)
    inner = (Condition(Field("a"), False, "gt", None, "1"), Condition(Field("b"), True, "in", None, ("x", "y")))
    path = Field("c", (("->", "d"), ("->>", 0)))
    assert read == Group(True, "or", (Group(True, "and", inner), Condition(path, False, "like", None, "*z")))


@pytest.mark.parametrize("text", ["(", "()", "(a)", "(a.eq)", "(a.eq.1", "(a.eq.1))", "(a.noop.1)", "(a.is.maybe)"])
def test_broken_logic_trees_are_refused(text: str) -> None:
    """What does not follow the grammar is an error, not a guess."""
    with pytest.raises(ScanError):
        group("or", text, negated=False)


def test_values_never_become_sql() -> None:
    """Names are quoted and values are parameters, whatever they hold."""
    query = parse(b"%22a;b%22-%3E%3E%22k%27%22=eq.1%27--&order=%22x%22.desc")
    clauses = Clauses('"t"')
    assert clauses.where(query.filters) == """ where to_jsonb("t"."a;b")->>'k''' = $1"""
    assert clauses.order(query) == ' order by "t"."x" desc'
    assert clauses.parameters == [b"1'--"]


@pytest.mark.parametrize("query", [b"select=a(b)", b"select=...a(b)", b"select=a.sum()", b"order=a(b)"])
def test_embedding_and_aggregates_are_refused(query: bytes) -> None:
    """They are PostgREST's, but not this gateway's: the error says so."""
    with pytest.raises(GatewayError) as error:
        parse(query)
    assert error.value.code == "PGRST127"
