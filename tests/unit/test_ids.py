"""Derived ids: the same for the same parts, whatever text a sender makes them of."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import NAMESPACE, derived_id, is_uuid


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_ids_are_uuids_of_the_standard(parts: list[str]) -> None:
    """As `uuid.uuid5` makes them: the ids of runs that were begun before must not change."""
    name = "\x1f".join(f"{len(part)}:{part}" for part in parts)
    assert derived_id(*parts) == str(uuid.uuid5(NAMESPACE, name))


def test_half_a_surrogate_pair_has_an_id() -> None:
    """A sender may have one in what tells its deliveries apart."""
    ids = {derived_id("delivery", text) for text in ("\ud800", "\ud801", "\ufffd")}
    assert len(ids) == 3
    assert all(map(is_uuid, ids))
