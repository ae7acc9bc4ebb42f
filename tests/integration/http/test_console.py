"""/docs, /openapi.json and /console."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from functions.console.app import handler
from shared.http.openapi import document, every_operation
from shared.json_types import JsonObject
from tests.integration.http.client import event


def get(path: str) -> JsonObject:
    """The answer to a GET."""
    found: JsonObject = handler(event("GET", path, None, {}, ""), None)
    return found


def test_openapi_json_is_the_document() -> None:
    """The document is served as it is built."""
    found = get("/openapi.json")
    assert (found["statusCode"], found["headers"]["content-type"]) == (200, "application/json")
    assert json.loads(found["body"]) == document()


def test_docs_show_every_operation_and_load_nothing() -> None:
    """The page names every operation, and refers to nothing outside itself but this API's own pages."""
    found = get("/docs")
    assert found["headers"]["content-type"].startswith("text/html")
    for operation in every_operation():
        assert f'id="operation-{operation.id}"' in found["body"]
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "link", "img", "iframe")
            links.extend(value or "" for name, value in attributes if name in ("href", "src"))

    Links().feed(found["body"])
    anchors = {link[1:] for link in links if link.startswith("#")}
    assert {link for link in links if not link.startswith("#")} == {"/openapi.json"}
    assert all(f'id="{anchor}"' in found["body"] for anchor in anchors)


def test_console_says_what_there_is() -> None:
    """Every path below /console shows the landing page."""
    for path in ("/console", "/console/", "/console/executions/1"):
        found = get(path)
        assert found["statusCode"] == 200
        assert "/docs" in found["body"]


def test_other_paths_are_not_found() -> None:
    """Anything else is a problem."""
    found = get("/else")
    assert (found["statusCode"], json.loads(found["body"])["code"]) == (404, "not_found")
