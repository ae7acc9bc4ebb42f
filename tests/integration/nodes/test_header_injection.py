"""Text that would end a header or a request's line and begin another: in every place that data reaches."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from shared.nodes.node_kinds import NodeError
from tests.integration.engine.sink import Sink
from tests.integration.nodes.test_http_request import send, sink  # noqa: F401  # a fixture

BREAKS = [
    "a\r\nX-Injected: 1",
    "a\nX-Injected: 1",
    "a\rX-Injected: 1",
    "a\0b",
    "a\u010aX-Injected: 1",
    "a\u2028b",
    "\u00e4",
]
ODD_NAMES = [
    "X-A\r\nX-Injected",
    "X-A: 1\r\nX-Injected",
    "X A",
    "X-\u00c4",
    "X-A\0",
    "",
    ":authority",
    "X-A\u010aX-Injected",
]


async def injected(sink: Sink, **parameters: Any) -> list[str]:  # noqa: F811
    """The names of headers that the server got and nobody wrote; a request that is refused injects none."""
    try:
        await send(sink, **parameters)
    except (NodeError, pydantic.ValidationError, ValueError):
        assert sink.received == []
    return [name for got in sink.received for name in got.headers if "injected" in name.lower()]


@pytest.mark.parametrize("text", BREAKS)
@pytest.mark.parametrize(
    "place",
    [
        lambda text: {"headers": {"X-A": text}},
        lambda text: {"headers": {"Content-Type": text}, "method": "POST", "body": "b", "body_type": "text"},
        lambda text: {"headers": {"Host": f"127.0.0.1{text}"}},
        lambda text: {"path": f"/{text}"},
        lambda text: {"path": f"/?q={text}"},
        lambda text: {"query": {"q": text}},
        lambda text: {"query": {text: "q"}},
        lambda text: {"user": f"{text}:{text}@"},
        lambda text: {"method": "POST", "body": {"k": text}, "body_type": "form"},
        lambda text: {"method": f"GET {text}"},
    ],
    ids=["value", "type", "host", "path", "query", "parameter", "name", "user", "form", "method"],
)
async def test_no_text_begins_a_header_or_a_request(sink: Sink, place: Any, text: str) -> None:  # noqa: F811
    """It is encoded, or refused before anything is sent; and there is one request at most."""
    assert await injected(sink, **place(text)) == []
    assert len(sink.received) <= 1


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_no_name_of_a_header_begins_another(sink: Sink, name: str) -> None:  # noqa: F811
    """A name is a token of HTTP, or is refused."""
    assert await injected(sink, headers={name: "1"}) == []
    assert sink.received == []


async def test_line_breaks_in_a_redirect_are_no_headers(sink: Sink) -> None:  # noqa: F811
    """Of the next request, which the server's own text names."""
    location = f"{sink.url}/there%0d%0aX-Injected:%201\u010d\u010aX-Injected: 1"
    sink.answer = lambda got: (302, {"location": location}, b"") if got.path == "/" else (200, {}, b"{}")
    try:
        await send(sink)
    except NodeError:
        assert len(sink.received) == 1
    assert not [name for got in sink.received for name in got.headers if "injected" in name.lower()]
