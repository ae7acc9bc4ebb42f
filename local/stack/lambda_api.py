"""Lambda's Invoke API for boto3, and a view of the running workers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote

from local.stack.function_pool import FunctionPool
from local.stack.http_api import Receive, Scope, Send
from local.stack.template import function_arn

# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MAX_PAYLOAD_BYTES = {"RequestResponse": 6_291_556, "Event": 1_048_576, "DryRun": 6_291_556}
_PREFIX, _SUFFIX = "/2015-03-31/functions/", "/invocations"
# Lambda waits a minute before the first retry of an asynchronous invocation and two before the second.
ASYNC_RETRY_SECONDS = float(os.environ.get("LOCAL_ASYNC_RETRY_SECONDS", "60"))


class AsyncInvocations:
    """Runs asynchronous invocations in the background, retrying failed ones as Lambda does."""

    def __init__(self, pools: Mapping[str, FunctionPool], retry_seconds: float = ASYNC_RETRY_SECONDS) -> None:
        self._pools = pools
        self._retry_seconds = retry_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: Counter[str] = Counter()

    def start(self, name: str, payload: bytes, request_id: str | None = None) -> None:
        """Queue one invocation of the function `name`."""
        self._pending[name] += 1
        task = asyncio.get_running_loop().create_task(self._run(name, payload, request_id or str(uuid.uuid4())))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pending(self, name: str) -> int:
        """How many of the function's asynchronous invocations have not ended."""
        return self._pending[name]

    async def _run(self, name: str, payload: bytes, request_id: str) -> None:
        try:
            pool = self._pools[name]
            for attempt in range(pool.function.async_retries + 1):
                if attempt:
                    await asyncio.sleep(self._retry_seconds * attempt)
                outcome = await pool.invoke(payload, request_id)
                if outcome.function_error is None:
                    return
            print(f"{name}: gave up an asynchronous invocation: {outcome.payload.decode()}", file=sys.stderr)
        finally:
            self._pending[name] -= 1

    def close(self) -> None:
        """Drop invocations that are queued or wait for a retry."""
        for task in self._tasks:
            task.cancel()


class LambdaApi:
    """The ASGI application behind AWS_ENDPOINT_URL_LAMBDA."""

    def __init__(self, pools: Mapping[str, FunctionPool], invocations: AsyncInvocations) -> None:
        self._pools = pools
        self._invocations = invocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        method, path = scope["method"], unquote(scope["raw_path"].decode("latin-1"))
        if method == "POST" and path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            answer = await self._invoke(path[len(_PREFIX) : -len(_SUFFIX)], scope, receive)
        elif (method, path) == ("GET", "/_local/functions"):
            answer = _json(200, {name: pool.workers() for name, pool in self._pools.items()})
        elif (method, path) == ("POST", "/_local/reload"):
            for pool in self._pools.values():
                pool.reload()
            answer = _json(200, {})
        else:
            answer = _error(404, "UnknownOperationException", f"The local Lambda API does not know {method} {path}")
        status, headers, body = answer
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _invoke(self, reference: str, scope: Scope, receive: Receive) -> _Answer:
        pool = self._pools.get(_name_in(reference))
        if pool is None:
            arn = reference if reference.startswith("arn:") else function_arn(_name_in(reference))
            return _error(404, "ResourceNotFoundException", f"Function not found: {arn}", key="Message")
        headers = dict(scope["headers"])
        kind = headers.get(b"x-amz-invocation-type", b"RequestResponse").decode()
        if kind not in _MAX_PAYLOAD_BYTES:
            return _error(400, "InvalidParameterValueException", f"Unknown invocation type {kind}")
        payload = await _body(receive) or b"{}"
        if len(payload) > _MAX_PAYLOAD_BYTES[kind]:
            message = f"Request must be smaller than {_MAX_PAYLOAD_BYTES[kind]} bytes for the InvokeFunction operation"
            return _error(413, "RequestTooLargeException", message)
        try:
            json.loads(payload)
        except ValueError as error:
            message = f"Could not parse request body into json: {error}"
            return _error(400, "InvalidRequestContentException", message)
        # Synchronous invocations wait for the function; asynchronous ones are queued and answered at once.
        request_id = str(uuid.uuid4())
        common = [(b"x-amzn-requestid", request_id.encode()), (b"content-type", b"application/json")]
        if kind == "DryRun":
            return 204, common, b""
        if kind == "Event":
            self._invocations.start(pool.function.name, payload, request_id)
            return 202, common, b""
        outcome = await pool.invoke(payload, request_id)
        common.append((b"x-amz-executed-version", b"$LATEST"))
        if outcome.function_error is not None:
            common.append((b"x-amz-function-error", outcome.function_error.encode()))
        return 200, common, outcome.payload


_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def _name_in(reference: str) -> str:
    """The function's name in a name, `name:alias`, `account:function:name` or ARN."""
    parts = reference.split(":")
    return parts[parts.index("function") + 1] if "function" in parts[:-1] else parts[0]


async def _body(receive: Receive) -> bytes:
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _json(status: int, value: object) -> _Answer:
    return status, [(b"content-type", b"application/json")], json.dumps(value).encode()


def _error(status: int, kind: str, message: str, key: str = "message") -> _Answer:
    head = [
        (b"content-type", b"application/json"),
        (b"x-amzn-errortype", kind.encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    return status, head, json.dumps({"Type": "User", key: message}).encode()
