"""Answers that fit into a Lambda function's response."""

from typing import Any

from shared.domain.json_values import size_bytes
from shared.queries._sizes import MAX_ANSWER_BYTES, fitting


def an_item(size: int) -> dict[str, Any]:
    """An item of about this many bytes."""
    return {"x": "y" * size}


def test_small_items_all_fit() -> None:
    """A page of ordinary items stays whole."""
    items = [an_item(1000)] * 100
    assert fitting(items) == items


def test_items_are_cut_before_the_one_that_does_not_fit() -> None:
    """What would make the answer too large waits for the next page."""
    items = [an_item(MAX_ANSWER_BYTES // 3) for _ in range(5)]
    assert len(fitting(items)) == 2


def test_first_item_is_always_there() -> None:
    """A reader always gets on, whatever the size of the next item."""
    assert len(fitting([an_item(MAX_ANSWER_BYTES * 2)] * 2)) == 1


def test_size_counts_bytes_not_characters() -> None:
    """Text beyond ASCII is counted as it is sent, half surrogate pairs too."""
    assert size_bytes("é\ud800") == 2 + 2 + 3
