"""Any JSON as a graph: it is saved, refused with pointers, or found invalid; nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.json_types import JsonObject
from tests.integration.http.client import Client

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
EXPRESSION = st.sampled_from(
    ["{% $trigger.body %}", "{% $nodes.a %}", "{% ( %}", "a {% 1 %} b", "{{ x }}", "{% $x( %}"]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**307)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ID = st.sampled_from(["a", "b", "c", "hook"])
TYPE = st.sampled_from(
    ["webhook_trigger", "manual_trigger", "transform", "if", "switch", "filter", "merge", "http_request", "fail", "x"]
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["value", "condition", "cases", "mode", "url", "method", "headers", "body", "code", "message"]),
    EXPRESSION | ANYTHING,
    max_size=4,
)
NODE = st.fixed_dictionaries(
    {"id": ID, "type": TYPE},
    optional={
        "parameters": PARAMETERS | ANYTHING,
        "retry": ANYTHING
        | st.lists(st.dictionaries(st.sampled_from(["errors", "max_attempts"]), ANYTHING), max_size=2),
        "timeout_seconds": ANYTHING,
        "join": ANYTHING | st.sampled_from(["any", "all", {"n": 2}]),
        "on_error": ANYTHING | st.sampled_from(["fail", "route"]),
        "position": ANYTHING,
        "disabled": ANYTHING,
        "else": ANYTHING,
    },
)
EDGE = st.fixed_dictionaries({"source": ID, "target": ID}, optional={"source_handle": TEXT | ANYTHING, "id": ANYTHING})
GRAPHS = st.fixed_dictionaries({"nodes": st.lists(NODE, max_size=4), "edges": st.lists(EDGE, max_size=4)}) | (
    st.fixed_dictionaries({"nodes": st.lists(ANYTHING, max_size=2), "edges": st.lists(ANYTHING, max_size=2)})
)
# Well-formed, whatever is in it.
DRAFTS = st.fixed_dictionaries(
    {
        "nodes": st.lists(
            st.fixed_dictionaries(
                {"id": ID, "type": TYPE},
                optional={"parameters": st.dictionaries(TEXT, EXPRESSION | ANYTHING, max_size=4) | PARAMETERS},
            ),
            max_size=4,
            unique_by=lambda node: node["id"],
        ),
        "edges": st.lists(
            st.fixed_dictionaries({"source": ID, "target": ID}, optional={"source_handle": TEXT.filter(bool)}),
            max_size=4,
        ),
    }
)


@given(graph=DRAFTS | GRAPHS)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_validate_answers_any_graph(client: Client, graph: JsonObject) -> None:
    """Whatever the graph is, it is refused as malformed or judged, and each problem points into it."""
    answer = client.request("POST", "/api/workflows/validate", graph)
    assert answer.status in (200, 400), answer.text
    errors = answer.json["errors"]
    assert all(error["pointer"] == "" or error["pointer"].startswith(("/nodes", "/edges")) for error in errors)


@given(graph=DRAFTS | GRAPHS, settings_=ANYTHING)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_graph_can_be_saved_or_is_refused(client: Client, graph: JsonObject, settings_: Any) -> None:
    """What is saved comes back the same from the database, can be saved again, and is published or found invalid."""
    body = {"name": "any", **graph, "settings": {"any": settings_}}
    created = client.request("POST", "/api/workflows", body)
    assert created.status in (201, 400), created.text
    if created.status == 201:
        path = created.headers["location"]
        stored = client.request("GET", path)
        # A large float comes back as the same number without an exponent.
        assert json.loads(stored.text, parse_int=float) == json.loads(created.text, parse_int=float)
        again = {name: stored.json[name] for name in ("name", "nodes", "edges", "settings")}
        assert client.request("PUT", path, again).json["nodes"] == stored.json["nodes"]
        assert client.request("POST", f"{path}/publish").status in (200, 422)
