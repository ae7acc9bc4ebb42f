"""Every node type, with hostile text in each of its parameters and in what comes back: the run's own error, or none."""

from __future__ import annotations

import base64
import gc
from collections.abc import Iterator

import pytest

from shared.aws import calls
from shared.errors import InvalidGraphError
from shared.json_types import JsonObject
from shared.nodes.registry import names, node_type
from tests.integration.engine.harness import HOOK, EngineHarness
from tests.integration.engine.sink import Received, Sink
from tests.integration.hostile.examples import Schema

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
# Texts that cannot be written into a graph, and that an expression can make all the same.
EXPRESSIONS = {
    "NUL": "{% 'a\\u0000b' %}",
    "half surrogate pairs": "{% 'a\\ud800 \\udfffb' %}",
    "noncharacters": "{% 'a\\ufffe\\uffffb' %}",
    "long": "{% $pad('', 60000, 'x') %}",
    "an error": "{% $error('a\\u0000b') %}",
    "a long error": "{% $error($pad('', 60000, 'x')) %}",
    "names": "{% {'a\\u0000b': 'a\\u0000b'} %}",
    "deep": "{% $reduce([1..120], function($a) {{'a': [$a]}}, 'x') %}",
    "a text among others": "a{% '\\u0000' %}b",
}
ANSWERS: list[tuple[int, dict[str, str], bytes]] = [
    (200, {}, b'{"a": "\\u0000\\ud800", "\\u0000": 1}'),
    (200, {"content-type": "text/plain"}, b"\x00\xff\xfe"),
    (200, {"content-type": "text/plain"}, "\ufffe\x00".encode()),
    (400, {"content-type": "text/plain; charset=utf-16", "x-a": "\u00e9\u00ff"}, b"\x00\xd8"),
    (500, {"content-type": "application/json"}, b'{"message": "\\u0000\\udc00", "__type": "\\u0000Error"}'),
    (
        400,
        {"content-type": "text/xml"},
        b"<ErrorResponse><Error><Code>a</Code><Message>&#0;</Message></Error></ErrorResponse>",
    ),
    (302, {"location": "http://\u00e9\u00ff/"}, b""),
    (200, {"content-type": "application/x-www-form-urlencoded"}, b"%00=%ed%a0%80&a=%00"),
]


@pytest.fixture
def aws(harness: EngineHarness, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS is the server that answers to everything; the tenant may use all of it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", sink.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("SECRETS_KEY", base64.b64encode(bytes(32)).decode())
    calls._client.cache_clear()
    harness.services.settings = harness.services.settings._replace(aws_allow=(f"{harness.tenant_id}=*",))
    harness.engine = harness.new_engine()
    yield
    calls._client.cache_clear()
    gc.collect()  # botocore leaves the connection of an answer that it cannot read to whoever looks for garbage


def known(harness: EngineHarness, sink: Sink) -> JsonObject:
    """Parameters that must fit something, by name."""
    arn = "arn:aws:{}:us-east-1:123456789012:{}"
    return {
        "url": sink.url,
        "seconds": 0,
        "timeout_seconds": 60,
        "cron": "0 0 1 1 *",
        "timezone": "UTC",
        "items": [1],
        "condition": True,
        "cases": [{"handle": "a", "when": True}],
        "handle": "b",
        "body": {"nodes": [{"id": "one", "type": "transform", "parameters": {"value": 1}}], "edges": []},
        "function_name": arn.format("lambda", "function:f"),
        "topic_arn": arn.format("sns", "t"),
        "event_bus_name": arn.format("events", "event-bus/b"),
        "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/q",
        "from_email_address": "a@example.com",
        "destination": {"to_addresses": ["a@example.com"]},
        "content": {"simple": {"subject": {"data": "a"}, "body": {"text": {"data": "a"}}}},
    }


def variants(type_name: str, expression: str, given: JsonObject) -> Iterator[JsonObject]:
    """The type's nodes, each with the expression in another place."""
    kind = node_type(type_name)
    schema = kind.parameters.model_json_schema()
    if type_name != "map":
        given = {name: value for name, value in given.items() if name != "body"}
    for place, parameters in enumerate(Schema(schema, schema.get("$defs", {}), given).hostile(expression)):
        yield {"id": f"n{place}", "type": type_name, "parameters": parameters, "on_error": "continue"}


async def published(harness: EngineHarness, nodes: list[JsonObject]) -> tuple[str, list[str]]:
    """The workflow of those nodes that may be published, each followed by one that reads it; and their ids."""
    while True:
        graph, edges = _drawn(nodes)
        try:
            return await harness.publish(graph, *edges), [node["id"] for node in nodes]
        except InvalidGraphError as error:
            problems = error.problems
        wrong = {graph[int(one.pointer.split("/")[2])]["id"] for one in problems if one.pointer.startswith("/nodes/")}
        left = [node for node in nodes if not wrong & {node["id"], f"after_{node['id']}"}]
        assert len(left) < len(nodes), problems
        nodes = left


def _drawn(nodes: list[JsonObject]) -> tuple[list[JsonObject], list[str]]:
    graph, edges = [HOOK], ["hook>after_all"]
    for node in nodes:
        kind = node_type(node["type"])
        graph.append(node)
        if kind.is_trigger:
            edges.append(f"{node['id']}>after_all")
            continue
        edges.append(f"hook>{node['id']}")
        for handle in kind.handles(node["parameters"])[:1]:
            graph.append(_reader(node["id"]))
            edges.append(f"{node['id']}.{handle}>after_{node['id']}")
    return [*graph, _reader("all")], edges


def _reader(node_id: str) -> JsonObject:
    return {"id": f"after_{node_id}", "type": "transform", "parameters": {"value": "{% $input %}"}}


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("type_name", names())
async def test_no_text_is_a_fault_of_ours(harness: EngineHarness, sink: Sink, type_name: str) -> None:
    """Each node has succeeded, has failed with an error of its own, or waits; and the run's row says what its events
    do."""

    def answer(_request: Received) -> tuple[int, dict[str, str], bytes]:
        return ANSWERS[len(sink.received) % len(ANSWERS)]

    sink.answer = answer
    ran = 0
    for expression in EXPRESSIONS.values():
        workflow_id, ids = await published(harness, list(variants(type_name, expression, known(harness, sink))))
        job = harness.delivery(workflow_id, {"a": "b"})
        state = await harness.execute(job)
        ran += len(ids)
        # One of ours would have been raised, out of the engine, for its drain to try again.
        assert state.error is None or state.error["code"] != "internal_error"
        row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
        assert row is not None
        assert (row["status"], row["stream_version"]) == (state.status, state.stream_version)
        if not state.is_terminal:
            assert (await harness.cancel(job)).is_terminal
    assert ran or type_name in ("webhook_trigger", "manual_trigger", "schedule_trigger")
