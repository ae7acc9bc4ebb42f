"""An answer as data: `status`, `content_type`, `headers` and a `body` (or `json`) of templates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.domain.response import FORBIDDEN_HEADERS
from shared.json_types import JsonMapping
from shared.webhooks.delivery import Answer, SignatureContext
from shared.webhooks.signatures.encodings import as_text
from shared.webhooks.signatures.template import Template, parse_template
from shared.webhooks.toml_reader import TomlTable

# Longer than any challenge: whoever wants a longer answer wants us to publish a text.
MAX_ANSWER_BYTES = 4096

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,199}")

KEYS = ("status", "content_type", "headers", "body", "json")


class Reply(NamedTuple):
    """An answer whose texts are templates over the delivery."""

    status: int
    content_type: str
    headers: tuple[tuple[str, Template], ...]
    body: Template | None
    json: Any

    def answer(self, context: SignatureContext) -> Answer | None:
        """The answer; `None` where the delivery lacks one of its fields, or where one is too long or has line
        breaks."""
        try:
            body = b"" if self.body is None else self.body.render(context)
            if self.json is not None:
                body = json.dumps(_filled(self.json, context), separators=(",", ":"), ensure_ascii=False).encode()
        except (_MissingError, UnicodeEncodeError):
            return None
        headers = {name: template.render(context) for name, template in self.headers}
        if body is None or len(body) > MAX_ANSWER_BYTES:
            return None
        texts: dict[str, str] = {}
        for name, value in headers.items():
            text = None if value is None else as_text(value)
            if text is None or len(text) > 1000 or not text.isascii() or not text.isprintable():
                return None
            texts[name] = text
        return Answer(self.status, body, self.content_type, texts)


class _MissingError(Exception):
    """A field of the answer is missing."""


def parse_reply(data: JsonMapping, name: str = "answer") -> Reply:
    """The answer in a table; `ValueError` outside the grammar."""
    table = TomlTable(name, data)
    headers = table.texts_of("headers")
    for header in headers:
        # A user-defined scheme may name any header; those of the connection, cookies and redirects are not the
        # tenant's.
        if header.lower() in FORBIDDEN_HEADERS or not _HEADER_NAME.fullmatch(header):
            raise ValueError(f"{name}.headers must not set {header}.")
    if "json" in data and "body" in data:
        raise ValueError(f"{name} has a body and json: write one of them.")
    shape = _compiled(data["json"]) if "json" in data else None
    content_type = table.text("content_type", "application/json" if "json" in data else "text/plain")
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"{name}.content_type must be one like text/plain; charset=utf-8.")
    return Reply(
        status=table.whole("status", 200, 200, 299),
        content_type=content_type,
        headers=tuple((header, parse_template(text)) for header, text in headers.items()),
        body=parse_template(table.text("body")) if data.get("body") else None,
        json=shape,
    )


def templates(reply: Reply) -> list[Template]:
    """Every template in the answer."""
    header_templates = [template for _, template in reply.headers]
    return [*header_templates, *([reply.body] if reply.body else []), *_leaves(reply.json)]


def _compiled(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _compiled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_compiled(item) for item in value]
    return parse_template(value) if isinstance(value, str) else value


def _leaves(value: object) -> list[Template]:
    if isinstance(value, Template):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [leaf for child in children for leaf in _leaves(child)]


def _filled(value: object, context: SignatureContext) -> object:
    if isinstance(value, dict):
        return {name: _filled(item, context) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, context) for item in value]
    if not isinstance(value, Template):
        return value
    text = value.render(context)
    if text is None:
        raise _MissingError
    return text.decode("utf-8", "replace")
