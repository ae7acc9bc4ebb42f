"""Suggestions for misspelt names."""

from __future__ import annotations

import pytest

from shared.domain.name_suggestion import MAX_LISTED, did_you_mean, nearest_name


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1_000])
def test_the_name_that_was_meant_is_found_among_few_and_many(count: int) -> None:
    """The candidates are narrowed down before they are compared; the right one is among them."""
    known = [f"node_{index}_before" for index in range(count - 1)] + ["send_invoice"]
    assert nearest_name("send_invioce", known) == "send_invoice"


def test_a_name_like_none_has_no_nearest_one() -> None:
    """Something else is not suggested in place of what was written."""
    assert nearest_name("zzz", ["alpha", "beta"]) is None


def test_known_names_are_listed_while_they_are_few() -> None:
    """A suggestion names the nearest name, else all of them in order, else nothing."""
    assert did_you_mean("alpah", ["beta", "alpha"]) == "Did you mean 'alpha'?"
    assert did_you_mean("zzz", ["beta", "alpha"]) == "There is alpha, beta."
    assert did_you_mean("zzz", []) is None
    assert did_you_mean("zzz", [f"alpha_{index}" for index in range(MAX_LISTED + 1)]) is None


def test_a_long_name_is_compared_by_its_beginning() -> None:
    """A megabyte in the place of a name costs no more than a hundred characters."""
    assert nearest_name("receiver" + "x" * 1_000_000, ["receiver" + "x" * 60]) == "receiver" + "x" * 60
