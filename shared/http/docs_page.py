"""The OpenAPI document as one self-contained HTML page: no script, no external resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from html import escape

from shared.errors import WorkflowEngineError
from shared.http.description import document
from shared.json_types import JsonObject

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #3567d6 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 6rem }
h1 { margin: 0 } h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line) } p { margin: .5rem 0 }
code, pre { font: 13px/1.45 ui-monospace, monospace } pre { background: var(--soft); padding: .75rem; overflow: auto }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .75rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem; color: var(--accent) }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 } td, th { text-align: left; vertical-align: top;
padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line) } :target { background: var(--soft) }
"""


@cache
def page() -> str:
    """The page's HTML."""
    return "".join(_page(document()))


def _page(spec: JsonObject) -> Iterator[str]:
    title = escape(spec["info"]["title"])
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    yield f"<h1>{title}</h1><p>Version {escape(spec['info']['version'])} · "
    yield '<a href="/openapi.json">OpenAPI document</a> · '
    yield '<a href="#errors">Errors</a> · <a href="#shapes">Shapes</a></p>'
    yield "".join(f"<p>{_text(part)}</p>" for part in spec["info"]["description"].split("\n\n"))
    for tag in spec["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, operations in spec["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(method.upper(), path, operation)
    yield '<h2 id="errors">Errors</h2><table><tr><th>code<th>status<th>meaning</tr>'
    for error in _errors(WorkflowEngineError):
        yield f'<tr id="{error.code}"><td><code>{error.code}</code><td>{error.status}'
        yield f"<td>{escape(error.__doc__ or '')}</tr>"
    yield '</table><h2 id="shapes">Shapes</h2>'
    for name, schema in spec["components"]["schemas"].items():
        yield f'<details id="shape-{escape(name)}"><summary>{escape(name)}</summary>{_json(schema)}</details>'
    yield "</body></html>"


def _operation(method: str, path: str, operation: JsonObject) -> Iterator[str]:
    name = operation["operationId"]
    yield f'<details id="operation-{name}"><summary><b>{method}</b> <code>{escape(path)}</code> '
    yield f"{escape(operation['summary'])}</summary>"
    yield "".join(f"<p>{_text(part)}</p>" for part in operation.get("description", "").split("\n\n") if part)
    if operation["parameters"]:
        yield "<table><tr><th>parameter<th>in<th>schema<th></tr>"
        for parameter in operation["parameters"]:
            schema = escape(json.dumps(parameter["schema"]))
            yield f"<tr><td><code>{escape(parameter['name'])}</code><td>{parameter['in']}<td><code>{schema}</code>"
            yield f"<td>{_text(parameter.get('description', ''))}</tr>"
        yield "</table>"
    if "requestBody" in operation:
        yield f"<p>Body: {_shapes(operation['requestBody'])}</p>"
    yield "<table><tr><th>status<th>answer<th>shape</tr>"
    for status, response in operation["responses"].items():
        yield f"<tr><td>{status}<td>{_text(response['description'])}<td>{_shapes(response)}</tr>"
    yield "</table></details>"


def _shapes(holder: JsonObject) -> str:
    return ", ".join(
        _shape(content_type, content["schema"]) for content_type, content in holder.get("content", {}).items()
    )


def _shape(content_type: str, schema: JsonObject) -> str:
    if "$ref" not in schema:
        return escape(content_type)
    name = escape(schema["$ref"].rsplit("/", 1)[1])
    return f'<a href="#shape-{name}">{name}</a>'


def _errors(error: type[WorkflowEngineError]) -> Iterator[type[WorkflowEngineError]]:
    yield error
    for child in error.__subclasses__():
        yield from _errors(child)


def _text(markdown: str) -> str:
    """Escaped text, its `code` marked up."""
    parts = escape(markdown).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
