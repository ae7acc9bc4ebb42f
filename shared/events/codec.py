"""Converts facts to stored payloads and back, with upcasts of old payloads.

A payload is the fact's fields by name. When a fact's shape changes, its schema version in `SCHEMA_VERSIONS` goes up
and an upcast, a function from the old payload to the new one, is added to `UPCASTS`; stored events never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING

from shared.events.envelope import NewEvent
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.events.facts import Fact


# From this version of `NodeSucceeded` on, no output is nested more than `MAX_DEPTH` deep, nor larger than
# `MAX_JOINED_BYTES` where it joins several others.
BOUNDED_OUTPUTS_VERSION = 2
# Schema version of each fact whose shape has ever changed; all others are at 1.
SCHEMA_VERSIONS: Mapping[str, int] = {"NodeSucceeded": BOUNDED_OUTPUTS_VERSION, "NodeRetryScheduled": 2}
# (event type, schema version) → the payload at the next version.
UPCASTS: Mapping[tuple[str, int], Callable[[JsonObject], JsonObject]] = {
    ("NodeSucceeded", 1): lambda payload: payload,
    ("NodeRetryScheduled", 1): lambda payload: {**payload, "evaluated_at": None},
}


def event_type(fact: Fact) -> str:
    """The fact's name in the store: its class's name."""
    return type(fact).__name__


def encode(fact: Fact) -> JsonObject:
    """The payload of a fact: its fields by name."""
    return {name: getattr(fact, name) for name in fact.__slots__}


def new_event(event_id: str, fact: Fact, happened_at: str, metadata: JsonObject) -> NewEvent:
    """The event of a fact that happened at `happened_at`; the schema version is added to `metadata`."""
    name = event_type(fact)
    metadata = {**metadata, "schema_version": SCHEMA_VERSIONS.get(name, 1)}
    return NewEvent(event_id, name, happened_at, encode(fact), metadata)


def by_name(facts: UnionType) -> Mapping[str, type[Fact]]:
    """The facts of a union by their names in the store."""
    return {fact.__name__: fact for fact in facts.__args__}


def decode(facts: Mapping[str, type[Fact]], name: str, payload: JsonObject, schema_version: int = 1) -> Fact:
    """The fact in a stored payload, upcast to today's shape; a name that is not in `facts` raises `KeyError`."""
    current = SCHEMA_VERSIONS.get(name, 1)
    # One version at a time, so that each upcast knows only its own step.
    while schema_version < current:
        payload = UPCASTS[name, schema_version](payload)
        schema_version += 1
    return facts[name](**payload)
