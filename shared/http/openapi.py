"""Builds the OpenAPI 3.1 document of all operations from their declarations and models."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.errors import (
    ForbiddenError,
    InvalidCursorError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    StorageUnavailableError,
    ThrottledError,
    UnauthorizedError,
    WorkflowEngineError,
)
from shared.http import operations as operation_modules
from shared.http.operation import Answer, Operation, is_uuid_parameter
from shared.http.parameters.common import Query
from shared.http.responses import PROBLEM
from shared.http.version import TITLE, VERSION
from shared.http.views.common import GatewayMessage, ProblemView
from shared.json_types import JsonObject

DESCRIPTION = """A multi-tenant, event-sourced workflow engine: signed webhooks become durable, explained runs.

Everything is JSON in snake_case; times are RFC 3339 in UTC, ids are UUIDs. Errors are problems (RFC 9457) whose `code`
is stable. Lists are `{items, next_cursor}`. Unknown fields and parameters are refused by name."""
_REF = "#/components/schemas/{model}"
# The statuses that API Gateway may return itself, with its own body.
_BY_GATEWAY = (401, 403, 404, 413, 429, 500, 503)


@cache
def every_operation() -> tuple[Operation, ...]:
    """All operations of the service, by module."""
    names = sorted(module.name for module in pkgutil.iter_modules(operation_modules.__path__))
    modules = [import_module(f"{operation_modules.__name__}.{name}") for name in names]
    return tuple(operation for module in modules for operation in getattr(module, "OPERATIONS", ()))


@cache
def document() -> JsonObject:
    """The document; treat it as read-only."""
    return build(every_operation())


def build(operations: Iterable[Operation]) -> JsonObject:
    """The document of these operations."""
    operations = list(operations)
    paths: JsonObject = {}
    for operation in operations:
        paths.setdefault(operation.path.replace("+}", "}"), {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in operations)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`wk_…`) or a Supabase user's token.",
                }
            },
            "schemas": _schemas(operations),
        },
    }


def possible_errors(operation: Operation) -> list[type[WorkflowEngineError]]:
    """Every error that an operation can return, in the order of their status."""
    errors: list[type[WorkflowEngineError]] = [InvalidRequestError, *operation.errors]
    if (query := operation.parameters) is not None and "cursor" in query.model_fields:
        errors.append(InvalidCursorError)
    if operation.role is not None:
        errors += [UnauthorizedError, ForbiddenError]
    if operation.path_parameters:
        errors.append(NotFoundError)
    if operation.body:
        errors.append(PayloadTooLargeError)
    errors += [ThrottledError, WorkflowEngineError, StorageUnavailableError]
    return sorted(dict.fromkeys(errors), key=lambda error: error.status)


def _operation(operation: Operation) -> JsonObject:
    spec: JsonObject = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": [{"bearer": []}] if operation.role else [],
    }
    described = [operation.description] if operation.description else []
    if operation.role:
        described.append(f"Needs the role `{operation.role}`, and the scope `{operation.scope}` where scopes are set.")
    if described:
        spec["description"] = "\n\n".join(described)
    if (command := operation.command) is not None:
        required = any(field.is_required() for field in command.model_fields.values())
        spec["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": _ref(command)}},
        }
    if operation.raw_body:
        content: JsonObject = {"application/json": {"schema": {}}}
        spec["requestBody"] = {"description": operation.raw_body, "content": content}
    return spec


def _parameters(operation: Operation) -> list[JsonObject]:
    parameters: list[JsonObject] = []
    for name in operation.path_parameters:
        schema: JsonObject = {"type": "string", "minLength": 1}
        if is_uuid_parameter(name):
            schema = {"type": "string", "format": "uuid"}
        elif name == "version":
            schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
        parameter = {"name": name, "in": "path", "required": True, "schema": schema}
        description = operation.path_descriptions.get(name)
        parameters.append({**parameter, "description": description} if description else parameter)
    if (query := operation.parameters) is not None:
        parameters += _query_parameters(query)
    parameters += [
        {"name": header.name, "in": "header", "description": header.description, "schema": dict(header.schema)}
        for header in operation.headers
    ]
    return parameters


def _query_parameters(model: type[Query]) -> list[JsonObject]:
    parameters = []
    for name, schema in model.model_json_schema(by_alias=True).get("properties", {}).items():
        schema = {key: value for key, value in schema.items() if key != "title"}
        parameter = {"name": name, "in": "query"}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        # An optional parameter may be missing, but not null.
        choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
        parameters.append({**parameter, "schema": choices[0] if len(choices) == 1 else schema})
    return parameters


def _responses(operation: Operation) -> JsonObject:
    responses = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    by_status: dict[int, list[type[WorkflowEngineError]]] = {}
    for error in possible_errors(operation):
        by_status.setdefault(error.status, []).append(error)
    for status, errors in by_status.items():
        codes = "; ".join(f"`{error.code}`: {' '.join((error.__doc__ or '').split())}" for error in errors)
        content: JsonObject = {PROBLEM: {"schema": _ref(ProblemView)}}
        if status in _BY_GATEWAY:
            content["application/json"] = {"schema": _ref(GatewayMessage)}
        response: JsonObject = {"description": codes, "content": content}
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
        # One status can be both an answer and an error; then both contents are listed.
        existing = responses.get(str(status))
        if existing is not None:
            response["content"].update(existing.get("content", {}))
        responses[str(status)] = response
    responses["431"] = {
        "description": "The headers have more than 10,240 bytes.",
        "content": {"application/json": {"schema": _ref(GatewayMessage)}},
    }
    return dict(sorted(responses.items()))


def _answer(answer: Answer) -> JsonObject:
    response: JsonObject = {"description": answer.description}
    if (view := answer.view) is not None:
        response["content"] = {answer.content_type: {"schema": _ref(view)}}
    elif answer.content_type != "application/json":
        response["content"] = {answer.content_type: {"schema": {"type": "string"}}}
    if answer.headers:
        response["headers"] = {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in answer.headers.items()
        }
    return response


def _schemas(operations: Iterable[Operation]) -> JsonObject:
    models: dict[type[BaseModel], None] = {ProblemView: None, GatewayMessage: None}
    for operation in operations:
        models |= {view: None for answer in operation.answers.values() if (view := answer.view)}
        if (command := operation.command) is not None:
            models[command] = None
    _, generated = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    schemas: JsonObject = dict(sorted(generated.get("$defs", {}).items()))
    return schemas


def _ref(model: type[BaseModel]) -> JsonObject:
    return {"$ref": _REF.format(model=model.__name__)}
