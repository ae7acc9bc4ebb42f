"""Canaries: each secret of a full scenario is looked for in every table, key of Redis, log and answer afterwards."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from local.stack.stack import LocalStack
from shared.json_types import JsonObject
from tests.e2e.clients import client_of


def canary(kind: str) -> str:
    """A secret that nothing else looks like."""
    return f"canary{kind}{uuid.uuid4().hex}"


@dataclass
class Scenario:
    """What was hidden, by what it is, the credentials that it is a part of, and every answer that was given, with the
    request that it answers."""

    http: httpx.Client
    hidden: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        """The answer, which is kept with its headers."""
        answer = self.http.request(method, path, **options)  # type: ignore[arg-type]
        self.answers.append((f"{method} {path}"[:80], f"{dict(answer.headers)} {answer.text}"))
        return answer

    def made(self, path: str, body: JsonObject) -> JsonObject:
        """What a request that must succeed has made; its answer may show a secret, this once."""
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        found: JsonObject = answer.json()
        return found


def forms(secret: str) -> dict[str, str]:
    """The secret as it is, and as it may come back: in hexadecimal, in each alignment of base64, backwards, by halves,
    in other case, and the hash by which nobody should keep it."""
    raw = secret.encode()
    shifted = {f"base64, {n}": base64.b64encode(b"x" * n + raw).decode()[4:-4] for n in range(3)}
    plain = {"as it is": secret, "hexadecimal": raw.hex(), "upper case": secret.upper(), "backwards": secret[::-1]}
    halves = {"first half": secret[: len(secret) // 2], "second half": secret[len(secret) // 2 :]}
    return {**plain, **shifted, **halves}


@pytest.fixture(scope="module")
def scenario(stack: LocalStack) -> Iterator[Scenario]:
    """Everything that a tenant does with secrets, done right and done wrong, over; the drains have ended."""
    with client_of(stack, stack.api_key) as http, echo() as server:
        scenario = Scenario(http)
        begin(scenario, stack, server)
        hook = deliver(scenario, server)
        go_wrong(scenario, hook)
        wait_for_runs(scenario, hook["workflow_id"])
        look_at_everything(scenario)
        yield scenario


def begin(scenario: Scenario, stack: LocalStack, server: str) -> None:
    """A tenant's secret, a second API key, a user's token."""
    hidden = scenario.hidden
    hidden["tenant secret"] = canary("tenant")
    body = {"value": hidden["tenant secret"], "allowed_hosts": [server]}
    assert scenario.ask("PUT", "/api/secrets/canary", json=body).status_code < 300
    key = scenario.made("/api/api-keys", {"name": "canary", "role": "viewer"})["key"]
    hidden["API key"] = key.rpartition("_")[2]
    token = stack.user_token(stack.tenant_id, user_id=str(uuid.uuid4()))
    hidden["user token"] = token.rpartition(".")[2]
    for credential in (key, token, key + "x", token + "x", f"Basic {key}"):
        scenario.ask("GET", "/api/workflows", headers={"Authorization": f"Bearer {credential}"})
    scenario.used.update(key=key, token=token)


def deliver(scenario: Scenario, server: str) -> JsonObject:
    """A signed delivery, whose run sends the secret to a server that says all that it hears, and fails."""
    secret = scenario.hidden["webhook secret"] = canary("webhook")
    uses = "{% $secrets.canary %}"
    request = {"method": "POST", "url": f"http://{server}/", "headers": {"X-Key": uses}, "body": {"key": uses}}
    bearer = {"url": f"http://{server}/", "auth": {"type": "bearer", "secret": "canary"}}
    nodes = [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "send", "type": "http_request", "parameters": request},
        {"id": "bearer", "type": "http_request", "parameters": bearer},
        {"id": "wrong", "type": "transform", "parameters": {"value": "{% $error($string($nodes)) %}"}},
    ]
    edges = [{"source": "hook", "target": "send"}, {"source": "send", "target": "bearer"}]
    graph = {"nodes": nodes, "edges": [*edges, {"source": "bearer", "target": "wrong"}]}
    workflow = scenario.made("/api/workflows", {"name": "canaries", **graph})
    assert scenario.ask("POST", f"/api/workflows/{workflow['id']}/publish").status_code == 200
    body = {"name": "canaries", "workflow_id": workflow["id"], "provider": "github", "secret": secret}
    hook = scenario.made("/api/webhooks", body)
    for content in (b'{"n": 1}', b"not JSON"):
        scenario.ask("POST", hook["url"], content=content, headers=signed(secret, content))
    return hook


def go_wrong(scenario: Scenario, hook: JsonObject) -> None:
    """Secrets in the wrong place: the URL, another header, a body that is refused, a run's path."""
    secret, key, token = scenario.hidden["webhook secret"], scenario.used["key"], scenario.used["token"]
    content = b'{"n": 2}'
    for query in (f"?token={urllib.parse.quote(secret)}", f"?api_key={key}", f"?access_token={token}"):
        scenario.ask("POST", hook["url"] + query, content=content, headers=signed("wrong", content))
    for name in ("X-Hub-Signature-256", "X-Token", "Authorization", "X-Api-Key", "Cookie"):
        scenario.ask("POST", hook["url"], content=content, headers={"X-GitHub-Event": "push", name: secret})
    scenario.ask("POST", "/api/webhooks", json={"name": "w", "provider": "github", "secret": secret})
    scenario.ask("POST", "/api/webhooks", json={"name": 1, "workflow_id": secret, "provider": secret})
    scenario.ask("PUT", "/api/secrets/not%20a%20name", json={"value": scenario.hidden["tenant secret"]})
    scenario.ask("PUT", "/api/secrets/canary", json={"value": [scenario.hidden["tenant secret"]]})
    scenario.ask("PUT", "/api/secrets/canary", content=scenario.hidden["tenant secret"].encode())


def signed(secret: str, content: bytes) -> dict[str, str]:
    """The headers of GitHub's delivery."""
    signature = "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": str(uuid.uuid4()),
        "x-hub-signature-256": signature,
    }


def wait_for_runs(scenario: Scenario, workflow_id: str) -> None:
    """Returns when the deliveries' runs have ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runs = scenario.http.get(f"/api/executions?workflow_id={workflow_id}").json()["items"]
        if runs and all(run["finished_at"] for run in runs):
            return
        time.sleep(0.1)
    pytest.fail("The runs did not end.")


def look_at_everything(scenario: Scenario) -> None:
    """Asks for whatever may be asked for of what there is."""
    for path in ("workflows", "webhooks", "executions", "secrets", "api-keys", "events?limit=100"):
        for item in scenario.ask("GET", f"/api/{path}").json()["items"][:10]:
            if path in ("workflows", "webhooks", "executions"):
                scenario.ask("GET", f"/api/{path}/{item['id']}")
            if path == "webhooks":
                scenario.ask("GET", f"/api/webhooks/{item['id']}/deliveries")
            if path == "executions":
                for rest in ("events", "verify"):
                    scenario.ask("GET", f"/api/executions/{item['id']}/{rest}")
                scenario.ask("POST", f"/api/executions/{item['id']}/replay", json={})
    for path in ("/docs", "/openapi.json", "/console", "/health", "/health/invariants", "/api/nowhere", "/nowhere"):
        scenario.ask("GET", path)


def places(scenario: Scenario, stack: LocalStack) -> Iterator[tuple[str, str]]:
    """Every place where something is kept or was said, with all its text."""
    yield from scenario.answers
    with psycopg.connect(stack.environment["DATABASE_URL"]) as database:
        listed = "select schemaname, tablename from pg_tables where schemaname !~ '^pg_|information_schema'"
        for schema, table in database.execute(listed).fetchall():
            name = sql.Identifier(schema, table)
            rows = database.execute(sql.SQL("select t::text from {} t").format(name)).fetchall()
            yield f"table {schema}.{table}", "\n".join(text for (text,) in rows)
    client = redis.Redis(port=int(stack.environment["REDIS_PORT"]))
    for key in client.scan_iter():
        yield f"key {key!r}", f"{key!r} {all_of(client, key)!r}"
    client.close()
    for log in [*stack.folder.glob("*.log"), *(stack.folder / "logs").iterdir()]:
        yield f"log {log.name}", log.read_text(errors="replace")


def all_of(client: redis.Redis, key: bytes) -> object:
    """The whole value of a key, whatever its type."""
    reads = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: client.xrange(key),
        b"none": lambda: None,
    }
    return reads[client.type(key)]()  # type: ignore[index]


def test_no_secret_is_kept_or_said_anywhere(scenario: Scenario, stack: LocalStack) -> None:
    """Not as it is, nor encoded; and that all those places were looked at is seen by what must be in them."""
    looked_at = dict[str, str]()
    found = []
    for place, text in places(scenario, stack):
        looked_at[place] = text
        for what, secret in scenario.hidden.items():
            found += [(what, form, place) for form, written in forms(secret).items() if written in text]
    assert found == []
    assert {"table public.event_store", "table public.webhook_deliveries", "log local-drain.log"} <= set(looked_at)
    assert "[secret:canary]" in looked_at["table public.event_store"]
    assert "NodeFailed" in looked_at["table public.event_store"]


def test_a_secret_that_was_kept_would_be_found(scenario: Scenario, stack: LocalStack) -> None:
    """What a delivery says, and no secret, is found where it must be kept: the search sees into payloads."""
    texts = [text for _, text in places(scenario, stack)]
    assert any("not JSON" in text or base64.b64encode(b"not JSON").decode() in text for text in texts)


@contextmanager
def echo() -> Iterator[str]:
    """`host:port` of a server that answers with all that it is told, as text, in base64, in hexadecimal and escaped."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            heard = f"{self.headers}{body.decode()}"
            texts = [heard, base64.b64encode(heard.encode()).decode(), heard.encode().hex()]
            texts += ["".join(f"&#{ord(character)};" for character in heard), urllib.parse.quote(heard)]
            said = json.dumps(texts).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("x-heard", (self.headers.get("x-key") or self.headers.get("authorization") or "none"))
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
