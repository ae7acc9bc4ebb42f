"""Lambda REQUEST authorizers with simple responses, cached by identity source."""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import parse_qsl

from local.stack.function_pool import FunctionPool
from local.stack.http_event import API_ID, MAX_EVENT_BYTES, encode
from local.stack.intrinsics import ACCOUNT_ID, REGION
from local.stack.template import Authorizer
from shared.json_types import JsonObject

_CACHED_AT_MOST = 10_000


class AuthorizerError(Exception):
    """The authorizer failed or answered something else than a simple response; API Gateway answers 500."""


class Verdict:
    """An authorizer's decision, and the context of the caller that comes with it."""

    __slots__ = ("allowed", "context", "expires_at")

    def __init__(self, allowed: bool, context: object, expires_at: float) -> None:
        self.allowed = allowed
        self.context = context
        self.expires_at = expires_at


class LambdaAuthorizer:
    """One authorizer of the API."""

    def __init__(self, authorizer: Authorizer, pool: FunctionPool) -> None:
        self._authorizer = authorizer
        self._pool = pool
        self._verdicts: dict[tuple[str, ...], Verdict] = {}
        self._asking: dict[tuple[str, ...], asyncio.Task[Verdict]] = {}

    def identity(self, parts: JsonObject) -> tuple[str, ...] | None:
        """The values of the identity sources, or None when one is missing: then the authorizer is not invoked (401)."""
        values = []
        for kind, name in self._authorizer.identity_sources:
            if kind == "header":
                value = parts["headers"].get(name)
            else:
                value = dict(parse_qsl(parts["rawQueryString"])).get(name)
            if not value:
                return None
            values.append(value)
        return tuple(values)

    async def decide(self, identity: tuple[str, ...], parts: JsonObject) -> Verdict:
        """The verdict on this identity; asked once per `ttl_seconds`. Raises `AuthorizerError`, which is not kept."""
        known = self._verdicts.get(identity)
        if known is not None and known.expires_at > time.monotonic():
            return known
        if self._authorizer.ttl_seconds <= 0:
            return await self._ask(identity, parts)
        asking = self._asking.get(identity)
        if asking is None:
            asking = self._asking[identity] = asyncio.create_task(self._ask(identity, parts))
            asking.add_done_callback(lambda _: self._asking.pop(identity, None))
        # Shielded: others wait for the same answer.
        return await asyncio.shield(asking)

    async def _ask(self, identity: tuple[str, ...], parts: JsonObject) -> Verdict:
        http = parts["requestContext"]["http"]
        event = {
            "version": "2.0",
            "type": "REQUEST",
            "routeArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{API_ID}/$default/{http['method']}{http['path']}",
            "identitySource": list(identity),
            **{key: value for key, value in parts.items() if key != "version"},
        }
        # Headers and paths are far below the limit.
        outcome = await self._pool.invoke(encode(event, MAX_EVENT_BYTES) or b"")
        answer = json.loads(outcome.payload) if outcome.function_error is None else None
        if not isinstance(answer, dict) or not isinstance(answer.get("isAuthorized"), bool):
            raise AuthorizerError(outcome.payload.decode(errors="replace"))
        verdict = Verdict(
            answer["isAuthorized"], answer.get("context"), time.monotonic() + self._authorizer.ttl_seconds
        )
        if self._authorizer.ttl_seconds > 0:
            self._remember(identity, verdict)
        return verdict

    def _remember(self, identity: tuple[str, ...], verdict: Verdict) -> None:
        if len(self._verdicts) >= _CACHED_AT_MOST:
            now = time.monotonic()
            fresh = {key: old for key, old in self._verdicts.items() if old.expires_at > now}
            self._verdicts = fresh if len(fresh) < _CACHED_AT_MOST else {}
        self._verdicts[identity] = verdict
