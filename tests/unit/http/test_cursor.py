"""Cursors: what they give back, and what they refuse."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.timestamps import timestamp
from shared.errors import InvalidCursorError
from shared.http.cursor import decode_keyset, decode_position, encode_keyset, encode_position
from shared.repositories.rows import Keyset


@given(st.floats(0, 4_000_000_000), st.uuids())
def test_keyset_comes_back(seconds: float, id: Any) -> None:  # noqa: A002  # the column's name
    """A place in a list survives the journey."""
    keyset = Keyset(timestamp(seconds), str(id))
    assert decode_keyset(encode_keyset(keyset)) == keyset


@given(st.integers(0, 2**63 - 1))
def test_position_comes_back(position: int) -> None:
    """A number survives the journey."""
    assert decode_position(encode_position(position)) == position


def test_no_place_stays_none() -> None:
    """The end of a list, and its beginning, have no cursor."""
    assert (encode_keyset(None), decode_keyset(None), encode_position(None), decode_position(None)) == (None,) * 4


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_a_cursor_or_an_invalid_one(text: str) -> None:
    """Nothing else is ever raised, and what is taken stands for a place that has a cursor of its own."""
    for decode, encode in ((decode_keyset, encode_keyset), (decode_position, encode_position)):
        try:
            place = decode(text)
        except InvalidCursorError:
            continue
        assert decode(encode(place)) == place


@pytest.mark.parametrize(
    "value",
    [
        ["2026-01-01T00:00:00Z", 'x"),id.gt.("'],
        ['2026-01-01T00:00:00Z",id.gt."', "0199c000-0000-7000-8000-000000000001"],
        ["2026-01-01T00:00:00", "0199c000-0000-7000-8000-000000000001"],
        [1, 2],
        ["2026-01-01T00:00:00Z"],
        {"a": 1},
        None,
    ],
)
def test_forged_keyset_is_refused(value: Any) -> None:
    """What would end up in a filter is checked first."""
    with pytest.raises(InvalidCursorError):
        decode_keyset(base64.urlsafe_b64encode(json.dumps(value).encode()).decode())


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0, "1", None])
def test_forged_position_is_refused(value: Any) -> None:
    """Only whole numbers that the database can hold."""
    with pytest.raises(InvalidCursorError):
        decode_position(base64.urlsafe_b64encode(json.dumps(value).encode()).decode())
