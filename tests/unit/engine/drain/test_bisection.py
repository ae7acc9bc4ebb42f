"""One item that is refused is put aside alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engine.drain.bisection import write_all
from shared.errors import InvalidRequestError, StorageUnavailableError


@given(st.lists(st.booleans(), min_size=1, max_size=40))
async def test_all_but_the_refused_are_written_once(sound: list[bool]) -> None:
    """In order, in no more calls than finding each refused one among the others takes."""
    written: list[int] = []
    aside: list[int] = []
    calls = 0

    async def write(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if not all(sound[item] for item in items):
            raise InvalidRequestError
        written.extend(items)

    async def put_aside(item: int, error: Exception) -> None:
        assert isinstance(error, InvalidRequestError)
        aside.append(item)

    await write_all(range(len(sound)), write, put_aside)
    assert written == [item for item, is_sound in enumerate(sound) if is_sound]
    assert aside == [item for item, is_sound in enumerate(sound) if not is_sound]
    assert calls <= 1 + len(aside) * 2 * len(sound).bit_length()


@pytest.mark.parametrize("stops_in_put_aside", [True, False])
async def test_what_keeps_all_from_being_written_is_raised(stops_in_put_aside: bool) -> None:
    """Nothing is put aside for an outage, nor where `put_aside` finds that nothing at all is taken."""

    async def write(items: Sequence[int]) -> None:
        raise InvalidRequestError if stops_in_put_aside else StorageUnavailableError

    async def put_aside(item: int, error: Exception) -> None:
        raise StorageUnavailableError

    with pytest.raises(StorageUnavailableError):
        await write_all([1, 2, 3], write, put_aside)
