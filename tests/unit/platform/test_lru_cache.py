"""What is kept while it is used."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.platform.lru_cache import LruCache


def test_what_was_not_used_for_longest_makes_room() -> None:
    """A look counts as use; the values that went are told."""
    cache: LruCache[str, str] = LruCache(3)
    for key in "abc":
        assert cache.put(key, key.upper()) == []
    assert cache.get("a") == "A"

    assert cache.put("d", "D") == ["B"]
    assert [cache.get(key) for key in "abcd"] == ["A", None, "C", "D"]


def test_a_large_value_takes_the_place_of_many_and_is_kept_itself() -> None:
    """Weights count, not values; one that is too heavy by itself stays until the next comes."""
    cache: LruCache[str, int] = LruCache(10)
    for index in range(10):
        cache.put(str(index), index)

    assert cache.put("large", 99, weight=50) == list(range(10))
    assert cache.get("large") == 99
    assert cache.put("small", 1) == [99]


def test_what_is_taken_out_makes_room() -> None:
    """A value that was taken out weighs nothing any more, and is there no longer."""
    cache: LruCache[str, str] = LruCache(2)
    cache.put("a", "A")
    cache.put("b", "B")

    assert (cache.take("a"), cache.take("a")) == ("A", None)
    assert cache.put("c", "C") == []
    assert [cache.get(key) for key in "abc"] == [None, "B", "C"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=60))
def test_every_value_is_kept_or_told_to_have_gone_and_none_outweighs(puts: list[tuple[int, int]]) -> None:
    """Nothing is lost or told twice, and what is kept weighs no more than allowed, but for a single value."""
    cache: LruCache[int, int] = LruCache(12)
    weights, gone = {}, []
    for number, (key, weight) in enumerate(puts):
        weights[number] = weight
        gone += cache.put(key, number, weight)

    left = [value for key in range(6) if (value := cache.get(key)) is not None]
    assert sorted(gone + left) == list(range(len(puts)))
    assert len(cache) == len(left)
    assert len(left) <= 1 or sum(weights[number] for number in left) <= 12
