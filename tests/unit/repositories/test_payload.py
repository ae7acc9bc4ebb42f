"""How payloads are stored."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.json_types import JsonObject
from shared.repositories.payload import INLINE_LIMIT_BYTES, counted_bytes, is_content, load, store

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e22, 1.0, -0.0, 1e-7, 10**30])
    | st.text(st.characters())
    | st.text("\x00\ud800\udc00\\u0a"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


def exactly(value: Any) -> str:
    """Everything about a value: the order of its keys, and 1 apart from 1.0."""
    return json.dumps(value)


@given(st.dictionaries(st.sampled_from(["node_id", "output", "error"]), json_values), st.integers(0, 30_000))
def test_any_payload_comes_back_and_holds_nothing_that_jsonb_refuses(payload: JsonObject, length: int) -> None:
    """Whatever a run yields can be stored in jsonb and is read back as it was, its keys in their order."""
    payload = json.loads(json.dumps({**payload, "node_id": "n", "parameters": {"z": "x" * length, "a": 1}}))
    stored, large, _ = store(payload, of_run=True)

    body = large["body"] if large else stored
    text = json.dumps(body, ensure_ascii=False)
    assert "\x00" not in text
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()  # raises on a lone surrogate
    # jsonb sorts keys; what is within the texts stays.
    loaded = load(dict(sorted(body.items())))
    assert loaded == payload
    assert {name: exactly(value) for name, value in loaded.items()} == {
        name: exactly(value) for name, value in payload.items()
    }
    if large:
        assert is_content(loaded, large["sha256"])
        assert not is_content({**loaded, "node_id": "m"}, large["sha256"])


def test_a_small_payload_stays_in_its_event() -> None:
    """Nothing is moved away at or below the limit."""
    payload = {"output": "x" * (INLINE_LIMIT_BYTES - 2)}
    assert store(payload, of_run=True) == ({"output$json": json.dumps(payload["output"])}, None, INLINE_LIMIT_BYTES)
    assert store({"output": "x" * (INLINE_LIMIT_BYTES - 1)}, of_run=True)[1] is not None


def test_what_is_no_run_is_stored_as_it_is() -> None:
    """A workflow's graph and a webhook's configuration are jsonb, large ones too."""
    small, large = {"nodes": [{"a": 1}]}, {"nodes": ["x" * 20_000]}
    assert store(small, of_run=False)[:2] == (small, None)
    row = store(large, of_run=False)[1]
    assert row is not None
    assert row["body"] == large


def test_a_large_payload_is_referenced_by_its_content() -> None:
    """The same content gives the same reference; other content, or the same in another order, another."""
    payloads: list[Any] = [{"x": "x" * 20_000, "a": 1}, {"x": "x" * 20_000, "a": 1}, {"a": 1, "x": "x" * 20_000}]
    first, again, other = (store({"output": output}, of_run=True)[0] for output in payloads)

    assert first == again != other
    assert set(first) == {"$payload", "size_bytes"}


def test_form_of_today_stays_readable() -> None:
    """What stands in stored events: a change of the form is a further one."""
    payload = {"node_id": "n", "output": {"b": 1e22, "a": [-0.0, 1.0, "ü\x00"]}, "error": None, "handles": ["out"]}
    stored = {
        "node_id": "n",
        "output$json": '{"b":1e+22,"a":[-0.0,1.0,"ü\\u0000"]}',
        "error": None,
        "handles": ["out"],
    }
    assert store(payload, of_run=True)[0] == stored
    assert exactly(load(stored)) == exactly(payload)
    assert store({"output": "\ud800"}, of_run=True)[0] == {"output$json": '"\\ud800"'}


def test_what_was_stored_as_jsonb_is_still_read_and_checked() -> None:
    """Values in their own place, in base64 where jsonb refuses them, and under a hash that knows no order of keys."""
    payload = {"node_id": "a", "output": {"b": [1e16], "a": "\x00"}}
    in_base64 = {"$base64": base64.b64encode(json.dumps(payload).encode()).decode()}
    assert load(in_base64) == payload
    read = {"node_id": "a", "output": {"a": [100000000000000000000000, 1, 0], "b": 10000000000000000}}
    assert load(read) is read
    sha256 = "21432f1b8ad1fb31c62a3a415e64e2ac519f393c1b4eaaa1201656bf6240e31a"
    assert is_content(read, sha256)
    assert not is_content({**read, "node_id": "b"}, sha256)


@pytest.mark.parametrize(
    ("value", "times"),
    [
        (["x" * 1_000] * 50, 1),
        ([{"id": n, "name": f"name {n}", "price": n / 7} for n in range(2_000)], 1),
        ([[[], [], [], []]] * 5_000, 6),
        ([[[[[[[[[n]]]]]]]] for n in range(3_000)], 6),
    ],
    ids=["long texts", "usual objects", "small lists", "deep lists"],
)
def test_what_takes_much_memory_counts_as_more_than_its_text(value: object, times: int) -> None:
    """Usual values count as what is stored; a payload of nothing but small lists as several times that, the same when
    it is written as when it is read."""
    inline, large, counted = store({"node_id": "a", "output": value}, of_run=True)
    assert large is not None
    assert (inline["size_bytes"], counted_bytes(large["body"])) == (large["size_bytes"], counted)
    assert times <= counted / large["size_bytes"] < times + 4
