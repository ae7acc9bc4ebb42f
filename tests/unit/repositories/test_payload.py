"""How payloads are stored."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.repositories.payload import INLINE_LIMIT_BYTES, content_hash, load, store

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.text("\x00\ud800\udc00\\u0a"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["node_id", "output", "error"]), json_values))
def test_any_payload_comes_back_and_holds_nothing_that_jsonb_refuses(payload: dict[str, Any]) -> None:
    """Whatever a run yields can be stored in jsonb and is read back as it was."""
    payload = json.loads(json.dumps(payload))  # two halves side by side are one character to every JSON reader
    stored, large = store(payload)

    body = large["body"] if large else stored
    text = json.dumps(body, ensure_ascii=False)
    assert "\x00" not in text
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()  # raises on a lone surrogate
    assert load(body) == payload


def test_a_small_payload_stays_in_its_event() -> None:
    """Nothing is moved away at or below the limit."""
    payload = {"output": "x" * (INLINE_LIMIT_BYTES - 20)}

    assert store(payload) == (payload, None)


def test_a_large_payload_is_referenced_by_its_content() -> None:
    """The same content gives the same reference, other content another."""
    (first, _), (again, _), (other, _) = (store({"output": letter * 20_000}) for letter in "xxy")

    assert first == again != other
    assert set(first) == {"$payload", "size_bytes"}


def test_hash_is_the_same_after_the_database() -> None:
    """Neither the order of keys nor the way in which a number is written changes it; the content does."""
    sent = {"output": {"b": 1e16, "a": [1e23, 1.0, -0.0]}}
    read = {"output": {"a": [100000000000000000000000, 1, 0], "b": 10000000000000000}}
    assert content_hash(sent) == content_hash(read) != content_hash({"output": {}})
