"""The declarations, the functions, the template and docs/openapi.json say the same."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from local.stack.template import read_template
from local.tools.openapi import main
from shared.commands.command import Command
from shared.http.openapi import document, every_operation, possible_errors
from shared.http.operation import Operation
from shared.http.parameters.common import Query
from shared.json_types import JsonObject

ROOT = Path(__file__).parents[2]
TEMPLATE = read_template(ROOT / "template.yaml")
# These answer without the router that the declarations feed.
WITHOUT_ROUTER = {"intake", "console"}
ROUTES = {
    (route.method, route.path): (route, TEMPLATE.functions[route.function].handler.split(".")[1])
    for route in TEMPLATE.routes
}


def test_every_route_is_declared_and_every_operation_has_a_route() -> None:
    """The template's routes are the operations' methods and paths."""
    assert {(operation.method, operation.path) for operation in every_operation()} == set(ROUTES)


@pytest.mark.parametrize("operation", every_operation(), ids=lambda operation: operation.id)
def test_open_operations_have_no_authorizer_and_all_others_have(operation: Operation) -> None:
    """What the declaration says of credentials is what API Gateway does."""
    route, _ = ROUTES[operation.method, operation.path]
    assert (route.authorizer is not None) == (operation.role is not None)
    assert (operation.scope is not None) == (operation.role is not None)


@pytest.mark.parametrize("function", sorted({function for _, function in ROUTES.values()} - WITHOUT_ROUTER))
def test_every_function_handles_its_routes(function: str) -> None:
    """A function has a handler for each of its routes in the template, and for no other."""
    handled = {
        (operation.method, operation.path) for operation in import_module(f"functions.{function}.app").api.operations
    }
    assert handled == {key for key, (_, owner) in ROUTES.items() if owner == function}


@pytest.mark.parametrize("function", sorted({function for _, function in ROUTES.values()} - WITHOUT_ROUTER))
def test_what_a_function_names_is_there(function: str) -> None:
    """Handlers and models are named, and imported when a request asks for them: each name leads to one of its kind, a
    handler's to this function's own, and no two routes to the same."""
    api = import_module(f"functions.{function}.app").api
    handlers = api.load()
    assert len(set(handlers)) == len(api.operations)
    assert all(map(inspect.iscoroutinefunction, handlers))
    assert all(handler.__module__.startswith(f"functions.{function}.") for handler in handlers)
    for operation in api.operations:
        assert operation.command is None or issubclass(operation.command, Command)
        assert operation.parameters is None or issubclass(operation.parameters, Query)


def test_operation_ids_are_unique() -> None:
    """An id names one operation."""
    ids = [operation.id for operation in every_operation()]
    assert len(ids) == len(set(ids))


def test_the_written_document_is_current() -> None:
    """docs/openapi.json is what the declarations say."""
    assert main(["--check"]) == 0


def test_every_reference_leads_somewhere() -> None:
    """The document is whole."""
    text = repr(document())
    for name in set(re.findall(r"#/components/schemas/([\w-]+)", text)):
        assert name in document()["components"]["schemas"]


@pytest.mark.parametrize("operation", every_operation(), ids=lambda operation: operation.id)
def test_every_error_is_documented(operation: Operation) -> None:
    """Each possible error's status has a response that names its code."""
    path = operation.path.replace("+}", "}")
    responses: JsonObject = document()["paths"][path][operation.method.lower()]["responses"]
    for error in possible_errors(operation):
        assert f"`{error.code}`" in responses[str(error.status)]["description"]
