"""What is quoted in a text: found as a regular expression would find it, in one walk."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.expressions.expressions import ExpressionError, Source, compile_expression, split
from shared.domain.expressions.quoting import Quoting

# What says the same, and takes a time that grows with the square of the text.
PARTS = re.compile(r"%\}|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|/\*.*?\*/", re.DOTALL)
PIECES = ["{%", "%}", "'", '"', "`", "/*", "*/", "*", "/", "\\", "a", " ", "\n", "{{", "}}"]


def split_slowly(text: str) -> tuple[str | Source, ...]:
    """As `split`."""
    parts: list[str | Source] = []
    position = 0
    while (start := text.find("{%", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        marks = (found.start() for found in PARTS.finditer(text, start + 2) if found.group() == "%}")
        end = next(marks, text.find("%}", start + 2))
        if end < 0:
            raise ExpressionError("no end")
        parts.append(Source(text[start + 2 : end].strip()))
        position = end + 2
    if position < len(text) or not parts:
        parts.append(text[position:])
    return tuple(parts)


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
@example("{% /'/ %} it's {% /'/ %} it's")
@example("/*/ %} */ %}")
@settings(max_examples=1_000)
def test_parts_are_those_of_a_regular_expression(text: str) -> None:
    """Graphs that were published before mean what they meant."""
    assert Quoting(text).outside() == PARTS.sub(" ", text)
    try:
        expected = split_slowly(text)
    except ExpressionError:
        with pytest.raises(ExpressionError):
            split(text)
    else:
        assert split(text) == expected


@pytest.mark.parametrize(
    "piece",
    ["{% /\\'/ %} ", "{% /'/ %} it's ", "{% /* %} ", '{% \\" ', "{% ' \" ` %} ", "\\'", "{% ` /* ' %} \" ` "],
)
def test_long_text_is_walked_through_once(piece: str) -> None:
    """A tenant's text of 400 kB, whatever its quotes: with a walk from each of them it takes minutes."""
    text = "{% " + piece * (400_000 // len(piece))
    began_at = time.perf_counter()
    for one in (text, text + " %}", text + "*/ %}"):
        try:
            split(one)
        except ExpressionError:
            assert not one.endswith("%}")
    assert time.perf_counter() - began_at < 20


def test_long_source_is_looked_at_once() -> None:
    """A hundred expressions of the longest that compile, each a regular expression of quotes: 40 s with a walk each."""
    began_at = time.perf_counter()
    for number in range(50):
        compile_expression("$match($x, /" + "\\'" * 4_900 + f"/, {number})")
    assert time.perf_counter() - began_at < 5


def test_far_ends_are_not_looked_for_anew_between_near_ones() -> None:
    """Each expression has a quote that ends at once, and a comment that ends where a long quote begins: 40,000 walks
    of half a megabyte."""
    text = '{% "x" /* %}' * 40_000 + '*/ "' + "y" * 500_000 + '"'
    began_at = time.perf_counter()
    assert len(split(text)) == 40_001
    assert time.perf_counter() - began_at < 20
