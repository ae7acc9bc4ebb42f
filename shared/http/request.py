"""A request as a handler gets it: authorised, with its path, query and body parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from shared.domain.actor import Actor
from shared.domain.json.values import is_storable
from shared.errors import InvalidRequestError, NotFoundError, UnauthorizedError
from shared.http.auth import actor_of, authorise
from shared.http.body import parse_body
from shared.http.operation import Operation, is_uuid_parameter
from shared.http.query import parse_query
from shared.ids import is_uuid
from shared.json_types import JsonMapping

if TYPE_CHECKING:
    from shared.commands.command import Command
    from shared.http.parameters.common import Query

B = TypeVar("B", bound="Command")
Q = TypeVar("Q", bound="Query")
M = TypeVar("M", bound="Command | Query")


class Request(NamedTuple):
    """One request. `path` holds the path's parameters, UUIDs among them in lower case; header names are lower-case."""

    operation: Operation
    event: JsonMapping
    path: Mapping[str, str]
    parsed_query: Query | None
    parsed_body: Command | None
    authorised: Actor | None

    @classmethod
    def of(cls, operation: Operation, event: JsonMapping) -> Request:
        """The request in an API Gateway event (payload 2.0).

        Checked in this order: credentials (401), role and scope (403), ids in the path (404), query and body (400).
        """
        actor, command = None, operation.command
        # Before anything is parsed: who may not ask learns nothing about the request's form.
        if operation.role is not None:
            actor = actor_of(event)
            authorise(actor, operation.role, operation.scope)
        return cls(
            operation,
            event,
            {name: _path_value(name, value) for name, value in (event.get("pathParameters") or {}).items()},
            parse_query(event, operation.parameters),
            parse_body(event, command) if command else None,
            actor,
        )

    @property
    def actor(self) -> Actor:
        """The caller; raises `UnauthorizedError` on an open operation, which has none."""
        if self.authorised is None:
            raise UnauthorizedError
        return self.authorised

    @property
    def tenant_id(self) -> str:
        """The caller's tenant."""
        return self.actor.tenant_id

    @property
    def id(self) -> str:
        """The path's `{id}`."""
        return self.path["id"]

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; repeated ones joined by commas."""
        headers: Mapping[str, str] = self.event.get("headers") or {}
        return headers

    def body(self, model: type[B]) -> B:
        """The command in the body; `model` is the one that the operation declares."""
        return _declared(self.parsed_body, model)

    @property
    def has_body(self) -> bool:
        """Whether a body was sent, for operations that declare no command."""
        return bool(self.event.get("body"))

    def read(self, model: type[B], max_bytes: int) -> B:
        """The command in the body, for operations that declare none since other bodies are allowed too. A body of more
        than `max_bytes` raises `PayloadTooLargeError`."""
        return parse_body(self.event, model, max_bytes)

    def query(self, model: type[Q]) -> Q:
        """The query parameters; `model` is the one that the operation declares."""
        return _declared(self.parsed_query, model)


def _declared(value: Command | Query | None, model: type[M]) -> M:
    if not isinstance(value, model):
        raise TypeError(f"The operation declares {type(value).__name__}, its handler asks for {model.__name__}.")
    return value


def _path_value(name: str, value: str) -> str:
    if not is_uuid_parameter(name):
        if not is_storable(value):
            raise InvalidRequestError("The path has a NUL character or half of a surrogate pair.")
        return value
    if not is_uuid(value.lower()):
        # A malformed id is answered like an unknown one.
        raise NotFoundError
    return value.lower()
