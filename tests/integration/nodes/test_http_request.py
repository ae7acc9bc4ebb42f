"""http_request against a real server: what it sends, what it reads, and how it fails."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import pytest

from shared.nodes import outbound
from shared.nodes.node_kinds import Completed, EffectContext, EffectPermissions, NodeError
from shared.nodes.registry import node_type
from shared.platform.turns import LARGE_BYTES, ComputeTurns, Result
from tests.integration.engine.sink import Received, Sink, as_json

TENANT = "0192aaaa-0000-7000-8000-000000000001"
OTHER = "0192aaaa-0000-7000-8000-000000000002"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A server that this tenant may call."""
    async with Sink() as server:
        yield server
    await outbound.close()


async def send(
    sink: Sink,
    path: str = "/",
    timeout_seconds: float = 5.0,
    tenant_id: str = TENANT,
    user: str = "",
    turns: ComputeTurns | None = None,
    also: Sink | None = None,
    **parameters: Any,
) -> Completed:
    """One request to the sink."""
    type_ = node_type("http_request")
    permissions = EffectPermissions(tuple(f"{tenant_id}=127.0.0.1:{server.port}" for server in (sink, also or sink)))
    effect = EffectContext(tenant_id, "the-key", timeout_seconds, time.time, permissions, turns=turns or ComputeTurns())
    url = sink.url.replace("//", f"//{user}") + path
    return await type_.kind.perform(type_.parse({"url": url, **parameters}), effect)


async def refused(sink: Sink, **parameters: Any) -> NodeError:
    """The error of one request."""
    with pytest.raises(NodeError) as error:
        await send(sink, **parameters)
    return error.value


class Watched(ComputeTurns):
    """It knows how large what was read in turns was."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def take(
        self, tenant_id: str, compute: Callable[[], Result], size_bytes: int, *, is_beginning: bool = False
    ) -> Result:
        self.sizes.append(size_bytes)
        return await super().take(tenant_id, compute, size_bytes, is_beginning=is_beginning)


async def test_large_answers_are_read_in_turns_after_their_time(sink: Sink) -> None:
    """However long others' take: the node's time is that of the request."""
    turns, body = Watched(), b"[" + b"[]," * 100_000 + b"1]"
    sink.answer = lambda _request: (200, {"content-type": "application/json"}, body)
    held = asyncio.create_task(turns.take(OTHER, lambda: time.sleep(1.2), LARGE_BYTES))
    await asyncio.sleep(0)
    completed = await send(sink, turns=turns, timeout_seconds=1.0)
    assert (len(completed.output["body"]), turns.sizes) == (100_001, [LARGE_BYTES, len(body)])
    await held


async def test_request_carries_what_the_parameters_say(sink: Sink) -> None:
    """Method, query beside the URL's own, headers, a JSON body, and the key."""
    await send(
        sink, path="/p?a=1", method="PUT", query={"b": [2, True], "c": None}, headers={"X-One": 1}, body={"ü": None}
    )
    (got,) = sink.received
    assert (got.method, got.path, got.body) == ("PUT", "/p?a=1&b=2&b=true", '{"ü":null}'.encode())
    assert (got.headers["x-one"], got.headers["content-type"], got.key) == ("1", "application/json", "the-key")


@pytest.mark.parametrize(
    ("body_type", "body", "sent", "content_type"),
    [
        ("form", {"a": ["1", 2], "b": "x y"}, b"a=1&a=2&b=x+y", "application/x-www-form-urlencoded"),
        ("text", "hé", "hé".encode(), "text/plain; charset=utf-8"),
        ("base64", "AAE=", b"\x00\x01", "application/octet-stream"),
    ],
)
async def test_body_types(sink: Sink, body_type: str, body: Any, sent: bytes, content_type: str) -> None:
    """A form, a text, bytes."""
    await send(sink, method="POST", body=body, body_type=body_type)
    assert (sink.received[0].body, sink.received[0].headers["content-type"]) == (sent, content_type)


@pytest.mark.parametrize(
    ("response", "content_type", "content", "expected"),
    [
        ("auto", "application/json", b'{"a":1}', {"a": 1}),
        ("auto", "application/json", b"{oops", "{oops"),
        ("auto", "text/plain", b"hi", "hi"),
        ("auto", "image/png", b"\xff\x00", "/wA="),
        ("auto", "application/json", b"", None),
        ("text", "application/json", b"{}", "{}"),
        ("base64", "text/plain", b"hi", "aGk="),
        ("json", "text/plain", b"[1]", [1]),
    ],
)
async def test_answer_is_read_as_wanted(
    sink: Sink, response: str, content_type: str, content: bytes, expected: Any
) -> None:
    """By its content type, or as the parameters say."""
    sink.answer = lambda _request: (200, {"content-type": content_type}, content)
    output = (await send(sink, response=response)).output
    assert (output["status"], output["body"]) == (200, expected)


async def test_cookies_are_not_kept(sink: Sink) -> None:
    """Headers of an answer are recorded for good; credentials among them are not."""
    sink.answer = lambda _request: (200, {"set-cookie": "session=1", "x-id": "7"}, b"")
    headers = (await send(sink)).output["headers"]
    assert "set-cookie" not in headers
    assert headers["x-id"] == "7"


async def test_nothing_that_a_server_sets_comes_back_with_another_request(sink: Sink) -> None:
    """Neither in the next run's request, nor in another tenant's, nor on a redirect within the same request: whatever
    way the cookie is set."""
    cookies = "session=1; Path=/; Domain=127.0.0.1; Max-Age=600"
    sink.answer = lambda request: (
        (302, {"location": "/landed", "set-cookie": cookies}, b"")
        if request.path == "/login"
        else (200, {"set-cookie": "plain=2"}, b"{}")
    )
    for tenant in (TENANT, OTHER):
        await send(sink, "/login", tenant_id=tenant)
        await send(sink, "/", tenant_id=tenant)
    assert [request.path for request in sink.received] == ["/login", "/landed", "/", "/login", "/landed", "/"]
    assert all("cookie" not in request.headers for request in sink.received)


async def test_one_requests_credentials_are_not_the_nexts(sink: Sink) -> None:
    """Those of a URL, of a header, of a cookie that a workflow sends itself."""
    await send(sink, user="user:password@", headers={"cookie": "mine=1", "x-key": "k"})
    await send(sink)
    first, second = sink.received
    assert (first.headers["authorization"], first.headers["cookie"]) == ("Basic dXNlcjpwYXNzd29yZA==", "mine=1")
    assert {"authorization", "cookie", "x-key"}.isdisjoint(second.headers)


async def test_no_coding_is_asked_for_and_one_is_read(sink: Sink) -> None:
    """A body that comes compressed all the same is taken for what it stands for."""
    sink.answer = lambda _request: (200, {"content-encoding": "gzip"}, gzip.compress(b'{"a":1}'))
    assert (await send(sink)).output["body"] == {"a": 1}
    assert (await send(sink, headers={"Accept-Encoding": "gzip"})).output["body"] == {"a": 1}
    assert [request.headers["accept-encoding"] for request in sink.received] == ["identity", "gzip"]


async def test_twice_compressed_answer_costs_no_memory(sink: Sink) -> None:
    """Some 200 bytes that stand for 64 MiB are refused before a byte of them is decoded."""
    bomb = gzip.compress(gzip.compress(bytes(64 * 1_048_576)))
    sink.answer = lambda _request: (200, {"content-encoding": "gzip, gzip"}, bomb)
    await send(sink, method="HEAD", success=["2xx"])  # the client is there, and what it imports
    tracemalloc.start()
    try:
        error = await refused(sink)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert error.code == "response"


@pytest.mark.parametrize(
    ("status", "success", "code"),
    [(404, None, "http_4xx"), (429, None, "http_429"), (503, None, "http_5xx"), (200, [201], "http_2xx")],
)
async def test_status_that_is_no_success(sink: Sink, status: int, success: list[Any] | None, code: str) -> None:
    """Each class has its code, and the error shows what the server said."""
    sink.answer = lambda _request: (status, {}, as_json({"why": 1}))
    error = await refused(sink, **({"success": success} if success else {}))
    assert (error.code, error.details) == (code, {"status": status, "body": '{"why": 1}'})


@pytest.mark.parametrize("success", [[404], ["4xx"], ["400-410"]])
async def test_success_may_be_anything(sink: Sink, success: list[Any]) -> None:
    """A status, a class, a range."""
    sink.answer = lambda _request: (404, {}, b"{}")
    assert (await send(sink, success=success)).output["status"] == 404


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}, 9),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, None),
        ({"retry-after": "²"}, None),  # a digit to Python, and no number
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "9"}, 9),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
    ],
)
async def test_server_says_when_to_come_back(sink: Sink, headers: dict[str, str], seconds: float | None) -> None:
    """`Retry-After`, or a rate limit that is used up."""
    sink.answer = lambda _request: (429, headers, b"")
    assert (await refused(sink)).retry_after_seconds == seconds


@pytest.mark.parametrize("form", ["date", "unix"])
async def test_server_says_until_when(sink: Sink, form: str) -> None:
    """As an HTTP date, or as the Unix time at which the limit is reset."""
    until = int(time.time()) + 3600
    date = {"retry-after": formatdate(until, usegmt=True)}
    reset = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(until)}
    sink.answer = lambda _request: (429, date if form == "date" else reset, b"")
    assert (await refused(sink)).retry_after_seconds == pytest.approx(3600, abs=10)


async def test_answer_is_cut_off_at_its_limit(sink: Sink) -> None:
    """A large answer is not read to its end."""
    sink.answer = lambda _request: (200, {}, b"x" * 100_000)
    error = await refused(sink, max_response_bytes=1_000)
    assert error.code == "limit"


async def test_slow_server_is_a_timeout(sink: Sink) -> None:
    """The time is for the request as a whole."""
    sink.pause_seconds = 5.0
    assert (await refused(sink, timeout_seconds=0.2)).code == "timeout"


async def test_nobody_there_is_a_network_error(sink: Sink) -> None:
    """A refused connection."""
    type_ = node_type("http_request")
    effect = EffectContext(TENANT, "key", 2.0, time.time, EffectPermissions((f"{TENANT}=127.0.0.1",)))
    with pytest.raises(NodeError) as error:
        await type_.kind.perform(type_.parse({"url": "http://127.0.0.1:1/"}), effect)
    assert error.value.code == "network"


async def test_json_that_is_none_is_invalid_output(sink: Sink) -> None:
    """Where JSON is asked for."""
    sink.answer = lambda _request: (200, {}, b"<html>")
    assert (await refused(sink, response="json")).code == "invalid_output"


async def test_redirect_is_followed_with_the_key(sink: Sink) -> None:
    """Within what is allowed; off, it is an answer like any other."""
    sink.answer = lambda request: (307, {"location": "/b"}, b"") if request.path == "/" else (200, {}, b"{}")
    assert (await send(sink)).output["status"] == 200
    assert [request.key for request in sink.received] == ["the-key", "the-key"]
    assert (await refused(sink, follow_redirects=False)).code == "http_3xx"


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/", "http://169.254.169.254/latest", "http://[::1]:9/"])
async def test_redirect_to_a_private_address_is_refused(sink: Sink, location: str) -> None:
    """Each hop is judged like the first."""
    sink.answer = lambda _request: (302, {"location": location}, b"")
    assert (await refused(sink)).code == "outbound_refused"


SIGNAL_URL = f"https://api.test/signals/{'A' * 86}.approval"
API_KEY = f"wk_{'0' * 32}_{'a' * 43}"


async def redirected(sink: Sink, **parameters: Any) -> Received:
    """What another origin gets of a request that was redirected to it, with 307."""
    async with Sink() as other:
        sink.answer = lambda _request: (307, {"location": f"{other.url}/there"}, b"")
        await send(sink, also=other, **parameters)
        (got,) = other.received
        return got


async def test_no_credential_crosses_to_another_origin(sink: Sink) -> None:
    """Whatever the header is called: only those that say what is sent and wanted go on, with the body."""
    headers = {"X-Api-Key": "k", "Authorization": "Bearer k", "Cookie": "k=1", "X-Auth": "k", "Accept": "text/plain"}
    got = await redirected(sink, method="POST", headers=headers, body={"n": 1}, user="user:password@")
    assert set(got.headers) <= {
        *("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"),
        "idempotency-key",
    }
    assert (got.body, got.headers["accept"], got.key) == (b'{"n":1}', "text/plain", "the-key")


@pytest.mark.parametrize("credential", [SIGNAL_URL, API_KEY, SIGNAL_URL.replace("/", "%2F")])
@pytest.mark.parametrize("body_type", ["json", "form", "text"])
async def test_no_credential_in_a_body_crosses_to_another_origin(sink: Sink, credential: str, body_type: str) -> None:
    """A signal's URL or an API key that the workflow was given as data stays at the first origin."""
    body = credential if body_type == "text" else {"callback": credential}
    async with Sink() as other:
        sink.answer = lambda _request: (308, {"location": other.url}, b"")
        with pytest.raises(NodeError) as refused:
            await send(sink, also=other, method="POST", body=body, body_type=body_type)
        assert (refused.value.code, other.received) == ("outbound_refused", [])
    assert other.url in str(refused.value)
    assert credential not in str(refused.value)


async def test_body_that_is_not_sent_on_may_hold_a_credential(sink: Sink) -> None:
    """After 303 the request is a GET, without it."""
    async with Sink() as other:
        sink.answer = lambda _request: (303, {"location": other.url}, b"")
        await send(sink, also=other, method="POST", body={"callback": SIGNAL_URL})
        (got,) = other.received
        assert (got.method, got.body) == ("GET", b"")


async def test_headers_stay_within_the_origin(sink: Sink) -> None:
    """They were meant for this server."""
    sink.answer = lambda request: (307, {"location": "/b"}, b"") if request.path == "/" else (200, {}, b"{}")
    await send(sink, headers={"X-Api-Key": "k", "Authorization": "Bearer k"})
    assert [(got.headers["x-api-key"], got.headers["authorization"]) for got in sink.received] == [
        ("k", "Bearer k")
    ] * 2


async def test_endless_redirect_ends(sink: Sink) -> None:
    """After five hops."""
    sink.answer = lambda _request: (302, {"location": "/again"}, b"")
    assert (await refused(sink)).code == "network"
    assert len(sink.received) == 6


async def test_other_tenant_cannot_use_the_kept_connection(sink: Sink) -> None:
    """A connection that one tenant may use is not there for another."""
    await send(sink)
    type_ = node_type("http_request")
    effect = EffectContext("another", "key", 2.0, time.time, EffectPermissions((f"{TENANT}=127.0.0.1:{sink.port}",)))
    with pytest.raises(NodeError) as error:
        await type_.kind.perform(type_.parse({"url": sink.url}), effect)
    assert error.value.code == "outbound_refused"
