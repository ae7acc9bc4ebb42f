"""Answers that fit into a Lambda function's response."""

import json
from typing import Any

import pytest

from shared.domain.json.values import size_bytes
from shared.json_types import JsonObject
from shared.queries.response_size import MAX_ANSWER_BYTES, fitting, omit_largest

# What Lambda takes, and the local stack with it.
LAMBDA_BYTES = 6_291_556


def an_item(size: int, character: str = "y") -> JsonObject:
    """An event of about this many bytes."""
    return {"id": "1", "payload": {"trigger": {"type": "manual", "body": character * size}, "version": 1}}


def response_bytes(answer: Any) -> int:
    """How long the JSON of a response with this body is."""
    return len(json.dumps({"body": json.dumps(answer, ensure_ascii=False)}, ensure_ascii=False).encode())


def test_small_items_all_fit() -> None:
    """A page of ordinary items stays whole."""
    items = [an_item(1000)] * 100
    assert fitting(items) == items


def test_items_are_cut_before_the_one_that_does_not_fit() -> None:
    """What would make the answer too large waits for the next page."""
    items = [an_item(MAX_ANSWER_BYTES // 3) for _ in range(5)]
    assert len(fitting(items)) == 2


@pytest.mark.parametrize("character", ["y", '"', "\\", "\x01", "é", "😀"])
def test_page_fits_whatever_its_texts_are_made_of(character: str) -> None:
    """The body is a text in the response's JSON: what is marked in it takes twice as much there."""
    found = fitting([an_item(900_000, character) for _ in range(10)])
    assert found
    assert response_bytes(found) < LAMBDA_BYTES


def test_first_item_is_always_there() -> None:
    """A reader always gets on, whatever the size of the next item; what is too large in it is said to be missing."""
    (found,) = fitting([an_item(MAX_ANSWER_BYTES * 2)] * 2)
    trigger = {"type": "manual", "body": None, "body_omitted": True}
    assert found == {"id": "1", "payload": {"trigger": trigger, "version": 1}}


def test_event_of_many_small_members_is_there_without_them() -> None:
    """Where leaving out a few does not help."""
    (found,) = fitting([{"id": "1", "payload": {f"name {number}": "y" * 50 for number in range(100_000)}}])
    assert found == {"id": "1", "payload": {"payload_omitted": True}}


def test_largest_are_left_out_and_no_more() -> None:
    """A hundred small values, of which some must go, and a middling one, which must go first."""
    nodes = [{"output": "y" * 60_000} for _ in range(100)]
    large = {"output": "y" * 500_000}
    assert omit_largest({"nodes": [*nodes, large]}, [(node, "output") for node in (*nodes, large)])
    assert large == {"output": None, "output_omitted": True}
    assert 0 < sum("output_omitted" in node for node in nodes) < 12


def test_size_counts_bytes_not_characters() -> None:
    """Text beyond ASCII is counted as it is sent, half surrogate pairs too."""
    assert size_bytes("é\ud800") == 2 + 2 + 3
