"""How pydantic's findings are told to who sent the data."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, SecretStr

from shared.errors import MAX_PROBLEMS, InvalidRequestError, Problem, UnprocessableError
from shared.http.validation import validated


class Body(BaseModel):
    """A text and a secret, both of limited length."""

    name: str = Field("a", min_length=1, max_length=3)
    secret: SecretStr = Field(SecretStr("a"), min_length=1, max_length=3)


@pytest.mark.parametrize(
    ("value", "said"), [("", "It must have at least 1 character(s)."), ("long", "It may have at most 3 characters.")]
)
def test_length_of_a_secret_is_told_in_characters(value: str, said: str) -> None:
    """Not in items "after validation", which is how its type counts."""
    with pytest.raises(InvalidRequestError) as caught:
        validated({"secret": value}, Body, "The body")
    assert [(one.pointer, one.message) for one in caught.value.problems] == [("/secret", said)]


def test_error_tells_so_many_problems_and_no_more() -> None:
    """Whoever finds them: an answer with all that is wrong in a megabyte would be more than can be sent."""
    problems = tuple(Problem(f"/{number}", "It is wrong.") for number in range(1_000))
    assert UnprocessableError(problems=problems).problems == problems[:MAX_PROBLEMS]
