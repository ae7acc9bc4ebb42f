"""Examples in docs/: their parts, and how they are executed against the running stack.

CONTRIBUTING.md describes the form for those who write examples.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import httpx

from local.stack.stack import LocalStack
from local.tools.sink import Received

DOCS = Path(__file__).parents[2] / "docs"
# The sink's address in the documents, as in the tutorial.
SINK = "127.0.0.1:9000"  # in URLs, and alone where a secret is bound to it
# How long a GET may take to be answered as the document says.
PATIENCE_SECONDS = 20.0
ANYTHING = "…"
_MARKED = re.compile(r"^<!-- example: ([a-z0-9_]+) -->$", re.MULTILINE)
_END = re.compile(r"^(?:## |<!-- example: )", re.MULTILINE)
_BLOCK = re.compile(r"^(<!-- received -->\n)?```(json|http)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\{([a-z_]\w*(?:\.\w+)*)\}")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `kind` is `workflow`, `request`, `answer` or `received`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a document: its blocks, in order."""

    name: str
    document: str
    blocks: tuple[Block, ...]


def examples() -> Iterator[Example]:
    """Every example of every document."""
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for marked in _MARKED.finditer(text):
            rest = text[marked.end() :]
            end = _END.search(rest)
            blocks = tuple(_block(*groups) for groups in _BLOCK.findall(rest[: end.start()] if end else rest))
            yield Example(marked[1], str(path.relative_to(DOCS)), blocks)


def _block(received: str, language: str, text: str) -> Block:
    if received:
        return Block("received", text)
    if language == "http":
        return Block("answer" if text.startswith("HTTP/") else "request", text)
    content = json.loads(text)
    return Block("workflow" if isinstance(content, dict) and "edges" in content else "answer", text)


class Reader:
    """Executes examples, as the stack's first tenant."""

    def __init__(self, stack: LocalStack, sink_url: str, received: Sequence[Received]) -> None:
        """`received` are the requests that the server at `sink_url` has got; in the documents it is port 9000."""
        self._stack, self._sink_url, self._received = stack, sink_url, received
        self._known: dict[str, str] = {}
        self._sent: httpx.Request | None = None
        self._answer: httpx.Response | None = None

    def follow(self, example: Example) -> int:
        """Executes the example; returns how many responses and received requests matched. A mismatch fails the test."""
        compared = 0
        assert example.blocks, f"{example.document}: the example {example.name} has no blocks"
        with httpx.Client(base_url=self._stack.api_url, trust_env=False, timeout=40) as self._client:
            for number, block in enumerate(example.blocks):
                text = self._filled(block.text)
                if block.kind == "workflow":
                    self._publish(json.loads(text))
                elif block.kind == "request":
                    self._send(text)
                    if [following.kind for following in example.blocks[number + 1 : number + 2]] != ["answer"]:
                        assert self._answer is not None
                        assert self._answer.is_success, self._answer.text
                elif block.kind == "answer":
                    self._expect(text)
                    compared += 1
                else:
                    self._expect_received(text)
                    compared += 1
        return compared

    def _filled(self, text: str) -> str:
        """The text with what earlier answers have named: `{id}`, or `{items.0.id}` of the last one."""
        known = _NAME.sub(lambda name: self._known.get(name[1], name[0]), text)
        return known.replace(SINK, self._sink_url.removeprefix("http://"))

    def _publish(self, graph: Any) -> None:
        for path in ("/api/workflows", "/api/workflows/{workflow_id}/publish"):
            body = json.dumps({"name": "example", **graph}) if path == "/api/workflows" else ""
            self._send(self._filled(f"POST {path}\n\n{body}"))
            assert self._answer is not None
            assert self._answer.is_success, self._answer.text
            self._known["workflow_id"] = self._answer.json()["id"]

    def _send(self, text: str) -> None:
        method, target, headers, body = _message(text)
        if target.startswith("/api/"):
            headers.setdefault("authorization", f"Bearer {self._stack.api_key}")
        if body:
            headers.setdefault("content-type", "application/json")
        self._sent = self._client.build_request(method, target, headers=headers, content=body.encode())
        self._answer = self._client.send(self._sent)
        self._remember()

    def _remember(self) -> None:
        assert self._answer is not None
        try:
            body = self._answer.json()
        except ValueError:
            return
        self._known |= dict(_scalars(body))

    def _expect(self, text: str) -> None:
        assert self._sent is not None
        assert self._answer is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (difference := _difference(text, self._answer)) is not None:
            # What a run has come to is asked again until it has come so far.
            if self._sent.method != "GET" or time.monotonic() > deadline:
                raise AssertionError(f"{difference}\n{self._sent.method} {self._sent.url}\n{self._answer.text}")
            time.sleep(0.05)
            self._answer = self._client.send(self._sent)
        self._remember()

    def _expect_received(self, text: str) -> None:
        method, target, headers, body = _message(text)
        matching = [request for request in self._received if (request.method, request.path) == (method, target)]
        assert matching, (
            f"the sink has not received {method} {target}, but {[request.path for request in self._received]}"
        )
        for name, value in headers.items():
            assert value in (ANYTHING, matching[-1].headers.get(name)), f"{name}: {matching[-1].headers.get(name)}"
        if body:
            received = json.loads(matching[-1].body)
            assert not (wrong := differs(json.loads(body), received)), wrong
            self._known |= dict(_scalars(received))


def _message(text: str) -> tuple[str, str, dict[str, str], str]:
    """First line, second word of it, headers and body of an HTTP message."""
    first, _, rest = text.partition("\n")
    head, _, body = rest.partition("\n\n") if not rest.startswith("\n") else ("", "", rest[1:])
    method, target = first.split(" ", 2)[:2]
    return method, target, {name.lower(): value for name, value in HeaderParser().parsestr(head).items()}, body.strip()


def _scalars(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            yield from _scalars(member, f"{path}.{name}" if path else str(name))
    elif isinstance(value, str):
        yield path, value
    elif value is not None:
        yield path, json.dumps(value)


def _difference(text: str, answer: httpx.Response) -> str | None:
    body = text
    if text.startswith("HTTP/"):
        _, status, headers, body = _message(text)
        if str(answer.status_code) != status:
            return f"the status is {answer.status_code}, not {status}"
        for name, value in headers.items():
            if name not in answer.headers or value not in (ANYTHING, answer.headers[name]):
                return f"the header {name} is {answer.headers.get(name)!r}, not {value!r}"
    elif not answer.is_success:
        return f"the status is {answer.status_code}"
    if not body:
        return None
    if not answer.headers.get("content-type", "").split(";")[0].endswith("json"):
        return None if body == answer.text.strip() else f"the body is not {body!r}"
    return differs(json.loads(body), answer.json())


def differs(expected: Any, actual: Any, path: str = "") -> str | None:
    """Where `actual` differs from what is expected; objects may have more members, and `"…"` is anything."""
    if expected == ANYTHING:
        return None
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name not in actual:
                return f"{path}/{name} is missing"
            wrong = differs(value, actual[name], f"{path}/{name}")
            if wrong:
                return wrong
        return None
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((wrong for n, (item, other) in pairs if (wrong := differs(item, other, f"{path}/{n}"))), None)
    return None if expected == actual else f"{path or '/'} is {actual!r}, not {expected!r}"
