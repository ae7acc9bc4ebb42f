"""A caller of the functions: builds API Gateway's events (payload 2.0) and hands them to the handler of the route."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from shared.domain.actor import Actor, Role
from shared.http.auth import context_of
from shared.ids import new_id
from shared.json_types import JsonObject

FUNCTIONS = ("workflows", "publish", "api_keys", "secrets", "health", "execute", "executions", "audit", "webhooks")
TEXT = re.compile(r"text/|application/(json|xml|javascript)")


@dataclass(frozen=True)
class Answer:
    """What a handler answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The problem's code."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return str(self.json["code"])

    @property
    def pointers(self) -> list[str]:
        """Where the problem's errors are."""
        return [error["pointer"] for error in self.json.get("errors", [])]


@dataclass(frozen=True)
class Client:
    """One tenant's caller; every call is one invocation."""

    tenant_id: str = field(default_factory=new_id)
    role: Role = "admin"
    scopes: frozenset[str] = frozenset()
    name: str = "api_key:test"
    expires_at: float | None = None

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The answer to one request; `raw` is a body that is sent as it is."""
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = event(method, target, content, headers or {}, urlencode(query) if query else "")
        actor = Actor(self.tenant_id, self.name, self.role, self.scopes, self.expires_at)
        sent["requestContext"]["authorizer"] = {"lambda": context_of(actor)}
        return answer(sent)


def answer(sent: JsonObject) -> Answer:
    """What the function of the event's route answers."""
    handler, sent["routeKey"], sent["pathParameters"] = route_of(
        sent["requestContext"]["http"]["method"], sent["rawPath"]
    )
    found = handler(sent, None)
    headers = {name.lower(): value for name, value in found.get("headers", {}).items()}
    return Answer(found["statusCode"], headers, found.get("body") or "")


def event(method: str, path: str, content: bytes | None, headers: Mapping[str, str], query: str) -> JsonObject:
    """The event of a request without an authorizer's context."""
    headers = {"content-type": "application/json", "host": "api.test", **headers}
    sent: JsonObject = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "domainName": "api.test",
            "requestId": "test",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if content is not None:
        try:
            sent["body"] = content.decode() if TEXT.match(headers["content-type"]) else None
        except UnicodeDecodeError:
            sent["body"] = None
        if sent["body"] is None:
            sent |= {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}
    return sent


def route_of(method: str, path: str) -> tuple[Callable[[JsonObject, Any], JsonObject], str, dict[str, str]]:
    """The handler that a request goes to, its route's key and the path's parameters, as API Gateway finds them."""
    routes = [
        (operation, module)
        for module in (import_module(f"functions.{name}.app") for name in FUNCTIONS)
        for operation in module.api.operations
    ]
    # A literal part wins over a parameter.
    for operation, module in sorted(routes, key=lambda route: route[0].path.count("{")):
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", operation.path), path)
        if operation.method == method and found:
            return module.handler, f"{method} {operation.path}", found.groupdict()
    raise AssertionError(f"No function has the route {method} {path}.")
