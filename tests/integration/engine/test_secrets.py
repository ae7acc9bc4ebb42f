"""Effects with secrets: sent, and said nowhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from shared.aws import secrets as keys
from shared.commands.executions.replay_execution import ReplayExecution
from shared.commands.secrets.changes import append
from shared.commands.secrets.delete_secret import delete_secret
from shared.commands.secrets.set_secret import SetSecret, set_secret
from shared.domain.secret import secret_context
from shared.engine.verify.dry_run import dry_run
from shared.errors import InvalidGraphError
from shared.events.secret import SecretSet
from shared.json_types import JsonObject
from shared.settings import settings
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Sink, as_json

AT = "/nodes/1/parameters"
VALUE = "s3cret-välue/+"
PLAIN = "plain-s3cret"


@pytest.fixture(autouse=True)
async def _secrets(harness: EngineHarness, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_KEY", base64.b64encode(bytes(32)).decode())
    settings.cache_clear()
    keys.forget_keys()
    for name, value in {"token": PLAIN, "other": VALUE}.items():
        await bind(harness, name, [f"127.0.0.1:{sink.port}"], value)


async def bind(harness: EngineHarness, name: str, hosts: list[str] | None, value: str = PLAIN) -> None:
    """Sets a secret that may be sent to these hosts; without, one from before there were bindings."""
    if hosts is not None:
        await set_secret(harness.services, harness.actor, name, SetSecret(value=value, allowed_hosts=hosts))
        return
    sealed = await keys.encrypt(value, secret_context(harness.tenant_id, name))
    await append(harness.services, harness.actor, name, None, SecretSet(name), sealed)


def echo(sink: Sink) -> None:
    """Lets the sink answer with all that it was sent."""
    sink.answer = lambda got: (200, {}, as_json({"path": got.path, "headers": got.headers, "body": got.body.decode()}))


async def run(harness: EngineHarness, sink: Sink, delivered: Any = None, /, **parameters: Any) -> Any:
    """The job of a run that has sent one request."""
    node = request("send", sink.url + "/x", parameters=parameters)
    job = harness.delivery(await harness.publish([HOOK, node], "hook>send"), delivered)
    await harness.execute(job)
    return job


async def told(harness: EngineHarness, job: Any) -> str:
    """Everything that is recorded of the run, as text."""
    return json.dumps([[one.payload, one.metadata] for one in await harness.events(job)], ensure_ascii=False)


async def test_secret_is_sent_and_not_said(harness: EngineHarness, sink: Sink) -> None:
    """Though the server echoes it in every form; events have placeholders, and the run can be derived again."""
    echo(sink)
    job = await run(
        harness,
        sink,
        query={"key": "{% $secrets.other %}"},
        headers={"x-token": "Token {% $secrets.token %}"},
        body={"secret": "{% $secrets.other %}", "n": "{% $trigger.method %}"},
    )
    (got,) = sink.received
    assert got.headers["x-token"] == f"Token {PLAIN}"
    assert json.loads(got.body) == {"secret": VALUE, "n": "POST"}
    state = await harness.state(job)
    assert state.status == "succeeded", state.error
    assert state.output["body"]["headers"]["x-token"] == "Token [secret:token]"
    assert state.nodes["send"].parameters is not None
    assert state.nodes["send"].parameters["headers"] == {"x-token": "Token [secret:token]"}
    text = await told(harness, job)
    assert not [form for form in (VALUE, PLAIN, "s3cret-v%C3%A4lue") if form in text]
    assert (await harness.verify(job))["first_difference"] is None


@pytest.mark.parametrize(
    "echoed",
    [
        lambda secret: "".join(f"\\u{ord(character):04x}" for character in secret),
        lambda secret: "".join(f"&#{ord(character)};" for character in secret),
        lambda secret: quote(secret, safe="").lower(),
        lambda secret: json.dumps(json.dumps(secret)),
        lambda secret: secret.upper(),
        lambda secret: secret[:12],
    ],
    ids=["json", "html", "percent", "twice", "case", "cut"],
)
async def test_echo_in_another_form_is_not_said(
    harness: EngineHarness, sink: Sink, echoed: Callable[[str], str]
) -> None:
    """However the server writes what it was sent: in the output, in headers, and in errors."""
    said = echoed(VALUE)
    for status in (200, 400):
        sink.answer = lambda _got, status=status: (
            status,
            {"x-echo": said.encode("ascii", "xmlcharrefreplace").decode(), "content-type": "text/plain"},
            f"got {said}".encode(),
        )
        job = await run(harness, sink, headers={"x-token": "{% $secrets.token %}"}, body="{% $secrets.other %}")
        text = await told(harness, job)
        assert "[secret:other]" in text
        assert json.dumps(said, ensure_ascii=False)[1:-1] not in text


async def test_secret_is_redacted_before_an_answer_is_cut(harness: EngineHarness, sink: Sink) -> None:
    """The end of the part that an error has falls into the secret: no piece of it is left, however short."""
    sink.answer = lambda got: (400, {"content-type": "text/plain"}, b"x" * 1_993 + got.headers["x-token"].encode())
    job = await run(harness, sink, headers={"x-token": "{% $secrets.token %}"})
    state = await harness.state(job)
    assert state.error is not None
    body = state.nodes["send"].error["details"]["body"]
    assert (body[:1_993], body[1_993:]) == ("x" * 1_993, "[secret")


async def test_failure_does_not_say_it_either(harness: EngineHarness, sink: Sink) -> None:
    """Neither what the server answers nor what cannot be sent."""
    sink.answer = lambda got: (400, {}, f"bad key {got.headers['x-token']}".encode())
    refused = await run(harness, sink, headers={"x-token": "{% $secrets.token %}"})
    assert PLAIN not in await told(harness, refused)
    assert "[secret:token]" in await told(harness, refused)
    unsendable = await run(harness, sink, headers={"x-token": "{% $secrets.other %}\n"})
    state = await harness.state(unsendable)
    assert state.error is not None
    assert state.error["code"] == "invalid_parameters"
    assert VALUE not in await told(harness, unsendable)
    assert (await harness.verify(unsendable))["first_difference"] is None


@pytest.mark.parametrize(
    ("auth", "name", "sent"),
    [
        ({"type": "bearer", "secret": "token"}, "authorization", f"Bearer {PLAIN}"),
        ({"type": "header", "secret": "token", "header": "X-Api-Key"}, "x-api-key", PLAIN),
        (
            {"type": "basic", "secret": "other", "username": "ada"},
            "authorization",
            "Basic " + base64.b64encode(f"ada:{VALUE}".encode()).decode(),
        ),
        ({"type": "basic", "secret": "token"}, "authorization", "Basic " + base64.b64encode(PLAIN.encode()).decode()),
    ],
)
async def test_auth_is_sent_from_its_secret(
    harness: EngineHarness, sink: Sink, auth: JsonObject, name: str, sent: str
) -> None:
    """Beside what the parameters say, and in no event."""
    sink.answer = lambda got: (200, {}, as_json(got.headers[name]))
    job = await run(harness, sink, auth=auth)
    assert sink.received[0].headers[name] == sent
    text = await told(harness, job)
    assert PLAIN not in text
    assert sent.removeprefix("Basic ") not in text
    assert base64.b64encode(VALUE.encode())[:-4].decode() not in text


@pytest.mark.parametrize(
    ("auth", "headers"), [({"type": "bearer", "secret": "bound"}, {}), (None, {"x-token": "{% $secrets.bound %}"})]
)
async def test_secret_goes_to_its_hosts_alone(
    harness: EngineHarness, sink: Sink, auth: JsonObject | None, headers: JsonObject
) -> None:
    """Wherever it stands in the request; the error says which secret, which host, and how to mend it."""
    await bind(harness, "bound", ["api.vendor.example", "127.0.0.1"])
    state = await harness.state(await run(harness, sink, auth=auth, headers=headers))
    assert state.error is not None
    assert (state.error["code"], sink.received) == ("secret_refused", [])
    for word in ("'bound'", f"127.0.0.1:{sink.port}", "api.vendor.example", "PUT /api/secrets/bound"):
        assert word in state.error["message"]
    await set_secret(harness.services, harness.actor, "bound", SetSecret(allowed_hosts=[f"127.0.0.1:{sink.port}"]))
    harness.engine = harness.new_engine()  # the old binding is in the first one's cache for ten seconds
    assert (await harness.state(await run(harness, sink, auth=auth, headers=headers))).status == "succeeded"


@pytest.mark.parametrize(
    "path", ["@127.0.0.1:{port}/x", ".evil.example/", ":1@127.0.0.1:{port}/", "\\@127.0.0.1:{port}/"]
)
async def test_delivery_does_not_choose_who_gets_a_secret(harness: EngineHarness, sink: Sink, path: str) -> None:
    """Whatever it puts behind the host: what counts is the host of the URL as it is sent."""
    await bind(harness, "vendor", ["api.vendor.example"])
    url = "http://api.vendor.example{% $trigger.body.path %}"
    node = request("send", url, parameters={"headers": {"x-token": "{% $secrets.vendor %}"}})
    job = harness.delivery(
        await harness.publish([HOOK, node], "hook>send"), {"path": path.replace("{port}", str(sink.port))}
    )
    state = await harness.execute(job)
    assert state.error is not None
    assert state.error["code"] in ("secret_refused", "invalid_parameters", "expression")
    assert sink.received == []
    assert PLAIN not in await told(harness, job)


@pytest.mark.parametrize(
    ("url", "hosts", "is_published"),
    [
        ("http://api.example{% $trigger.body.path %}", None, False),
        ("http://api.example{% $trigger.body.path %}", ["*"], False),
        ("http://api.example{% $trigger.body.path %}", ["api.example"], True),
        ("{% $trigger.body.url %}", None, False),
        ("{% $trigger.body.base %}/x", ["a.example", "*"], False),
        ("http://{% $trigger.body.shop %}.example.com/x", ["*.example.com"], True),
        ("http://api.example/{% $trigger.body.path %}", None, True),
        ("http://api.example?q={% $trigger.body.path %}", ["*"], True),
    ],
)
async def test_host_from_an_expression_needs_a_bound_secret(
    harness: EngineHarness, url: str, hosts: list[str] | None, is_published: bool
) -> None:
    """Otherwise it is refused when the workflow is published, also within a map."""
    await bind(harness, "any", hosts)
    node = request("t", url, parameters={"auth": {"type": "bearer", "secret": "any"}})
    body = {"nodes": [node], "edges": []}
    around: JsonObject = {"id": "m", "type": "map", "parameters": {"items": [1], "body": body}}
    for nodes, edge, pointer in (
        ([HOOK, node], "hook>t", f"{AT}/url"),
        ([HOOK, around], "hook>m", f"{AT}/body/nodes/0/parameters/url"),
    ):
        if is_published:
            await harness.publish(nodes, edge)
            continue
        with pytest.raises(InvalidGraphError) as refused:
            await harness.publish(nodes, edge)
        assert pointer in [one.pointer for one in refused.value.problems]


async def test_host_that_is_a_secret_may_be_published(harness: EngineHarness) -> None:
    """No delivery chooses it; it is checked like any other when the request is sent."""
    await bind(harness, "any", None)
    await harness.publish([HOOK, request("t", "{% $secrets.any %}")], "hook>t")
    await harness.publish([HOOK, request("t", "https://{% $secrets.any %}/x")], "hook>t")


async def test_secret_without_a_binding_goes_where_it_went(harness: EngineHarness, sink: Sink) -> None:
    """It was set before there were any."""
    await bind(harness, "old", None)
    job = await run(harness, sink, auth={"type": "bearer", "secret": "old"})
    assert (await harness.state(job)).status == "succeeded"


async def test_request_with_secrets_follows_no_redirect(harness: EngineHarness, sink: Sink) -> None:
    """Whoever is redirected to would get them."""
    sink.answer = lambda _got: (307, {"location": f"{sink.url}/elsewhere"}, b"")
    job = await run(harness, sink, auth={"type": "bearer", "secret": "token"})
    state = await harness.state(job)
    assert state.error is not None
    assert (state.error["code"], [one.path for one in sink.received]) == ("http_3xx", ["/x"])
    assert "is not followed, because the request has [secret:token] in it" in state.error["message"]


async def test_placeholder_in_a_delivery_gets_nothing(harness: EngineHarness, sink: Sink) -> None:
    """What comes from outside is never taken for a secret's place."""
    await run(
        harness,
        sink,
        {"text": "[secret:token]", "list": ["[secret:token]"]},
        headers={"x-token": "{% $secrets.token %}"},
        body={"text": "{% $trigger.body.text %}", "list": "{% $trigger.body.list %}"},
    )
    assert json.loads(sink.received[0].body) == {"text": "[secret:token]", "list": ["[secret:token]"]}


async def test_missing_secret_fails_the_node(harness: EngineHarness, sink: Sink) -> None:
    """Before anything is sent, and by its name; another tenant's is as good as none."""
    job = await run(harness, sink, headers={"x-token": "{% $secrets.nobody %}"})
    state = await harness.state(job)
    assert state.error is not None
    assert (state.error["code"], sink.received) == ("secret_missing", [])
    assert "'nobody'" in state.error["message"]
    await delete_secret(harness.services, harness.actor, "token")
    gone = await harness.state(await run(harness, sink, auth={"type": "bearer", "secret": "token"}))
    assert gone.error is not None
    assert gone.error["code"] == "secret_missing"


@pytest.mark.parametrize(
    ("node", "pointer"),
    [
        (transform("t", "{% $secrets.token %}"), "/nodes/1/parameters/value"),
        (transform("t", "{% $uppercase($secrets.token) %}"), "/nodes/1/parameters/value"),
        (request("t", "http://a.b", parameters={"body": ["{% $secrets.token %}"]}), "/nodes/1/parameters/body/0"),
        (
            request("t", "http://a.b", parameters={"body": "{% $secrets.token %}{% $trigger.method %}"}),
            "/nodes/1/parameters/body",
        ),
        (request("t", "http://a.b", parameters={"body": "{% 'x' & $secrets.token %}"}), "/nodes/1/parameters/body"),
        (
            request("t", "http://a.b", parameters={"auth": {"type": "header", "secret": "a"}}),
            f"{AT}/auth",
        ),
        (
            request("t", "http://a.b", parameters={"auth": {"type": "bearer", "secret": "{% $secrets.a %}"}}),
            "/nodes/1/parameters/auth/secret",
        ),
    ],
)
async def test_secret_in_another_place_is_not_published(harness: EngineHarness, node: JsonObject, pointer: str) -> None:
    """Only an effect has it, as it is, where it is known to stand."""
    with pytest.raises(InvalidGraphError) as refused:
        await harness.publish([HOOK, node], "hook>t")
    assert pointer in [one.pointer for one in refused.value.problems]


async def test_dry_run_needs_no_secret(harness: EngineHarness, sink: Sink) -> None:
    """Placeholders are compared with placeholders; the secret may be gone by then."""
    job = await run(harness, sink, url="{% $secrets.token %}")
    await delete_secret(harness.services, harness.actor, "token")
    command = ReplayExecution(mode="dry_run")
    found = await dry_run(harness.services, harness.guard, harness.actor, job.execution_id, command)
    assert (found["first_difference"], found["nodes"]["send"]["same"]) == (None, True)
    assert found["nodes"]["send"]["replayed"]["parameters"]["url"] == "[secret:token]"
