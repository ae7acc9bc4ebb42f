"""The strict JSON parser: what it takes, what it refuses, and that it is quick to refuse."""

import json
import math
import sys
import time
import timeit
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.json.values import decoded, deeper_than, parse_json, pointer_of, storable
from shared.errors import InvalidRequestError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4)
    ),
)


@given(JSON, st.booleans())
def test_parse_json_round_trips_every_storable_value(value: object, ascii_only: bool) -> None:
    """What was written comes back, escaped or not, as text or as bytes."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_json(text, refuse_duplicates=True) == parse_json(text.encode()) == value


@given(st.text() | st.binary())
def test_parse_json_raises_only_its_own_error(raw: str | bytes) -> None:
    """No input whatever escapes as another exception, and what is taken means what it means to every JSON reader."""
    try:
        value = parse_json(raw)
    except InvalidRequestError:
        return
    assert value == json.loads(raw if isinstance(raw, str) else raw.decode())


@pytest.mark.parametrize(
    "raw",
    ["", " ", "{", "nul", "NaN", "[Infinity]", "[-Infinity]", "1e400", "-1e999", "9" * 400, "9" * 5000, "01", "'a'",
     '"\t"', '"\x00"', "{} {}", "\ufeff{}", b"\xff", b"\xff\xfe{\x00}\x00", '["\\u0000"]', '["\\ud800"]',
     '{"\\u0000": 1}', '"\\udc00\\ud800"', "[" * 101 + "]" * 101],
)  # fmt: skip
def test_parse_json_refuses_what_is_not_strict_json(raw: str | bytes) -> None:
    """Python's extensions, unstorable text, other encodings and deep nesting are all refused."""
    with pytest.raises(InvalidRequestError):
        parse_json(raw)


@pytest.mark.parametrize(
    "raw", ["[" * 500_000 + "]" * 500_000, "[" * 1_000_000, '{"a":' * 200_000, "[[" * 400 + "]]" * 400]
)
def test_parse_json_refuses_a_megabyte_of_nesting_quickly(raw: str) -> None:
    """Nesting that would exhaust the stack costs less than a tenth of a second."""
    started = time.perf_counter()
    with pytest.raises(InvalidRequestError, match="nested"):
        parse_json(raw)
    assert time.perf_counter() - started < 0.1


@given(
    st.integers(0, 400), st.integers(-400, 400), st.sampled_from(["", ".5"]), st.sampled_from(["e", "E", "E+", "e-"])
)
def test_parse_json_yields_only_finite_numbers(digits: int, exponent: int, fraction: str, mark: str) -> None:
    """A number is refused, or it is one that a double can hold; no notation gets around that."""
    text = f"[{'7' * (digits + 1)}{fraction}{mark}{abs(exponent)}]"
    expected = float(text[1:-1])
    if math.isinf(expected):
        with pytest.raises(InvalidRequestError):
            parse_json(text)
    else:
        assert parse_json(text) == [expected]


def test_parse_json_takes_the_largest_double_in_any_notation() -> None:
    """The database writes large numbers without an exponent; what it gives out can be sent back."""
    largest = sys.float_info.max
    assert parse_json(f"[{largest!r}, {int(largest)}, -{int(largest)}]") == [largest, int(largest), -int(largest)]


def test_parse_json_points_at_each_unstorable_text() -> None:
    """A NUL deep inside is found by its JSON pointer; an escaped backslash before u0000 is none."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_json('{"a/b": [0, "x\\u0000"], "ok": "\\\\u0000", "pair": "\\ud83d\\ude00"}')
    assert [problem.pointer for problem in caught.value.problems] == ["/a~1b/1"]


def test_parse_json_lets_unstorable_text_through_when_asked() -> None:
    """A provider's body is taken as it is, and `storable` makes it fit to keep."""
    value = parse_json('{"a\\u0000": ["\\ud800x", 1]}', refuse_unstorable=False)
    assert storable(value) == {"a\ufffd": ["\ufffdx", 1]}


def test_parse_json_takes_the_last_of_duplicate_names_unless_told() -> None:
    """Duplicates are the sender's business for webhooks and a mistake in a request."""
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(InvalidRequestError, match="'a' appears twice"):
        parse_json('{"a": 1, "a": 2}', refuse_duplicates=True)


def test_pointer_of_escapes_names() -> None:
    """Tilde and slash are escaped as RFC 6901 says; no path is the whole document."""
    assert (pointer_of(), pointer_of("a/b", 0, "~")) == ("", "/a~1b/0/~0")


def test_a_name_that_is_there_twice_is_found_in_one_walk() -> None:
    """However many names come before it: a body of a megabyte has a hundred thousand, and anybody may send it."""
    raw = "{" + "".join(f'"{number}":0,' for number in range(100_000)) + '"99999":0}'
    began = time.process_time()
    with pytest.raises(InvalidRequestError) as refused:
        parse_json(raw, refuse_duplicates=True)
    assert "'99999' appears twice" in refused.value.detail
    assert time.process_time() - began < 5.0


def test_depth_is_found_about_as_fast_as_the_value_is_made() -> None:
    """Of a megabyte of nothing but small lists: the loop that everybody shares stands still meanwhile."""
    text = "[" + "[]," * 330_000 + "1]"
    value = decoded(text, json.loads)

    def shortest(compute: Callable[[], object]) -> float:
        return min(timeit.repeat(compute, timer=time.process_time, number=1, repeat=9))

    # About as long, on an idle machine; looking into each list by itself takes four to six times as long.
    assert shortest(lambda: deeper_than(value, 100)) < 3 * shortest(lambda: decoded(text, json.loads))


def test_depth_of_a_value_that_doubles_with_each_level_is_found() -> None:
    """It is a small one, of which everything is shared."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    assert (deeper_than(value, 60), deeper_than(value, 61)) == (True, False)
